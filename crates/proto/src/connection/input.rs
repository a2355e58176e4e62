//! What the engine tells of reading: bytes, the end of the stream, failures, pauses.

use std::{io, time::Instant};

use bytes::{BytesMut, buf::Limit};

use super::{Connection, Hold, State};
use crate::{Cause, Delivery, Events, transmit::SHARE_FROM};

impl Connection {
    /// Takes bytes that were received and returns an iterator over the events in them.
    ///
    /// The bytes are unmasked in place. Take all events before the slice goes; what is left when
    /// the iterator is dropped is kept and comes first at the next call, which may bring no new
    /// input.
    #[inline]
    pub fn handle_input<'c, 'b>(&'c mut self, now: Instant, input: &'b mut [u8]) -> Events<'c, 'b> {
        if !input.is_empty() {
            self.liveness.handle_received(now);
            self.counters.bytes_received += input.len() as u64;
        }
        Events { connection: self, input, now }
    }

    /// Takes bytes that were received into a buffer of the caller's. What is in it afterwards is of
    /// no more use.
    ///
    /// Like [`handle_input`](Self::handle_input), but the payloads of large messages stay where
    /// they lie: they share the memory of the buffer, which is free again when the last of them is
    /// dropped.
    #[inline]
    pub fn handle_buffer<'c, 'b>(
        &'c mut self,
        now: Instant,
        buffer: &'b mut BytesMut,
    ) -> Events<'c, 'b> {
        if buffer.len() < SHARE_FROM || self.inbound.has_unread() {
            return self.handle_input(now, buffer);
        }
        self.liveness.handle_received(now);
        self.counters.bytes_received += buffer.len() as u64;
        self.inbound.keep_shared(buffer.split());
        Events { connection: self, input: &mut [], now }
    }

    /// Keeps bytes that came behind the head of the opening handshake, for the first call of
    /// [`handle_input`](Self::handle_input).
    pub fn handle_early(&mut self, now: Instant, input: &[u8]) {
        drop(self.handle_input(now, &mut input.to_vec()));
    }

    /// Returns memory to read the rest of a large frame into, if one is arriving.
    ///
    /// After reading into it, call [`handle_frame_buffer`](Self::handle_frame_buffer) with the
    /// number of bytes read. Saves a copy; reading elsewhere and calling
    /// [`handle_input`](Self::handle_input) is as correct.
    #[inline]
    pub fn frame_buffer(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        if !matches!(self.state, State::Open | State::Closing) {
            return None;
        }
        let whole = self.config.delivery == Delivery::Whole;
        self.inbound.partial_mut().filter(|_| whole)?.frame_buffer()
    }

    /// Takes `n` bytes that were read into the [`frame_buffer`](Self::frame_buffer).
    pub fn handle_frame_buffer(&mut self, now: Instant, n: usize) -> Events<'_, 'static> {
        if n > 0 {
            self.liveness.handle_received(now);
            self.counters.bytes_received += n as u64;
        }
        Events { connection: self, input: &mut [], now }
    }

    /// Returns whether input was kept that [`handle_input`](Self::handle_input), called with no
    /// new input, would look at.
    #[must_use]
    #[inline]
    pub fn has_unread(&self) -> bool {
        self.inbound.has_unlooked()
    }

    /// Leaves input that ends the connection, a Close or what is illegal, lying until
    /// [`release_end`](Self::release_end), so that messages before it can be answered first.
    ///
    /// For engines whose application takes messages later than they are read.
    #[inline]
    pub fn hold_end(&mut self) {
        if self.hold == Hold::No {
            self.hold = Hold::Asked;
        }
    }

    /// Ends [`hold_end`](Self::hold_end). Returns whether something was left lying: call
    /// [`handle_input`](Self::handle_input) to go on.
    #[inline]
    pub fn release_end(&mut self) -> bool {
        std::mem::replace(&mut self.hold, Hold::No) == Hold::Held
    }

    /// Tells that we stop reading because the application is slow.
    ///
    /// Meanwhile the peer's deadlines stand still, and we show life, because what the peer asks
    /// lies unread: an unsolicited Pong (RFC 6455 §5.5.3) a second after the beginning and then at
    /// two fifths of the keepalive's timeout, a Ping at each interval.
    ///
    /// While our Close waits for the peer's, its deadline stands still as well, for
    /// [`Config::close_patience`](crate::Config::close_patience) at a time: then the application is
    /// taken to be gone, and the engine is to [discard](Self::discards) what still arrives.
    pub fn pause(&mut self, now: Instant) {
        self.liveness.pause(now);
        if self.state == State::Closing
            && let Some(closing) = &mut self.closing
        {
            closing.pause(now);
        }
    }

    /// Returns whether the application no longer takes what arrives before the peer's Close: read
    /// on and discard it, so that what it got has no holes.
    #[must_use]
    pub fn discards(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.discards())
    }

    /// Tells that we read again.
    pub fn resume(&mut self, now: Instant) {
        let Some(pause) = self.liveness.resume(now) else { return };
        if let Some(closing) = &mut self.closing {
            closing.resume(now);
        }
        self.inbound.postpone(pause);
        if let Some(rate) = self.config.limits.control_rate {
            self.control_rate.grant(rate, pause);
        }
        if let Some(rare) = &mut self.rare {
            rare.postpone(now, pause);
        }
    }

    /// Returns whether reading is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.liveness.is_paused()
    }

    /// Tells that the peer ended its stream.
    pub fn handle_eof(&mut self, now: Instant) {
        match self.state {
            State::Open | State::Closing => {
                let cause = if self.inbound.is_mid_frame() {
                    Cause::EofMidFrame
                } else {
                    Cause::EofBetweenFrames
                };
                self.end_without_close(now, cause);
            }
            // A peer that has ended its stream may still read our answer to its Close.
            State::Finishing => self.hurry(now),
            State::Draining => self.set_closed(now),
            State::Closed => {}
        }
    }

    /// Tells that reading failed, or both directions did: nothing more can come.
    ///
    /// For a failure to write, see [`handle_write_error`](Self::handle_write_error).
    pub fn handle_io_error(&mut self, now: Instant, error: &io::Error) {
        self.abort(now, self.cause_of(error));
    }

    /// Tells that writing failed. What the peer sent before may still lie unread, its Close among
    /// it, so this alone ends nothing.
    ///
    /// What waited to be written is dropped, sending is refused as
    /// [`SendError::Closed`](crate::SendError::Closed), and nothing more is to be written or shut
    /// down. Go on reading: if a Close of the peer comes, it is the cause; if the stream ends or
    /// fails without one, or the close deadline passes, this error is.
    pub fn handle_write_error(&mut self, now: Instant, error: &io::Error) {
        self.stop_writing(now, self.cause_of(error));
    }

    fn cause_of(&self, error: &io::Error) -> Cause {
        if self.is_tls { Cause::from_tls(error) } else { Cause::from(error) }
    }
}
