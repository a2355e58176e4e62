//! A token bucket for control frames.

use std::time::{Duration, Instant};

use crate::ControlRate;

/// Counts down tokens and refills them by the time that has passed.
///
/// Times are milliseconds since the connection was opened. They wrap after 49 days, which a peer
/// that sent no control frame for so long does not notice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimiter {
    /// Frames that may come at once, in thousandths.
    tokens: u32,
    refilled: u32,
}

impl RateLimiter {
    pub(crate) fn new(rate: Option<ControlRate>) -> Self {
        Self { tokens: rate.map_or(0, |rate| rate.burst.saturating_mul(1000)), refilled: 0 }
    }

    /// Takes one token; `false` when there is none.
    pub(crate) fn take(&mut self, rate: ControlRate, opened: Instant, now: Instant) -> bool {
        let now = now.saturating_duration_since(opened).as_millis() as u32;
        let cap = rate.burst.saturating_mul(1000);
        // What is there beyond the burst was granted for a pause, and stays.
        if self.tokens < cap {
            self.tokens = self.tokens.saturating_add(tokens(rate, now.wrapping_sub(self.refilled)));
            self.tokens = self.tokens.min(cap);
        }
        self.refilled = now;
        match self.tokens.checked_sub(1000) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Allows for what the peer sent at the permitted rate while we did not read: all of it comes
    /// at once.
    pub(crate) fn grant(&mut self, rate: ControlRate, pause: Duration) {
        let millis = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(tokens(rate, millis));
    }
}

/// Returns what comes in so many milliseconds: frames per second are thousandths per millisecond.
fn tokens(rate: ControlRate, millis: u32) -> u32 {
    rate.per_second.saturating_mul(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // A test has to begin at some instant.
    fn burst_then_steady_rate() {
        let rate = ControlRate::new(100, 200);
        let opened = Instant::now();
        let mut now = opened;
        let mut limiter = RateLimiter::new(Some(rate));
        let mut take = |now, n: u32| (0..n).filter(|_| limiter.take(rate, opened, now)).count();
        assert_eq!(take(now, 300), 200);
        now += Duration::from_secs(1);
        assert_eq!(take(now, 300), 100);
        now += Duration::from_millis(5);
        assert_eq!(take(now, 1), 0);
        now += Duration::from_millis(5);
        assert_eq!(take(now, 1), 1);
        limiter.grant(rate, Duration::from_secs(600));
        let mut take = |now, n: u32| (0..n).filter(|_| limiter.take(rate, opened, now)).count();
        assert_eq!(take(now, 100_000), 60_000, "what came in a pause comes at once");
    }
}
