//! A token bucket for control frames.

use std::time::{Duration, Instant};

use crate::ControlRate;

/// Counts down tokens and refills them by the time that has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimiter {
    /// Frames that may come at once, in thousandths.
    tokens: u32,
    refilled: Instant,
}

impl RateLimiter {
    pub(crate) fn new(rate: Option<ControlRate>, now: Instant) -> Self {
        Self { tokens: rate.map_or(0, |rate| rate.burst.saturating_mul(1000)), refilled: now }
    }

    /// Takes one token; `false` when there is none.
    pub(crate) fn take(&mut self, rate: Option<ControlRate>, now: Instant) -> bool {
        let Some(rate) = rate else { return true };
        // Milliseconds × frames per second = thousandths of a frame.
        let millis = now.saturating_duration_since(self.refilled).as_millis();
        let refill = u32::try_from(millis * u128::from(rate.per_second)).unwrap_or(u32::MAX);
        if refill > 0 {
            let cap = rate.burst.saturating_mul(1000);
            self.tokens = self.tokens.saturating_add(refill).min(cap);
            self.refilled += Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        }
        match self.tokens.checked_sub(1000) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // A test has to begin at some instant.
    fn burst_then_steady_rate() {
        let rate = Some(ControlRate { per_second: 100, burst: 200 });
        let mut now = Instant::now();
        let mut limiter = RateLimiter::new(rate, now);
        assert_eq!((0..300).filter(|_| limiter.take(rate, now)).count(), 200);
        now += Duration::from_secs(1);
        assert_eq!((0..300).filter(|_| limiter.take(rate, now)).count(), 100);
        now += Duration::from_millis(5);
        assert!(!limiter.take(rate, now));
        now += Duration::from_millis(5);
        assert!(limiter.take(rate, now));
    }
}
