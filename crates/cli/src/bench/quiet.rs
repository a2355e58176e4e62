//! Connections on which nothing is sent: of `idle`, `connect` and `storm`.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use everwire::{Closure, Conn, Handler, Message};

use super::tally::Tally;

/// What the connections of a thread saw. Only this thread locks it.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Tally>>);

impl Log {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was counted.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut self.lock())
    }
}

/// Says that connections may end now. Clones say it together.
#[derive(Clone, Debug, Default)]
pub(super) struct MayEnd(Arc<AtomicBool>);

impl MayEnd {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection, which only counts.
#[derive(Debug)]
pub(super) struct Quiet {
    pub(super) log: Log,
    pub(super) may_end: MayEnd,
}

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {
        self.log.lock().messages.foreign += 1;
    }

    fn on_close(&mut self, closure: &Closure) {
        if !self.may_end.0.load(Ordering::Relaxed) {
            let mut tally = self.log.lock();
            tally.closed += 1;
            tally.ends.note(closure.to_string());
        }
    }
}
