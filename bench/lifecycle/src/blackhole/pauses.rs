//! Whether the machine stands still: who measures deadlines has to know.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(20);

/// Watches how much later than asked a thread of this process is woken, until it is dropped.
pub(super) struct Pauses(Arc<AtomicU64>);

impl Pauses {
    pub(super) fn watch() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let ours = longest.clone();
        thread::spawn(move || {
            while Arc::strong_count(&ours) > 1 {
                let asleep = Instant::now();
                thread::sleep(TICK);
                let late = asleep.elapsed().saturating_sub(TICK).as_millis();
                ours.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self(longest)
    }

    /// Returns the longest time that nothing ran, as far as it was noticed.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
