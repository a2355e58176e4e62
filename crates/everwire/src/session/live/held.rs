//! The application of a session while a driver has it.

use std::{cell::Cell, sync::Arc};

use super::Live;
use crate::session::SessionHandler;

/// The application of a session, as long as the driver of the session's connection has it: from the
/// first message of what was read until all of that is [settled](Live::transmit).
///
/// Drivers work one after the other, so the thread keeps it for them, and no connection has room for
/// it.
pub(super) struct Held {
    pub(super) live: Arc<Live>,
    pub(super) app: Box<dyn SessionHandler>,
}

thread_local! {
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
}

impl Held {
    /// Takes the application of this session, if the thread has it.
    #[inline]
    pub(super) fn take(live: &Arc<Live>) -> Option<Self> {
        let held = HELD.take()?;
        if Arc::ptr_eq(&held.live, live) {
            return Some(held);
        }
        held.give_back();
        None
    }

    /// Has the thread keep it.
    #[inline]
    pub(super) fn keep(self) {
        if let Some(other) = HELD.replace(Some(self)) {
            other.give_back();
        }
    }

    /// Gives the application back to its session, whose driver did not come to its end.
    #[cold]
    fn give_back(self) {
        let Self { live, app } = self;
        live.lock().app = Some(app);
    }
}
