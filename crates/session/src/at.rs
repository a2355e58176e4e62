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

    /// Returns the milliseconds since the session began.
    #[inline]
    pub(crate) fn millis(self) -> u32 {
        u32::try_from((self.0.get() - 1) / 1_000_000).unwrap_or(u32::MAX)
    }

    pub(crate) const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

/// Turns instants into points in time and back. It knows the last, because an end is told of the same
/// again and again.
#[derive(Debug)]
pub(crate) struct Timeline {
    instant: Instant,
    at: At,
}

impl Timeline {
    pub(crate) const fn new(born: Instant) -> Self {
        Self { instant: born, at: At::START }
    }

    /// What was before the beginning was at the beginning.
    #[inline]
    pub(crate) fn at(&mut self, now: Instant) -> At {
        if now == self.instant {
            return self.at;
        }
        if now < self.instant {
            let before = (self.instant - now).as_nanos();
            let nanos =
                u64::try_from(before).map_or(0, |before| self.at.0.get().saturating_sub(before));
            return At(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN));
        }
        self.at = self.at + (now - self.instant);
        self.instant = now;
        self.at
    }

    /// Returns the latest instant that it knows.
    pub(crate) const fn last(&self) -> Instant {
        self.instant
    }

    pub(crate) fn instant(&self, at: At) -> Instant {
        if at >= self.at { self.instant + (at - self.at) } else { self.instant - (self.at - at) }
    }
}

/// A duration, in half the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl Span {
    /// Centuries are for ever.
    pub(crate) fn new(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for At {
    type Output = Self;

    /// What is centuries away is never.
    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Span::new(duration).0))
    }
}

impl Sub for At {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
