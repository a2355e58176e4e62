//! The closing handshake and every other end. See RFC 6455 §7.

use std::time::{Duration, Instant};

use super::{Connection, Role, Shutdown, State};
use crate::{
    Cause, CloseCode, CloseFrame, Counters, Opcode, SendError,
    deadline::{LATE, after, is_late},
};

/// Time in which what is queued may still be written after the peer has ended its stream.
const AFTER_EOF: Duration = Duration::from_secs(1);

/// Everything about the end of a connection.
#[derive(Debug)]
pub(crate) struct Closing {
    /// Why it ends: while the peer's Close is awaited, what the cause will be if it comes.
    pub(crate) cause: Cause,
    /// What came in the way of the closing handshake, if `cause` is a decision of ours.
    pub(crate) failure: Option<Cause>,
    /// Whether the end is our side's wish.
    pub(crate) ours: bool,
    /// The Close that we queued.
    pub(crate) sent: Option<CloseFrame>,
    /// How many bytes will have been sent when it has.
    sent_at: u64,
    pub(crate) received: Option<CloseFrame>,
    /// When the current state is given up.
    pub(crate) deadline: Instant,
    /// Since when reading pauses, and the deadline stands still.
    paused_since: Option<Instant>,
    /// How long it may.
    patience: Duration,
    /// The application does not take what it is given: what still arrives is discarded.
    discards: bool,
    /// Why nothing can be written any more: the cause, unless the peer's Close comes.
    write_error: Option<Cause>,
    /// Whether the peer has ended its stream.
    eof: bool,
    pub(crate) ended: Instant,
    /// What had gone through at the end.
    pub(crate) counters: Counters,
    /// How many messages had not been written whole at the end.
    pub(crate) unsent: u64,
}

