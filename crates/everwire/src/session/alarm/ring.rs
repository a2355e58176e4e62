//! When an alarm rings.

use std::{num::NonZeroU64, time::Instant};

use crate::clock;

/// When an alarm rings: one time for all that is due in the same two milliseconds, or far off in the
/// same quarter of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::session) struct Ring(NonZeroU64);

/// The nanoseconds of a tick are 2 to this power.
const TICK: u32 = 21;
/// The ticks of a quarter of a second are 2 to this power.
const QUARTER: u32 = 7;
/// From so many ticks on a time is far off.
const FAR: u64 = 4 << QUARTER;

impl Ring {
    /// Returns the first ring that is not before what is due at a time.
    #[inline]
    pub(in crate::session) fn after(due: Instant) -> Self {
        Self::of_tick(clock::nanos(due).saturating_add((1 << TICK) - 1) >> TICK)
    }

    /// Returns the ring to wait for what is due at a time. If that is far off it is somewhat earlier, in
    /// vain: so that many share one, and waiting takes little memory.
    pub(in crate::session) fn towards(due: Instant, now: Instant) -> Self {
        let (tick, now) = (Self::after(due).0.get(), Self::after(now).0.get());
        match tick.saturating_sub(now) {
            FAR.. => Self::of_tick(tick >> QUARTER << QUARTER),
            _ => Self::of_tick(tick),
        }
    }

    /// Returns when it rings.
    pub(super) fn at(self) -> Instant {
        clock::at_nanos(self.0.get().saturating_mul(1 << TICK))
    }

    fn of_tick(tick: u64) -> Self {
        Self(NonZeroU64::new(tick).unwrap_or(NonZeroU64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_near_has_a_ring_of_its_own_and_what_is_far_off_shares_an_earlier_one() {
        let now = clock::now();
        for millis in [0, 1, 200, 900] {
            let due = now + Duration::from_millis(millis);
            let ring = Ring::towards(due, now);
            assert_eq!(ring, Ring::after(due));
            assert!((due..due + Duration::from_millis(3)).contains(&ring.at()), "{millis} ms");
        }
        let mut rings = std::collections::BTreeSet::new();
        for millis in 22_500..27_500 {
            let due = now + Duration::from_millis(millis);
            let ring = Ring::towards(due, now);
            assert!(ring <= Ring::after(due));
            assert!(due.saturating_duration_since(ring.at()) < Duration::from_millis(300));
            // Rung in vain, it has one of its own.
            assert_eq!(Ring::towards(due, ring.at()), Ring::after(due));
            rings.insert(ring);
        }
        assert!(rings.len() <= 20, "{} rings", rings.len());
    }
}
