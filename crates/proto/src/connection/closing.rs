//! The closing handshake and every other end. See RFC 6455 §7.

use std::time::{Duration, Instant};

use super::{Connection, Role, Shutdown, State};
use crate::{Cause, CloseCode, CloseFrame, Counters, Opcode, SendError, deadline::after};

/// Time in which what is queued may still be written after the peer has ended its stream.
const AFTER_EOF: Duration = Duration::from_secs(1);

/// Everything about the end of a connection.
#[derive(Debug)]
pub(crate) struct Closing {
    /// Why it ends: while the peer's Close is awaited, what the cause will be if it comes.
    pub(crate) cause: Cause,
    pub(crate) sent: Option<CloseFrame>,
    pub(crate) received: Option<CloseFrame>,
    /// When the current state is given up.
    pub(crate) deadline: Instant,
    /// Whether the peer has ended its stream.
    eof: bool,
    pub(crate) ended: Instant,
    /// What had gone through at the end.
    pub(crate) counters: Counters,
    /// How many messages had not been written whole at the end.
    pub(crate) unsent: u64,
}

impl Connection {
    /// Starts the closing handshake: sends Close and goes on reading until the peer's Close or the
    /// deadline. Does nothing if closing has begun.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] if the code must never be sent; the connection stays open.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        self.close_because(now, Cause::LocalClosed, frame);
        Ok(())
    }

    /// Like [`close`](Self::close), with the cause that the closure is to name.
    pub fn close_because(&mut self, now: Instant, cause: Cause, frame: CloseFrame) {
        if self.state != State::Open {
            return;
        }
        self.send_close(&frame);
        self.state = State::Closing;
        // Our own slowness must not stand between us and the peer's Close.
        self.resume(now);
        self.closing = Some(Box::new(Closing {
            cause,
            sent: Some(frame),
            received: None,
            deadline: after(now, self.close_timeout()),
            eof: false,
            ended: now,
            counters: self.counters,
            unsent: 0,
        }));
    }

    /// Cuts the connection: nothing more is written or read. Does nothing if it is closed.
    pub fn abort(&mut self, now: Instant, cause: Cause) {
        if self.state == State::Closed {
            return;
        }
        // Once how it ends is decided, a failure on the way out changes nothing.
        if matches!(self.state, State::Open | State::Closing) {
            self.decide(now, cause);
        }
        self.set_closed(now);
    }

    /// Fails the connection (§7.1.7): tells the peer if it can still read, and ends.
    pub fn fail(&mut self, now: Instant, cause: Cause) {
        if !matches!(self.state, State::Open | State::Closing) {
            return;
        }
        let sent = match self.state {
            State::Open => cause.close_frame(),
            _ => None, // Only one Close is ever sent.
        };
        if let Some(frame) = &sent {
            self.send_close(frame);
        }
        self.decide(now, cause);
        if let (Some(closing), Some(frame)) = (&mut self.closing, sent) {
            closing.sent = Some(frame);
        }
        self.begin_finishing(now, self.close_timeout());
    }

    /// Takes the peer's Close.
    pub(super) fn handle_close(&mut self, now: Instant, received: CloseFrame) {
        match &mut self.closing {
            // Ours was first, or both crossed: the handshake is complete.
            Some(closing) => closing.received = Some(received),
            None => {
                // §5.5.1: "When sending a Close frame in response, the endpoint typically echos
                // the status code it received."
                let answer = CloseFrame { code: received.code, reason: "".into() };
                self.send_close(&answer);
                self.decide(now, Cause::PeerClosed);
                if let Some(closing) = &mut self.closing {
                    closing.sent = Some(answer);
                    closing.received = Some(received);
                }
            }
        }
        self.begin_finishing(now, self.close_timeout());
    }

    /// Ends without a Close from the peer: writes what is queued, for a short time.
    pub(super) fn end_without_close(&mut self, now: Instant, cause: Cause) {
        self.decide(now, cause);
        if let Some(closing) = &mut self.closing {
            closing.eof = true;
        }
        self.begin_finishing(now, AFTER_EOF);
    }

    /// Takes the peer's end of stream while what is queued is being written.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(closing) = &mut self.closing {
            closing.eof = true;
            closing.deadline = closing.deadline.min(now + AFTER_EOF);
        }
    }

    /// Goes on from `Finishing` when everything is written.
    pub(super) fn finish(&mut self, now: Instant) {
        let Some(closing) = &mut self.closing else { return };
        if closing.eof {
            // It is what `Draining` would wait for.
            self.set_closed(now);
            return;
        }
        // §7.1.1: the server closes TCP first; a client waits for that after a clean close.
        let waits = self.role == Role::Client && closing.received.is_some();
        if !waits {
            self.shutdown = Shutdown::Wanted;
        }
        let linger = Duration::from_secs(if waits { 3 } else { 1 });
        closing.deadline = after(now, self.config.linger.unwrap_or(linger));
        self.state = State::Draining;
    }

    /// Gives up the current state when its deadline has passed.
    pub(super) fn handle_closing_timeout(&mut self, now: Instant) {
        let Some(closing) = &mut self.closing else { return };
        if now < closing.deadline {
            return;
        }
        // What was not to end by a handshake anyway keeps its name.
        if self.state == State::Closing && closing.cause.is_handshake() {
            closing.cause = Cause::CloseTimeout;
        }
        self.set_closed(now);
    }

    pub(super) fn set_closed(&mut self, now: Instant) {
        self.state = State::Closed;
        self.takes_simple = false;
        self.inbound.clear();
        let unsent = self.transmit.unsent() + u64::from(self.open_message.is_some());
        self.transmit.clear();
        self.unanswered = None;
        if let Some(closing) = &mut self.closing {
            closing.ended = now;
            closing.counters = self.counters;
            closing.unsent = unsent;
        }
    }

    /// Writes down why the connection ends.
    fn decide(&mut self, now: Instant, cause: Cause) {
        match &mut self.closing {
            // What was not to end by a handshake anyway keeps its name.
            Some(closing) if !closing.cause.is_handshake() => {}
            Some(closing) => closing.cause = cause,
            None => {
                self.closing = Some(Box::new(Closing {
                    cause,
                    sent: None,
                    received: None,
                    deadline: now,
                    eof: false,
                    ended: now,
                    counters: self.counters,
                    unsent: 0,
                }));
            }
        }
    }

    fn begin_finishing(&mut self, now: Instant, limit: Duration) {
        self.state = State::Finishing;
        self.takes_simple = false;
        self.unanswered = None;
        if let Some(closing) = &mut self.closing {
            closing.deadline = after(now, limit);
        }
        if self.transmit.is_empty() {
            self.finish(now);
        }
    }

    fn send_close(&mut self, frame: &CloseFrame) {
        let mut payload = Vec::with_capacity(2 + frame.reason.len());
        frame.encode(&mut payload);
        self.write_control(Opcode::Close, &payload);
    }

    fn close_timeout(&self) -> Duration {
        self.config.close_timeout.unwrap_or(Duration::from_secs(match self.role {
            Role::Server => 5,
            Role::Client => 3,
        }))
    }
}
