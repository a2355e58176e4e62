//! When a client asks for life, suspects its socket, and gives it up (protocol §9).

use std::time::Duration;

use super::ClientSession;
use crate::{At, Code, endpoint::earliest};

/// How long a message may go unacknowledged in silence before the server is asked.
const PROBE_AFTER: Duration = Duration::from_secs(1);

impl ClientSession {
    pub(super) fn silence_timeout(&self) -> Option<At> {
        if let Some(at) = self.attach_deadline() {
            return earliest([Some(at), self.tell_at()]);
        }
        earliest([self.dead_at(), self.tell_at(), self.suspect_at(), self.probe_at()])
    }

    pub(super) fn handle_silence(&mut self, now: At) {
        let is_due = |at: Option<At>| at.is_some_and(|at| at <= now);
        if is_due(self.tell_at()) {
            self.tell();
        }
        if is_due(self.attach_deadline()) {
            self.asked = None;
            return self.end.detach(Some(Code::TIMEOUT));
        }
        if is_due(self.dead_at()) {
            return self.end.detach(Some(Code::TIMEOUT));
        }
        if is_due(self.suspect_at()) {
            self.suspect(now);
        }
        if is_due(self.probe_at()) {
            self.end.ping();
        }
    }

    fn attach_deadline(&self) -> Option<At> {
        let asked = self.asked.filter(|_| self.end.socket.is_some())?;
        Some(asked.at? + self.end.config.attach_timeout)
    }

    fn dead_at(&self) -> Option<At> {
        let socket = self.end.socket.as_ref().filter(|_| self.end.is_attached())?;
        Some(socket.last_received + self.heartbeat + self.heartbeat_timeout)
    }

    /// Returns when silence after a PING becomes suspicious. Without a token another socket could not
    /// take over: it would cost the session.
    fn suspect_at(&self) -> Option<At> {
        let socket = self.end.socket.as_ref().filter(|_| self.end.is_attached())?;
        let may_suspect = !self.is_suspected() && !self.token.0.is_empty();
        let ping = socket.silent_since().filter(|_| may_suspect)?;
        Some(ping.at + self.end.rtt.patience_after(self.doubt.doubts()))
    }

    /// Returns when to ask because a message is not acknowledged and nothing arrives.
    fn probe_at(&self) -> Option<At> {
        let socket = self.end.socket.as_ref().filter(|_| self.end.is_attached())?;
        let waiting_since = self.end.out.waiting_since()?;
        let asks = socket.ping_due || socket.silent_since().is_some();
        let at = waiting_since.max(socket.last_received) + PROBE_AFTER;
        (self.end.config.probes && !asks).then_some(at)
    }
}
