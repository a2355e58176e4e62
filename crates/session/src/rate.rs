//! How often something may happen.

use std::time::Duration;

use crate::At;

/// A bucket of tokens that fills up again.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    tokens: u32,
    at: At,
}

impl Rate {
    pub(crate) const fn new(now: At, burst: u32) -> Self {
        Self { tokens: burst, at: now }
    }

    /// Takes a token, of `burst` at once and then `per_second`, and returns whether there was one.
    pub(crate) fn take(&mut self, now: At, burst: u32, per_second: u32) -> bool {
        let (each, gained) = self.gained(now, per_second);
        if gained >= burst - self.tokens {
            (self.tokens, self.at) = (burst, now);
        } else {
            self.tokens += gained;
            self.at = self.at + each * gained;
        }
        let has_one = self.tokens > 0;
        self.tokens -= u32::from(has_one);
        has_one
    }

    /// Returns whether it is as full as it was in the beginning.
    pub(crate) fn is_full(&self, now: At, burst: u32, per_second: u32) -> bool {
        self.gained(now, per_second).1 >= burst - self.tokens
    }

    /// Returns in what time a token is gained, and how many have been.
    fn gained(&self, now: At, per_second: u32) -> (Duration, u32) {
        let each = Duration::from_secs(1) / per_second;
        let gained = now.saturating_duration_since(self.at).as_nanos() / each.as_nanos();
        (each, u32::try_from(gained).unwrap_or(u32::MAX))
    }
}
