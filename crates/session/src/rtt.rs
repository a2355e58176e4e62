//! The round trip of PING and PONG, smoothed as in RFC 6298.

use std::time::Duration;

/// The smoothed round trip and its deviation, in microseconds; both 0 before the first sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    srtt: u32,
    var: u32,
}

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        let mix = |old: u32, weight: u64, new: u32| {
            ((u64::from(old) * (weight - 1) + u64::from(new)) / weight) as u32
        };
        *self = match self.srtt {
            0 => Self { srtt: rtt, var: rtt / 2 },
            srtt => Self { srtt: mix(srtt, 8, rtt), var: mix(self.var, 4, srtt.abs_diff(rtt)) },
        };
    }

    pub(crate) fn smoothed(self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_micros(self.srtt.into()))
    }

    /// Returns how long to wait for any frame after a PING before the path is suspected.
    pub(crate) fn patience(self) -> Duration {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(5));
        let waited = u64::from(self.srtt) + 4 * u64::from(self.var);
        (Duration::from_micros(waited) + Duration::from_millis(200)).clamp(least, most)
    }

    /// Returns the same after so many suspicions that nothing has confirmed: each doubles it, up to 64 s.
    pub(crate) fn patience_after(self, doubts: u8) -> Duration {
        let most = Duration::from_secs(64);
        self.patience().saturating_mul(1 << doubts.min(6)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the patience after these round trips, in milliseconds.
    fn patience(samples: impl IntoIterator<Item = u64>) -> u128 {
        let mut rtt = Rtt::default();
        samples.into_iter().for_each(|millis| rtt.sample(Duration::from_millis(millis)));
        rtt.patience().as_millis()
    }

    #[test]
    fn patience_is_the_round_trip_and_four_deviations_and_at_least_1_s_and_at_most_5() {
        assert_eq!(patience([]), 1000);
        assert_eq!(patience([1]), 1000);
        assert_eq!(patience([500]), 500 + 4 * 250 + 200);
        assert_eq!(patience([2000]), 5000);
        let steady = patience([1500; 100]);
        assert!((1700..1710).contains(&steady), "{steady}");
    }

    #[test]
    fn each_doubt_doubles_the_patience_up_to_64_s() {
        let mut rtt = Rtt::default();
        let after = |rtt: Rtt, doubts: &[u8]| {
            doubts.iter().map(|it| rtt.patience_after(*it).as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(after(rtt, &[0, 1, 2, 3, 6, 7, u8::MAX]), [1, 2, 4, 8, 64, 64, 64]);
        rtt.sample(Duration::from_secs(2));
        assert_eq!(after(rtt, &[0, 1, 2, 3, 4, u8::MAX]), [5, 10, 20, 40, 64, 64]);
    }
}