impl Closing {
    /// Returns when something is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.paused_since.map_or(self.deadline, |since| after(since, self.patience))
    }

    /// Returns whether what still arrives is discarded.
    pub(super) fn discards(&self) -> bool {
        self.discards
    }

    /// Notes that reading pauses.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_since.get_or_insert(now);
    }

    /// Ends a pause, which does not count as the peer's time.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused_since.take() {
            self.deadline += now.saturating_duration_since(since);
        }
    }

    /// Returns our Close, if all of it was written.
    pub(crate) fn sent(&self) -> Option<&CloseFrame> {
        self.sent.as_ref().filter(|_| self.sent_at <= self.counters.bytes_sent)
    }
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

    /// Like [`close`](Self::close), with the cause that the closure is to name, such as
    /// [`Cause::Kicked`]; [`Cause::close_frame`] has a frame for each.
    pub fn close_because(&mut self, now: Instant, cause: Cause, frame: CloseFrame) {
        if self.state != State::Open {
            return;
        }
        self.await_close(now, cause);
        if let Some(closing) = &mut self.closing {
            closing.ours = true;
        }
        self.send_close(frame);
    }

    /// Stops sending because writing failed, and reads on to learn whether the peer said why.
    pub(super) fn stop_writing(&mut self, now: Instant, cause: Cause) {
        match self.state {
            State::Open => self.await_close(now, cause.clone()),
            State::Closing => {}
            // How it ends is decided; what was still to be said cannot be.
            State::Finishing => return self.set_closed(now),
            // All is said: only the end of the peer's stream is awaited, or the deadline.
            State::Draining => return self.handle_shutdown(now),
            State::Closed => return,
        }
        let unsent = self.transmit.unsent();
        self.transmit.clear();
        if let Some(closing) = &mut self.closing {
            closing.unsent += unsent;
            closing.write_error.get_or_insert(cause);
        }
    }

    /// Returns whether nothing can be written any more.
    pub(super) fn has_write_error(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.write_error.is_some())
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
        self.decide(now, cause);
        if let Some(frame) = sent {
            self.send_close(frame);
        }
        self.begin_finishing(now, self.close_timeout());
    }

    /// Takes the peer's Close.
    pub(super) fn handle_close(&mut self, now: Instant, received: CloseFrame) {
        if self.state == State::Open {
            self.decide(now, Cause::PeerClosed);
            // §5.5.1: "When sending a Close frame in response, the endpoint typically echos the
            // status code it received."
            self.send_close(CloseFrame { code: received.code, reason: "".into() });
        }
        let bytes_sent = self.counters.bytes_sent;
        if let Some(closing) = &mut self.closing {
            let is_ours_out = closing.sent.is_some() && closing.sent_at <= bytes_sent;
            if closing.write_error.is_some() && !is_ours_out {
                // It cannot be answered, but it says why the peer went.
                closing.cause = Cause::PeerClosed;
                closing.ours = false;
            }
            // Else ours was first, or both crossed: the handshake is complete.
            closing.received = Some(received);
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

    /// Takes the peer's end of stream, or gives up waiting for it, while what is queued is being
    /// written.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(closing) = &mut self.closing {
            closing.eof = true;
            closing.deadline = closing.deadline.min(now + AFTER_EOF);
        }
    }

    /// Goes on from `Finishing` when everything is written.
    pub(super) fn finish(&mut self, now: Instant) {
        let Some(closing) = &mut self.closing else { return };
        if closing.eof || closing.write_error.is_some() {
            // It is what `Draining` would wait for, or nothing of ours is left to be destroyed.
            self.set_closed(now);
            return;
        }
        // §7.1.1: the server closes TCP first; a client waits for that after a clean close.
        let is_clean = closing.received.is_some() && closing.sent.is_some();
        let may_end = self.simple.ends() && self.config.linger.is_none();
        if is_clean && may_end && self.liveness.is_answered(self.liveness.last_ping()) {
            // §5.5.1: the peer sends no more data, and it owes us no Pong (§5.5.2). So nothing comes
            // that would be answered by a reset, which destroys what we sent, but for a Pong that
            // nobody asked for.
            self.set_closed(now);
            return;
        }
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
        if now < closing.poll_timeout() {
            return;
        }
        if closing.paused_since.is_some() {
            closing.discards = true;
            closing.resume(now);
            // It may have passed before the pause began.
            if now < closing.deadline {
                return;
            }
        }
        if self.state == State::Closing {
            if is_late(closing.deadline, now) {
                // The peer's Close may lie unread.
                closing.deadline = now + LATE;
                return;
            }
            self.decide(now, Cause::CloseTimeout);
        }
        self.set_closed(now);
    }

    pub(super) fn set_closed(&mut self, now: Instant) {
        self.state = State::Closed;
        self.simple.take_no_more();
        self.inbound.clear();
        let unsent = self.transmit.unsent() + u64::from(self.open_message.is_some());
        self.transmit.clear();
        if let Some(closing) = &mut self.closing {
            closing.ended = now;
            closing.counters = self.counters;
            closing.unsent += unsent;
        }
    }

    /// Writes down why the connection ends.
    fn decide(&mut self, now: Instant, cause: Cause) {
        match &mut self.closing {
            Some(closing) => {
                let cause = closing.write_error.clone().unwrap_or(cause);
                if closing.cause.is_decision() {
                    closing.failure = Some(cause);
                } else {
                    closing.cause = cause;
                }
            }
            None => self.closing = Some(Box::new(self.new_closing(now, cause))),
        }
    }

    /// Sends no more, and waits for the peer's Close.
    fn await_close(&mut self, now: Instant, cause: Cause) {
        self.state = State::Closing;
        // Our own slowness must not stand between us and the peer's Close.
        self.resume(now);
        let closing = self.new_closing(after(now, self.close_timeout()), cause);
        self.closing = Some(Box::new(closing));
    }

    fn new_closing(&self, deadline: Instant, cause: Cause) -> Closing {
        Closing {
            ours: matches!(cause, Cause::Aborted | Cause::Cancelled),
            cause,
            failure: None,
            sent: None,
            sent_at: 0,
            received: None,
            deadline,
            paused_since: None,
            patience: self.config.close_patience,
            discards: false,
            write_error: None,
            eof: false,
            ended: deadline,
            counters: self.counters,
            unsent: 0,
        }
    }

    fn begin_finishing(&mut self, now: Instant, limit: Duration) {
        self.state = State::Finishing;
        self.simple.take_no_more();
        drop(self.transmit.take_unanswered());
        if let Some(closing) = &mut self.closing {
            closing.deadline = after(now, limit);
            closing.paused_since = None;
        }
        if self.transmit.is_empty() {
            self.finish(now);
        }
    }

    fn send_close(&mut self, frame: CloseFrame) {
        let mut payload = Vec::with_capacity(2 + frame.reason.len());
        frame.encode(&mut payload);
        self.write_control(Opcode::Close, &payload);
        let sent_at = self.counters.bytes_sent + self.transmit.frames_len() as u64;
        if let Some(closing) = &mut self.closing {
            closing.sent_at = sent_at;
            closing.sent = Some(frame);
        }
    }

    fn close_timeout(&self) -> Duration {
        self.config.close_timeout.unwrap_or(Duration::from_secs(match self.role {
            Role::Server => 5,
            Role::Client => 3,
        }))
    }
}
