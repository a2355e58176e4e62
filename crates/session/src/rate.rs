//! How often something may happen.

use std::time::Duration;

use crate::At;

/// A bucket of tokens that fills up again.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    /// When it is full, if nothing more is taken.
    full_at: At,
}

impl Rate {
    pub(crate) const fn new(now: At) -> Self {
        Self { full_at: now }
    }

    /// Takes a token, of `burst` at once and then `per_second`, and returns whether there was one.
    pub(crate) fn take(&mut self, now: At, burst: u32, per_second: u32) -> bool {
        let each = Duration::from_secs(1) / per_second;
        let full_at = self.full_at.max(now) + each;
        let has_one = full_at - now <= each.saturating_mul(burst);
        if has_one {
            self.full_at = full_at;
        }
        has_one
    }

    /// Returns whether it is as full as it was in the beginning.
    pub(crate) fn is_full(&self, now: At) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_when_its_time_has_come() {
        let (mut rate, start) = (Rate::new(At::START), At::START);
        let after = |millis| start + Duration::from_millis(millis);
        let taken =
            |rate: &mut Rate, millis| (0..10).filter(|_| rate.take(after(millis), 5, 2)).count();
        let times = [(0, 5), (499, 0), (500, 1), (1_600, 2), (1_999, 0), (2_000, 1), (99_000, 5)];
        for (millis, expected) in times {
            assert_eq!(taken(&mut rate, millis), expected, "after {millis} ms");
        }
        assert!(!rate.is_full(after(101_499)) && rate.is_full(after(101_500)));
    }
}
