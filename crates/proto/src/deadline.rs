//! Deadlines that cannot overflow.

use std::time::{Duration, Instant};

/// Longer than any connection lives.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Returns the instant `wait` after `from`. A wait of [`Duration::MAX`] is one for ever.
#[inline]
pub(crate) fn after(from: Instant, wait: Duration) -> Instant {
    from + wait.min(FOR_EVER)
}
