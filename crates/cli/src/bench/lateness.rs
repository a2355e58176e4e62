//! The generator's own lateness: what it adds to the latencies, and whether they are still true.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{alarm::Alarm, times::Times};

/// How often a thread looks whether it wakes up in time.
pub(super) const BEAT: Duration = Duration::from_millis(1);

/// What of a latency may be the generator's.
const SHARE: f64 = 0.1;

/// Lateness that is borne with: an ordinary system promises no better.
const FLOOR: Duration = Duration::from_micros(100);

/// Wakes up every millisecond and notes how late that is: as late as a socket of this thread that
/// becomes readable is looked at.
pub(super) async fn watch(mut note: impl FnMut(Duration)) -> io::Result<()> {
    let alarm = Alarm::new()?;
    let mut due = Instant::now();
    loop {
        due += BEAT;
        alarm.until(due).await?;
        let now = Instant::now();
        each_beat(&mut due, now, &mut note);
    }
}

/// Notes the lateness of every beat until `now`: those that were slept through as well, because
/// whatever would have come then would have waited.
fn each_beat(due: &mut Instant, now: Instant, note: &mut impl FnMut(Duration)) {
    note(now.saturating_duration_since(*due));
    while *due + BEAT <= now {
        *due += BEAT;
        note(now - *due);
    }
}

/// What is to be thought of the latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lateness {
    /// The worse of handing out messages and of waking up.
    pub(super) p99: Duration,
    pub(super) max: Duration,
    /// What would have been borne with.
    pub(super) bearable: Duration,
}

impl Lateness {
    /// Looks at how late the generator was, in each way, beside what it measured.
    pub(super) fn of(ways: &[&Times], measured: &Times) -> Self {
        let worst = |of: fn(&Times) -> Duration| ways.iter().map(|way| of(way)).max();
        Self {
            p99: worst(|way| way.percentile(99.0)).unwrap_or_default(),
            max: worst(Times::max).unwrap_or_default(),
            bearable: bearable(measured.percentile(99.0)),
        }
    }

    /// Returns whether latencies cannot be told from the generator's own.
    pub(super) fn is_spoiled(&self) -> bool {
        self.p99 > self.bearable
    }
}

/// Returns how late, in 99 of 100 cases, a generator may be that measured this 99th percentile.
fn bearable(p99: Duration) -> Duration {
    p99.mul_f64(SHARE).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn times(of: &[Duration]) -> Times {
        let mut times = Times::default();
        of.iter().for_each(|time| times.record(*time));
        times
    }

    #[track_caller]
    fn check(late: u64, lag: u64, p99: u64, is_spoiled: bool) {
        let [late, lag, measured] = [late, lag, p99].map(|time| times(&[micros(time)]));
        assert_eq!(Lateness::of(&[&late, &lag], &measured).is_spoiled(), is_spoiled);
    }

    #[test]
    fn a_tenth_is_borne_with() {
        check(900, 10, 10_000, false);
        check(1_100, 10, 10_000, true);
        check(10, 1_100, 10_000, true);
    }

    #[test]
    fn a_tenth_of_a_millisecond_is_borne_with_however_short_the_latencies() {
        check(90, 90, 50, false);
        check(110, 0, 50, true);
    }

    #[test]
    fn what_is_slept_through_is_late_as_well() {
        let (start, mut noted) = (Instant::now(), Vec::new());
        let mut due = start + BEAT;
        each_beat(&mut due, start + micros(3_400), &mut |late| noted.push(late.as_micros()));
        assert_eq!(noted, [2_400, 1_400, 400]);
        assert_eq!(due, start + 3 * BEAT);
    }
}
