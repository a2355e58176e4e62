//! The turn that most turns are: a message has come, and its answer goes.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use everwire_proto::State;

use super::{Called, Driver};
use crate::{event_loop::LoopSocket, pool::Buffers};

impl<A: Called> Driver<LoopSocket, A> {
    /// Reads once, handles what came and writes what was answered. Returns whether that was all
    /// there is to do; else the [turn](Driver::turn) goes on from where this has come to.
    ///
    /// It leaves out what [`turn`](Driver::turn) looks at in vain nearly always, and does nothing of
    /// its own.
    #[inline]
    pub(super) fn short_turn(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let is_quiet = self.flags.calm && !self.proto.has_near_deadline();
        let Some(io) = self.io.as_mut().filter(|io| is_quiet && io.may_read()) else {
            return false;
        };
        if self.shared.has_news() {
            return false;
        }
        self.shared.wake_up();
        let mut buffers = Buffers::take();
        buffers.renew_read();
        let read = io.poll_recv(&mut buffers.read);
        let is_read = self.check_read(read, now).is_ready();
        if !buffers.read.is_empty() {
            let none = self.proto.lend_buffer(buffers.take_write());
            debug_assert!(none.is_none(), "a quiet connection has no output");
            self.handle_input(now, &mut buffers.read);
        }
        let is_done = is_read && self.is_answered() && self.write_at_once(now);
        if is_done && let Some(buffer) = self.proto.reclaim_buffer() {
            buffers.put_write(buffer);
        }
        buffers.put();
        self.flags.more = false;
        is_done && self.sleep_if_idle(cx)
    }

    /// Returns whether nothing is left of what was read, and nothing but to write what it gave rise
    /// to.
    #[inline]
    fn is_answered(&self) -> bool {
        let is_exhausted = self.io.as_ref().is_some_and(|io| !io.may_read());
        is_exhausted
            && !self.flags.eof
            && !self.flags.output_full
            && !self.flags.handler.paused
            && self.proto.state() == State::Open
            && !self.proto.has_unread()
            && !self.shared.has_news()
    }

    /// Writes what waits; returns whether the socket took all of it.
    #[inline]
    fn write_at_once(&mut self, now: Instant) -> bool {
        let (Some(io), Some(slice)) = (self.io.as_mut(), self.proto.transmit_slice()) else {
            return false;
        };
        if slice.is_empty() {
            return true;
        }
        match io.poll_send(slice) {
            Poll::Ready(Ok(n)) => {
                self.proto.handle_transmitted(now, n);
                self.proto.transmit_len() == 0
            }
            Poll::Ready(Err(error)) => {
                self.proto.handle_write_error(now, &error);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Returns whether the next turn may be a short one, as far as the driver knows.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        let flags = &self.flags;
        let is_busy = flags.eof || flags.shut || flags.output_full || flags.handler.paused;
        let is_done = flags.panicked || flags.finished;
        flags.opened && flags.registered && !is_busy && !is_done && !flags.unflushed
    }
}
