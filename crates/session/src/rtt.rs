//! The round trip of PING and PONG, smoothed as in RFC 6298.

use std::time::Duration;

/// The smoothed round trip and its deviation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt(Option<(Duration, Duration)>);

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.0 = Some(match self.0 {
            None => (rtt, rtt / 2),
            Some((srtt, var)) => ((srtt * 7 + rtt) / 8, (var * 3 + srtt.abs_diff(rtt)) / 4),
        });
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.0.map(|(srtt, _)| srtt)
    }

    /// Returns how long to wait for any frame after a PING before the path is suspected.
    pub(crate) fn patience(&self) -> Duration {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(5));
        let (srtt, var) = self.0.unwrap_or_default();
        (srtt + var * 4 + Duration::from_millis(200)).clamp(least, most)
    }
}
