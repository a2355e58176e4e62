//! A driver in an event loop.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::Driver;
use crate::{
    event_loop::{Drive, LoopSocket, Turn},
    handler::{Handler, HandlerApp},
    shared::Wake,
};

impl<H: Handler> Drive for Driver<LoopSocket, HandlerApp<H>> {
    #[inline]
    fn socket(&mut self) -> Option<&mut LoopSocket> {
        self.io.as_mut()
    }

    fn set_wake(&mut self, wake: Wake) {
        self.shared.set_driver(wake);
        self.flags.registered = true;
    }

    #[inline]
    fn turn(&mut self, turn: &mut Turn) -> Poll<()> {
        // The loop knows what it told the socket, and a handler waits for nothing.
        let mut cx = Context::from_waker(Waker::noop());
        let polled = self.turn(&mut cx, turn.now, turn.due);
        turn.deadline = self.deadline(turn.is_armed);
        polled
    }

    fn log_stall(&self, took: Duration) {
        self.log_stall(took);
    }
}
