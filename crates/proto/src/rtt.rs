//! The round-trip time.

use std::time::Duration;

/// What is added to the expected round trip: the peer may delay its acknowledgement and its Pong.
const SLACK: Duration = Duration::from_millis(200);

/// The bounds of the deadline of a probe.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// The smoothed round-trip time of RFC 6298 §2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// Microseconds; zero before the first sample.
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    pub(crate) fn push(&mut self, sample: Duration) {
        let sample = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (sample, sample / 2);
        } else {
            let deviation = self.smoothed.abs_diff(sample);
            self.variation = blend(self.variation, deviation, 4);
            self.smoothed = blend(self.smoothed, sample, 8);
        }
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed.into()))
    }

    /// Returns how long an answer may take on this path: the smoothed time and four times its
    /// variation, as RFC 6298 has it, between 1 s and 5 s; `unknown` if nothing was measured.
    pub(crate) fn probe_timeout(&self, unknown: Duration) -> Duration {
        let Some(smoothed) = self.smoothed() else { return unknown };
        let variation = Duration::from_micros(self.variation.into());
        (smoothed + 4 * variation + SLACK).clamp(PROBE.0, PROBE.1)
    }
}

/// Moves `old` towards `new` by one part of `parts`.
fn blend(old: u32, new: u32, parts: u64) -> u32 {
    ((u64::from(old) * (parts - 1) + u64::from(new)) / parts) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_probe_may_take_what_the_path_takes_between_1_and_5_s() {
        let unknown = millis(3000);
        let after = |samples: &[u64]| {
            let mut rtt = Rtt::default();
            samples.iter().for_each(|&sample| rtt.push(millis(sample)));
            rtt.probe_timeout(unknown)
        };
        assert_eq!(after(&[]), unknown);
        assert_eq!(after(&[20]), millis(1000));
        // 400 ms, four times 200 ms, and 200 ms.
        assert_eq!(after(&[400]), millis(1400));
        assert_eq!(after(&[4000]), millis(5000));
    }
}
