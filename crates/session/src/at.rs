//! Points in time, in half the memory of an `Instant`: a session keeps a dozen.

use std::{
    num::NonZeroU64,
    ops::{Add, Sub},
    time::{Duration, Instant},
};

/// Nanoseconds since a session began, and one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(NonZeroU64);

impl At {
    /// When the session began.
    pub(crate) const START: Self = Self(NonZeroU64::MIN);

    pub(crate) fn new(born: Instant, now: Instant) -> Self {
        Self::START + now.saturating_duration_since(born)
    }

    pub(crate) fn instant(self, born: Instant) -> Instant {
        born + self.saturating_duration_since(Self::START)
    }

    pub(crate) const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for At {
    type Output = Self;

    /// What is centuries away is never.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub for At {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
