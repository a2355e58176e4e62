//! How a connection comes to its end, as its handles see it.

use std::{sync::Arc, task::Waker};

use everwire_proto::{Cause, CloseFrame, Closure};

use super::{Outgoing, Phase, Shared, Until, wake};

impl Shared {
    /// Begins the closing handshake; does nothing once it has begun.
    pub(crate) fn close(&self, cause: Cause, frame: CloseFrame) {
        self.end(Outgoing::Close(cause, frame));
    }

    /// Ends the connection with a Close that says why, without waiting for an answer; does nothing
    /// once closing has begun.
    pub(crate) fn fail(&self, cause: Cause) {
        self.end(Outgoing::Fail(cause));
    }

    /// Cuts the connection.
    pub(crate) fn abort(&self, cause: Cause) {
        self.end(Outgoing::Abort(cause));
    }

    fn end(&self, outgoing: Outgoing) {
        let mut state = self.lock();
        let is_abort = matches!(outgoing, Outgoing::Abort(_));
        let is_news = if is_abort {
            state.phase != Phase::Closed && !state.aborted
        } else {
            state.phase == Phase::Open
        };
        if !is_news {
            return;
        }
        state.phase = Phase::Closing;
        state.aborted |= is_abort;
        if is_abort {
            // What is behind it is not sent, but counted.
            state.all_in_outbox().push_front(outgoing);
        } else {
            state.queue(outgoing);
        }
        let driver = self.alert(&state);
        let waiters = state.take_waiters(|until| until != Until::Closed);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Tells the application that the server shuts down; does nothing once it was told, or once
    /// closing has begun.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Open || state.draining {
            return;
        }
        state.draining = true;
        state.queue(Outgoing::Drain);
        let driver = self.alert(&state);
        let waiters = state.take_waiters(|until| until == Until::Drain);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Returns whether closing has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// Returns how the connection ended, once it has.
    pub(crate) fn closure(&self) -> Option<Arc<Closure>> {
        self.lock().closure.clone()
    }

    /// Returns whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    /// Tells every handle how the connection ended.
    pub(crate) fn finish(&self, closure: Arc<Closure>) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.closure = Some(closure);
        let outbox = (std::mem::take(&mut state.outbox), state.first.take());
        let deferred = std::mem::take(&mut state.deferred);
        let driver = state.driver.take();
        let receiver = state.take_receiver();
        let waiters = state.take_waiters(|_| true);
        drop(state);
        drop((outbox, deferred, driver));
        receiver.into_iter().chain(waiters).for_each(Waker::wake);
    }
}
