//! Every deadline of a connection.

use std::{sync::Arc, time::Instant};

use super::{Connection, State};
use crate::{
    Cause, Keepalive, Opcode, PathFacts, Tolerance,
    deadline::{LATE, after, is_late},
    heartbeat::Beat,
    keepalive::Rhythm,
    liveness::Due,
};

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
                let deadlines = [
                    self.liveness.poll_timeout(self.rhythm(), self.counters.bytes_sent),
                    self.message_deadline(),
                    self.write_deadline(),
                    self.idle_deadline(),
                    self.rare_deadline(),
                ];
                deadlines.into_iter().flatten().min()
            }
            State::Closing | State::Finishing | State::Draining => {
                self.closing.as_ref().map(|closing| closing.poll_timeout())
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
            || self.rare.is_some()
            || self.liveness.is_watching()
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
        if let Some(deadline) = self.message_deadline().filter(|deadline| is_late(*deadline, now)) {
            // The rest of it may lie unread.
            self.inbound.postpone(now + LATE - deadline);
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
        if self.handle_rare_timeout(now) {
            return;
        }
        let (rhythm, bytes_sent) = (self.rhythm(), self.counters.bytes_sent);
        let is_blocked = self.transmit.blocked_since().is_some();
        match self.liveness.handle_timeout(now, rhythm, bytes_sent, is_blocked) {
            None => {}
            Some(Due::Dead(silent_for)) => {
                // Best effort: the peer may hear us even though we do not hear it.
                self.fail(now, Cause::KeepaliveTimeout { silent_for });
                // It is not worth a wait; what the socket takes at once is enough.
                self.hurry(now);
            }
            Some(due) => {
                if due != Due::Pong {
                    self.write_numbered_ping(now);
                }
                if due != Due::Ping {
                    self.write_control(Opcode::Pong, &[]);
                }
            }
        }
    }

    /// Does what is due of what is off by default; returns whether the connection ends by it.
    fn handle_rare_timeout(&mut self, now: Instant) -> bool {
        let is_paused = self.liveness.is_paused();
        let can_send = self.open_message.is_none()
            && self.transmit.blocked_since().is_none()
            && !self.is_full();
        let Some(rare) = &mut self.rare else { return false };
        if rare.too_old().is_some_and(|too_old| too_old <= now)
            && let Some(max_age) = &self.config.max_age
        {
            let notice = max_age.notice.clone();
            self.close_because(now, Cause::MaxAge, notice);
            return true;
        }
        let Some(beating) = &mut rare.beating else { return false };
        match beating.handle_timeout(now, is_paused, can_send) {
            None => false,
            Some(Beat::Send(message)) => {
                rare.handle_beat_sent();
                self.send_prepared(&message).expect("nothing stands in the way");
                false
            }
            Some(Beat::Dead) => {
                self.fail(now, Cause::HeartbeatTimeout);
                true
            }
        }
    }

    /// Returns whether [`handle_path`](Self::handle_path) is wanted now, just before
    /// [`handle_timeout`](Self::handle_timeout): a peer is about to be given up, or data is in
    /// flight and the policy [watches the path](crate::Keepalive::watches_path).
    ///
    /// An engine whose streams have no such facts never asks.
    #[must_use]
    pub fn wants_path(&self, now: Instant) -> bool {
        self.state == State::Open && self.liveness.wants_facts(now, self.counters.bytes_sent)
    }

    /// Tells what the system knows of the path. Call [`handle_timeout`](Self::handle_timeout) next.
    ///
    /// A peer whose answer waits behind a transfer that moves is not given up. One that acknowledges
    /// nothing is asked early, if the policy says so, and given up if at the end of 1 s to 5 s, by
    /// the round-trip time, nothing has come and nothing been acknowledged.
    pub fn handle_path(&mut self, now: Instant, facts: PathFacts) {
        if self.state == State::Open {
            let (rhythm, bytes_sent) = (self.rhythm(), self.counters.bytes_sent);
            self.liveness.handle_facts(now, rhythm, facts, bytes_sent);
        }
    }

    /// Changes the keepalive of this connection; `None` asks no more.
    ///
    /// A question that was asked keeps its deadline. A timer that was armed for the earlier policy
    /// is to be armed again.
    pub fn set_keepalive(&mut self, policy: impl Into<Option<Keepalive>>) {
        let policy = policy.into();
        Arc::make_mut(&mut self.config).keepalive = policy;
        self.liveness.set_policy(policy);
    }

    /// Returns which silences the path was seen to tolerate, if the policy
    /// [learns](crate::Keepalive::learns).
    #[must_use]
    pub fn tolerance(&self) -> Tolerance {
        self.liveness.tolerance()
    }

    fn rhythm(&self) -> Option<Rhythm> {
        self.config.keepalive.map(|policy| Rhythm { policy, seed: self.seed })
    }

    /// Returns by when the message that is arriving must be complete; stands still while paused.
    fn message_deadline(&self) -> Option<Instant> {
        if self.liveness.is_paused() {
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
        if self.liveness.is_paused() || self.inbound.is_mid_message() {
            return None;
        }
        let last_message = self.rare.as_ref()?.last_message();
        self.config.idle_timeout.map(|timeout| after(last_message, timeout))
    }

    /// Returns when something is due of what is off by default.
    fn rare_deadline(&self) -> Option<Instant> {
        let rare = self.rare.as_ref()?;
        let beat = rare.beating.as_ref().map(|it| it.poll_timeout(self.liveness.is_paused()));
        beat.into_iter().chain(rare.too_old()).min()
    }
}
