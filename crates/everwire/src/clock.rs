//! The one place that reads the clock: tokio's, so that a user's paused time pauses us too.

use std::{
    cell::Cell,
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
    at_tick(ticks_up(deadline)).max(deadline)
}

/// Returns how many ticks have gone by at an instant.
pub(crate) fn ticks(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(epoch()).as_nanos();
    u64::try_from(since / TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the first tick that is not before an instant.
pub(crate) fn ticks_up(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(epoch()).as_nanos();
    u64::try_from(since.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
}

/// Returns when a tick is.
pub(crate) fn at_tick(tick: u64) -> Instant {
    let nanos = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX).saturating_mul(tick);
    let epoch = epoch();
    epoch.checked_add(Duration::from_nanos(nanos)).unwrap_or(epoch + TICK * u32::MAX)
}

/// Returns how many milliseconds have gone by at an instant. Many connections ask for the same.
#[inline]
pub(crate) fn millis(instant: Instant) -> u64 {
    thread_local! {
        static LAST: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
    }
    match LAST.get() {
        Some((last, millis)) if last == instant => millis,
        _ => {
            let since = instant.saturating_duration_since(epoch());
            let millis = since.as_secs() * 1000 + u64::from(since.subsec_millis());
            LAST.set(Some((instant, millis)));
            millis
        }
    }
}

/// Returns when so many milliseconds have gone by.
pub(crate) fn at_millis(millis: u64) -> Instant {
    epoch() + Duration::from_millis(millis)
}

/// Returns how many nanoseconds have gone by at an instant.
#[inline]
pub(crate) fn nanos(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(epoch());
    since.as_secs().saturating_mul(1_000_000_000) + u64::from(since.subsec_nanos())
}

/// Returns when so many nanoseconds have gone by.
pub(crate) fn at_nanos(nanos: u64) -> Instant {
    epoch() + Duration::from_nanos(nanos)
}

/// What ticks are counted from: a day ago. A runtime whose time is paused may be behind the one that
/// asks first.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(|| {
        let now = Instant::now();
        now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_first_look_at_the_clock_has_a_tick_of_its_own() {
        epoch();
        let hour_ago = Instant::now() - Duration::from_secs(3600);
        let rounded = round_up(hour_ago);
        assert!(rounded - hour_ago < TICK, "{:?}", rounded - hour_ago);
        assert!(ticks(hour_ago + TICK) > ticks(hour_ago));
    }
}
