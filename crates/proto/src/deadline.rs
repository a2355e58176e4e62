//! Deadlines that cannot overflow.

use std::time::{Duration, Instant};

/// Longer than any connection lives.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A deadline for the peer that is missed by more than this was slept through: by the machine, or by
/// a thread that something held up. What was awaited may lie unread, so there is another.
pub(crate) const LATE: Duration = Duration::from_millis(500);

/// Returns whether a deadline is judged so late that there is to be another.
pub(crate) fn is_late(deadline: Instant, now: Instant) -> bool {
    now.saturating_duration_since(deadline) > LATE
}

/// Returns the instant `wait` after `from`. A wait of [`Duration::MAX`] is one for ever.
#[inline]
pub(crate) fn after(from: Instant, wait: Duration) -> Instant {
    from + wait.min(FOR_EVER)
}
