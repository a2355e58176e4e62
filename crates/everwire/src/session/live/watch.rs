//! Who waits for a session to have room.

use std::task::Waker;

use super::Live;

impl Live {
    /// Wakes somebody whenever there is room again or the connection is gone, and at the end. Returns
    /// whether the session lives.
    pub(crate) fn watch(&self, watcher: Waker) -> bool {
        let mut state = self.lock();
        let lives = !state.session.is_ended();
        if lives {
            state.watchers.get_or_insert_default().push(watcher);
        }
        lives
    }

    /// Wakes somebody no more.
    pub(crate) fn unwatch(&self, watcher: &Waker) {
        let mut state = self.lock();
        let Some(watchers) = &mut state.watchers else { return };
        let left: Vec<_> = watchers.extract_if(.., |other| other.will_wake(watcher)).collect();
        if watchers.is_empty() {
            state.watchers = None;
        }
        drop(state);
        drop(left);
    }
}
