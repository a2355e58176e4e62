//! Many durations, kept to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told from longer ones.
const LONGEST: u64 = 3_600_000_000_000;

/// A histogram of durations, from a nanosecond to an hour.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are sane"))
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the time that `percent` of all were not longer than.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        // 99.9 / 100 is a little more than 0.999, and one rank more than was asked for.
        Duration::from_nanos(self.0.value_at_quantile((percent / 100.0 - 1e-12).max(0.0)))
    }

    pub(super) fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    /// Returns each time that was measured, in nanoseconds, and how often.
    pub(super) fn buckets(&self) -> Vec<(u64, u64)> {
        let recorded = self.0.iter_recorded();
        recorded.map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut times = Times::default();
        (1..=1000).for_each(|millis| times.record(Duration::from_millis(millis)));
        for percent in [1.0, 50.0, 99.0, 99.9, 100.0] {
            let millis = times.percentile(percent).as_secs_f64() * 1e3;
            assert!((millis / (percent * 10.0) - 1.0).abs() < 0.001, "{percent}: {millis}");
        }
        assert_eq!(times.buckets().iter().map(|bucket| bucket.1).sum::<u64>(), 1000);
    }

    #[test]
    fn what_is_longer_than_an_hour_is_not_dropped() {
        let mut times = Times::default();
        times.record(Duration::from_secs(100_000));
        assert!(!times.is_empty());
        assert!(times.max() >= Duration::from_secs(3_599));
    }
}
