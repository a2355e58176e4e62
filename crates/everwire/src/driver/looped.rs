//! A driver in an event loop.

use std::{
    future::Future,
    io,
    sync::Arc,
    task::{self, Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{App, Called, Driver};
use crate::{
    event_loop::{Drive, LoopSocket, Remote, Turn},
    shared::Wake,
    sync::{AtomicBool, Ordering},
    websocket::PullApp,
};

impl<A: Called> Drive for Driver<LoopSocket, A> {
    #[inline]
    fn socket(&mut self) -> Option<&mut LoopSocket> {
        self.io.as_mut()
    }

    fn adopted(&mut self, by: Arc<Remote>, key: u32) {
        self.shared.set_driver(Wake::Loop(by, key));
        self.flags.registered = true;
    }

    #[inline]
    fn turn(&mut self, turn: &mut Turn) -> Poll<()> {
        // The loop knows what it told the socket, and its app waits for nothing.
        let mut cx = Context::from_waker(Waker::noop());
        if !turn.due && self.short_turn(&mut cx, turn.now) {
            turn.deadline = self.deadline(turn.is_armed);
            return Poll::Pending;
        }
        let polled = self.turn(&mut cx, turn.now, turn.due, LoopSocket::may_read);
        self.flags.calm = self.is_calm();
        turn.deadline = self.deadline(turn.is_armed);
        turn.more = self.flags.more;
        polled
    }

    fn fail(&mut self, error: &io::Error, now: Instant) {
        self.fail(error, now);
    }

    fn log_stall(&self, took: Duration) {
        self.log_stall(took);
    }
}

/// A driver with a companion, which waits for things of its own.
pub(crate) struct Accompanied<F: Future<Output = ()> + Send> {
    driver: Driver<LoopSocket, PullApp<F>>,
    /// What wakes the companion wakes its connection.
    waker: Waker,
    /// The same.
    key: Option<Arc<KeyWaker>>,
}

impl<F: Future<Output = ()> + Send> Accompanied<F> {
    pub(crate) fn new(driver: Driver<LoopSocket, PullApp<F>>) -> Self {
        Self { driver, waker: Waker::noop().clone(), key: None }
    }
}

impl<F: Future<Output = ()> + Send> Drive for Accompanied<F> {
    fn socket(&mut self) -> Option<&mut LoopSocket> {
        self.driver.io.as_mut()
    }

    fn adopted(&mut self, by: Arc<Remote>, key: u32) {
        let waker =
            Arc::new(KeyWaker { remote: by.clone(), key, is_woken: AtomicBool::new(false) });
        self.waker = waker.clone().into();
        self.key = Some(waker);
        self.driver.shared.set_driver(Wake::Loop(by, key));
        self.driver.flags.registered = true;
    }

    fn turn(&mut self, turn: &mut Turn) -> Poll<()> {
        if let Some(waker) = &self.key {
            // Before looking at what it was woken for.
            waker.is_woken.swap(false, Ordering::AcqRel);
        }
        let mut cx = Context::from_waker(&self.waker);
        if !self.driver.flags.finished
            && self.driver.turn(&mut cx, turn.now, turn.due, LoopSocket::may_read).is_pending()
        {
            turn.deadline = self.driver.deadline(turn.is_armed);
            turn.more = self.driver.flags.more;
            return Poll::Pending;
        }
        // Only the companion may still be at work.
        self.driver.app.poll(&mut cx).map(|_| ())
    }

    fn fail(&mut self, error: &io::Error, now: Instant) {
        self.driver.fail(error, now);
    }

    fn log_stall(&self, took: Duration) {
        self.driver.log_stall(took);
    }
}

/// Wakes a connection of an event loop.
struct KeyWaker {
    remote: Arc<Remote>,
    key: u32,
    /// It was woken and has not had its turn: once is enough, however often it is asked for.
    is_woken: AtomicBool,
}

impl task::Wake for KeyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.remote.wake(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_companion_that_is_woken_many_times_has_one_turn() {
        let remote = Arc::new(Remote::default());
        let is_woken = AtomicBool::new(false);
        let waker: Waker = Arc::new(KeyWaker { remote: remote.clone(), key: 7, is_woken }).into();
        (0..1000).for_each(|_| waker.wake_by_ref());
        let remote = format!("{remote:?}");
        assert!(remote.contains("woken: [7]"), "{remote}");
    }
}
