//! The writing half of a driver.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use everwire_proto::Connection;

use super::{App, Driver, Stream};

impl<S: Stream, A: App> Driver<S, A> {
    /// Writes what waits, as far as the socket takes it.
    #[inline]
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        let has_work =
            self.proto.transmit_len() > 0 || self.flags.unflushed || self.proto.wants_shutdown();
        if has_work && let Poll::Ready(Err(error)) = self.poll_write(cx, now) {
            // What the peer sent before it went may say why.
            self.flags.unflushed = false;
            self.proto.handle_write_error(now, &error);
        }
        // Even if nothing was written: what was read may have had no answer.
        if let Some(buffer) = self.proto.reclaim_buffer() {
            self.buffers().put_write(buffer);
        }
        let low = self.proto.config().limits.send_queue_low();
        if self.flags.output_full && self.proto.transmit_len() <= low {
            self.flags.output_full = false;
        }
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        self.flags.unflushed |= self.proto.transmit_len() > 0;
        while self.proto.transmit_len() > 0 {
            let write = match self.proto.transmit_slice() {
                Some(slice) => Pin::new(&mut *io).poll_write(cx, slice),
                None => Self::poll_write_slices(io, cx, &self.proto),
            };
            match write {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.proto.handle_transmitted(now, n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.proto.handle_blocked(now);
                    return Poll::Pending;
                }
            }
        }
        if self.flags.unflushed {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.flags.unflushed = false;
        }
        if self.proto.wants_shutdown() {
            let shutdown = ready!(Pin::new(&mut *io).poll_shutdown(cx));
            self.flags.shut = true;
            self.proto.handle_shutdown(now);
            // The peer may have gone first; reading finds out how.
            if let Err(error) = shutdown
                && error.kind() != io::ErrorKind::NotConnected
            {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what lies in several pieces, at once if the stream can.
    fn poll_write_slices(
        io: &mut S,
        cx: &mut Context<'_>,
        proto: &Connection,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); 16];
        let n = proto.transmit(&mut slices);
        if io.is_write_vectored() {
            Pin::new(io).poll_write_vectored(cx, &slices[..n])
        } else {
            Pin::new(io).poll_write(cx, &slices[0])
        }
    }
}
