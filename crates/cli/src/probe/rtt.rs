//! Round-trip times and what may be said about many of them.

use std::time::Duration;

use serde::Serialize;

use super::report::millis;

/// The percentiles of some round-trip times, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) min_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Percentiles {
    /// Returns `None` without any times.
    pub(super) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let (min, max) = (*times.first()?, *times.last()?);
        let at = |percent| millis(nearest_rank(&times, percent));
        Some(Self {
            min_ms: millis(min),
            p50_ms: at(50),
            p90_ms: at(90),
            p99_ms: at(99),
            max_ms: millis(max),
        })
    }
}

/// Returns the smallest of the sorted times that at least so many percent do not exceed. It is one
/// that was measured: nothing is interpolated.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: impl IntoIterator<Item = u64>, expected: [f64; 5]) {
        let times = millis.into_iter().map(Duration::from_millis).collect();
        let got = Percentiles::of(times).unwrap();
        assert_eq!([got.min_ms, got.p50_ms, got.p90_ms, got.p99_ms, got.max_ms], expected);
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        check([7], [7.0; 5]);
        check([2, 1], [1.0, 1.0, 2.0, 2.0, 2.0]);
        check((1..=10).rev(), [1.0, 5.0, 9.0, 10.0, 10.0]);
        check(1..=100, [1.0, 50.0, 90.0, 99.0, 100.0]);
        check(1..=1000, [1.0, 500.0, 900.0, 990.0, 1000.0]);
    }

    #[test]
    fn one_slow_answer_does_not_move_the_median() {
        check([1, 1, 1, 1, 900], [1.0, 1.0, 900.0, 900.0, 900.0]);
    }

    #[test]
    fn without_times_there_is_nothing_to_say() {
        assert_eq!(Percentiles::of(Vec::new()), None);
    }
}
