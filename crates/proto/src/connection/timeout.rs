//! Every deadline of a connection.

use std::time::{Duration, Instant};

use super::{Connection, State};
use crate::{Cause, Opcode, deadline::after, heartbeat::Due};

impl Connection {
    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called; `None` for never.
    ///
    /// Receiving moves it later; a timer that was armed for the earlier time may simply fire and
    /// be armed again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open => {
                let keepalive = self.config.keepalive.as_ref();
                let mut next = keepalive.map(|policy| self.heartbeat.poll_timeout(policy));
                let others = [self.message_deadline(), self.write_deadline(), self.idle_deadline()];
                for deadline in others.into_iter().flatten() {
                    next = Some(next.map_or(deadline, |next| next.min(deadline)));
                }
                next
            }
            State::Closing | State::Finishing | State::Draining => {
                self.closing.as_ref().map(|closing| closing.deadline)
            }
        }
    }

    /// Returns whether the next deadline may come before that of an ordinary keepalive.
    ///
    /// Receiving only ever moves the keepalive's deadline later, so while this is `false` a timer
    /// that is armed need not be looked at.
    #[must_use]
    #[inline]
    pub fn has_near_deadline(&self) -> bool {
        self.state != State::Open
            || self.inbound.is_partial()
            || self.transmit.blocked_since().is_some()
            || self.config.idle_timeout.is_some()
            || self.heartbeat.is_waiting()
    }

    /// Does what is due at `now`. Afterwards [`poll_timeout`](Self::poll_timeout) is later than
    /// `now` or `None`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Open {
            self.handle_open_timeout(now);
        }
        if !matches!(self.state, State::Open | State::Closed) {
            self.handle_closing_timeout(now);
        }
    }

    fn handle_open_timeout(&mut self, now: Instant) {
        if self.write_deadline().is_some_and(|deadline| deadline <= now) {
            // The socket is full: there is no way to tell the peer.
            return self.abort(now, Cause::WriteTimeout);
        }
        if self.message_deadline().is_some_and(|deadline| deadline <= now) {
            let received = self.inbound.arrived();
            return self.fail(now, Cause::MessageTimeout { received });
        }
        if self.idle_deadline().is_some_and(|deadline| deadline <= now)
            && let Some(frame) = Cause::Idle.close_frame()
        {
            return self.close_because(now, Cause::Idle, frame);
        }
        let Some(policy) = self.config.keepalive else { return };
        match self.heartbeat.handle_timeout(&policy, now) {
            None => {}
            // Behind a full socket a ping would only wait, and nobody may be given up who was not
            // asked. The write timeout and TCP itself find a dead path there.
            Some(_) if self.transmit.blocked_since().is_some() => {}
            Some(Due::Dead(silent_for)) => {
                // Best effort: the peer may hear us even though we do not hear it.
                self.fail(now, Cause::KeepaliveTimeout { silent_for });
                if let Some(closing) = &mut self.closing {
                    // It is not worth a wait; what the socket takes at once is enough.
                    closing.deadline = closing.deadline.min(now + Duration::from_secs(1));
                }
            }
            Some(due) => {
                let payload = self.heartbeat.next_ping(now);
                self.write_control(Opcode::Ping, &payload);
                if due == Due::PingAndPong {
                    self.write_control(Opcode::Pong, &[]);
                }
            }
        }
    }

    /// Returns by when the message that is arriving must be complete; stands still while paused.
    fn message_deadline(&self) -> Option<Instant> {
        if self.heartbeat.is_paused() {
            return None;
        }
        self.inbound.deadline(&self.config.limits)
    }

    fn write_deadline(&self) -> Option<Instant> {
        self.transmit.blocked_since().map(|since| after(since, self.config.write_timeout))
    }

    /// Returns by when a message must go either way; stands still while paused, and while a message
    /// is arriving, which has its own deadline.
    fn idle_deadline(&self) -> Option<Instant> {
        if self.heartbeat.is_paused() || self.inbound.is_mid_message() {
            return None;
        }
        self.config.idle_timeout.map(|timeout| after(self.last_message, timeout))
    }
}
