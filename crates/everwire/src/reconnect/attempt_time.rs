//! How long an attempt may take, learnt from those that succeeded.

use std::{collections::VecDeque, time::Duration};

use super::ReconnectPolicy;

/// How many successes are remembered.
const REMEMBERED: usize = 20;

/// How many successes it takes to judge by them.
const ENOUGH: usize = 3;

/// The time that an attempt is given: three times what 95 of 100 successes took, within the
/// policy's bounds. After a timeout it is the longest again until one succeeds, because the path
/// may have become slower.
#[derive(Clone, Debug, Default)]
pub(super) struct AttemptTime {
    took: VecDeque<Duration>,
    timed_out: bool,
}

impl AttemptTime {
    pub(super) fn handle_success(&mut self, took: Duration) {
        self.timed_out = false;
        if self.took.len() == REMEMBERED {
            self.took.pop_front();
        }
        self.took.push_back(took);
    }

    pub(super) fn handle_timeout(&mut self) {
        self.timed_out = true;
    }

    pub(super) fn limit(&self, policy: &ReconnectPolicy) -> Duration {
        if self.timed_out || self.took.len() < ENOUGH {
            return policy.attempt_max;
        }
        let mut took: Vec<_> = self.took.iter().copied().collect();
        took.sort_unstable();
        let p95 = took[(took.len() * 95).div_ceil(100) - 1];
        p95.saturating_mul(3).max(policy.attempt_min).min(policy.attempt_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(took_ms: &[u64], expected_ms: u64) {
        let mut time = AttemptTime::default();
        for &took in took_ms {
            time.handle_success(Duration::from_millis(took));
        }
        let limit = time.limit(&ReconnectPolicy::default());
        assert_eq!(limit, Duration::from_millis(expected_ms));
    }

    #[test]
    fn without_experience_it_is_the_longest() {
        check(&[], 10_000);
        check(&[100, 100], 10_000);
    }

    #[test]
    fn it_is_three_times_what_most_took_within_bounds() {
        check(&[100, 100, 100], 4_000);
        check(&[100, 2_000, 100], 6_000);
        check(&[100, 9_000, 100], 10_000);
    }

    #[test]
    fn one_slow_success_in_twenty_does_not_count_and_the_oldest_is_forgotten() {
        let mut took = [1_500; 20];
        took[7] = 9_000;
        check(&took, 4_500);
        check(&[[9_000; 20], [1_500; 20]].concat(), 4_500);
    }

    #[test]
    fn after_a_timeout_it_is_the_longest_until_one_succeeds() {
        let policy = ReconnectPolicy::default();
        let mut time = AttemptTime::default();
        (0..5).for_each(|_| time.handle_success(Duration::from_millis(100)));
        time.handle_timeout();
        assert_eq!(time.limit(&policy), policy.attempt_max);
        time.handle_success(Duration::from_millis(100));
        assert_eq!(time.limit(&policy), policy.attempt_min);
    }
}
