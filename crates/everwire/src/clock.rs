//! The one place that reads the clock: tokio's, so that a user's paused time pauses us too.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Deadlines are rounded up to this, so that one wake-up serves many connections.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Returns the current time.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Rounds a deadline up to the next tick.
pub(crate) fn round_up(deadline: Instant) -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(now);
    let since = deadline.saturating_duration_since(epoch).as_nanos();
    let ticks = since.div_ceil(TICK.as_nanos());
    let nanos = u64::try_from(ticks * TICK.as_nanos()).unwrap_or(u64::MAX);
    epoch.checked_add(Duration::from_nanos(nanos)).unwrap_or(deadline).max(deadline)
}
