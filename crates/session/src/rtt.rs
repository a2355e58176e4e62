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
}
