//! When messages are due, whatever became of those before: the open model.

use std::time::Duration;

const NANOS: f64 = 1e9;

/// The times at which one thread's share of a rate is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    /// A second.
    rate: f64,
    offset: Duration,
}

impl Schedule {
    /// Returns the schedule of a thread that has `mine` of `all` connections. Threads take turns:
    /// the thread `idx` of `n` begins so much later.
    pub(super) fn share(rate: f64, mine: usize, all: usize, idx: usize, n: usize) -> Self {
        let offset = Duration::from_secs_f64(idx as f64 / n as f64 / rate);
        Self { rate: rate * mine as f64 / all as f64, offset }
    }

    /// Returns when the `n`th is due, since the beginning.
    pub(super) fn due(&self, n: u64) -> Duration {
        self.offset + Duration::from_nanos((n as f64 * NANOS / self.rate) as u64)
    }

    /// Returns how many are due before `end`.
    pub(super) fn n_before(&self, end: Duration) -> u64 {
        let Some(span) = end.checked_sub(self.offset).filter(|span| !span.is_zero()) else {
            return 0;
        };
        let mut n = (span.as_secs_f64() * self.rate) as u64;
        // What was rounded is set right.
        while n > 0 && self.due(n - 1) >= end {
            n -= 1;
        }
        while self.due(n) < end {
            n += 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_even() {
        let schedule = Schedule::share(1000.0, 4, 4, 0, 1);
        let dues: Vec<u128> = (0..4).map(|n| schedule.due(n).as_micros()).collect();
        assert_eq!(dues, [0, 1000, 2000, 3000]);
        assert_eq!(schedule.n_before(SECOND), 1000);
    }

    #[test]
    fn threads_share_a_rate_and_take_turns() {
        let shares = [(3, 0), (1, 1)].map(|(mine, idx)| Schedule::share(100.0, mine, 4, idx, 2));
        assert_eq!(shares.map(|share| share.n_before(10 * SECOND)), [750, 250]);
        assert_eq!(shares.map(|share| share.due(0)), [Duration::ZERO, SECOND / 200]);
    }

    #[test]
    fn what_is_due_before_the_end_is_neither_more_nor_less() {
        for rate in [0.3, 1.0, 3.0, 7.7, 999.0, 33_333.3, 1e6] {
            let schedule = Schedule::share(rate, 1, 1, 0, 1);
            for end in [1, 777, 1_000_000, 123_456_789, 9_000_000_001].map(Duration::from_nanos) {
                let n = schedule.n_before(end);
                assert!(n == 0 || schedule.due(n - 1) < end, "{rate} {end:?}");
                assert!(schedule.due(n) >= end, "{rate} {end:?}");
            }
        }
    }

    #[test]
    fn nothing_is_due_in_no_time() {
        assert_eq!(Schedule::share(1e6, 1, 1, 1, 2).n_before(Duration::ZERO), 0);
    }
}
