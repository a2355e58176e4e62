//! The moment when the last connection has left.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Registry;

type Callback = Arc<dyn Fn() + Send + Sync>;

/// Who is told when no connection is left.
#[derive(Default)]
pub(super) struct Empty {
    /// Set by the first who asks; most registries have none.
    callbacks: OnceLock<RwLock<Vec<Callback>>>,
    /// How often the last connection has left since this was last looked at. Whoever raises it from
    /// zero looks, until there is nothing new: so nothing is missed and no two calls overlap.
    pending: AtomicUsize,
}

impl Empty {
    fn add(&self, callback: Callback) {
        let callbacks = self.callbacks.get_or_init(RwLock::default);
        callbacks.write().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    /// Calls everybody, unless there is a connection again: its end comes here too.
    pub(super) fn tell(&self, count: &AtomicUsize) {
        let Some(callbacks) = self.callbacks.get() else { return };
        if self.pending.fetch_add(1, Ordering::SeqCst) > 0 {
            return; // Who looks already will look again.
        }
        let mut seen = 1;
        loop {
            // A copy, so that no lock is held while they run.
            let all = callbacks.read().unwrap_or_else(PoisonError::into_inner).clone();
            for callback in all {
                if count.load(Ordering::SeqCst) > 0 {
                    break;
                }
                if catch_unwind(AssertUnwindSafe(|| callback())).is_err() {
                    tracing::error!("what was to be called with the last connection panicked");
                }
            }
            match self.pending.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(pending) => seen = pending,
            }
        }
    }
}

impl Registry {
    /// Calls `callback` whenever the last connection has left, from now on.
    ///
    /// It is never missed, and never made while a connection is listed that was there when the call
    /// was decided on; a connection may come while it runs. It runs on the thread of a connection
    /// that has ended, with no lock held, one call at a time, and must not block. A panic in it is
    /// logged.
    ///
    /// # Examples
    /// A process that ends when nobody needs it any more:
    /// ```
    /// use std::sync::Arc;
    /// use everwire::Registry;
    ///
    /// fn unneeded(registry: &Registry) -> Arc<tokio::sync::Notify> {
    ///     let notify = Arc::new(tokio::sync::Notify::new());
    ///     let notified = notify.clone();
    ///     registry.on_empty(move || notify.notify_one());
    ///     notified
    /// }
    /// ```
    pub fn on_empty(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.0.empty.add(Arc::new(callback));
    }
}
