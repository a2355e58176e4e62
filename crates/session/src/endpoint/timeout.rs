//! What is due, and when.

use super::Endpoint;
use crate::{At, Code, EndedBy};

impl Endpoint {
    /// Returns when something is due that both ends do.
    pub(crate) fn next_timeout(&self) -> Option<At> {
        let goodbye = self.goodbye.as_ref().and_then(|goodbye| goodbye.deadline);
        let Some(socket) = &self.socket else { return goodbye };
        let bye = socket.bye_at().map(|at| at + self.config.bye_timeout);
        if socket.is_parting || !socket.is_attached {
            return earliest([goodbye, bye]);
        }
        earliest([goodbye, bye, self.incoming.ack_at(), self.overdue_ping(), self.overdue_end()])
    }

    pub(crate) fn handle_timeout(&mut self, now: At) {
        self.shrink();
        let is_due = |at: Option<At>| at.is_some_and(|at| at <= now);
        if is_due(self.goodbye.as_ref().and_then(|goodbye| goodbye.deadline)) {
            return self.give_up();
        }
        let Some(socket) = &self.socket else { return };
        if is_due(socket.bye_at().map(|at| at + self.config.bye_timeout)) {
            return self.give_up();
        }
        if socket.is_parting || !socket.is_attached {
            return;
        }
        self.incoming.handle_timeout(now);
        if is_due(self.overdue_end()) {
            return self.detach(Some(Code::TIMEOUT));
        }
        if is_due(self.overdue_ping()) {
            self.ping();
        }
    }

    /// Gives back memory that is not used: time passes for a session that does little.
    fn shrink(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.shrink(self.out.waiting_since().is_some());
        }
        self.events.shrink();
        self.out.shrink();
        self.incoming.shrink();
    }

    /// Asks the peer for life, if it is not being asked.
    pub(crate) fn ping(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.ping_due = true;
        }
    }

    /// Returns whether a BYE was said on this socket, or answered.
    pub(super) fn has_said_bye(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.bye_at().is_some())
    }

    /// Ends a session whose goodbye nobody answers; a socket whose BYE was answered is closed.
    pub(super) fn give_up(&mut self) {
        let said_bye = self.has_said_bye();
        if said_bye && let Some(socket) = &mut self.socket {
            // The peer was to close it, and has not.
            socket.set_bye_at(None);
            socket.is_parting = false;
        }
        match self.goodbye.take() {
            Some(goodbye) if said_bye => {
                self.part(Code::NORMAL);
                self.end(goodbye.code, goodbye.reason, EndedBy::Us);
            }
            Some(goodbye) => self.end_abruptly(goodbye.code, &goodbye.reason, EndedBy::Us),
            None => self.part(Code::NORMAL),
        }
    }

    /// Returns when to ask a peer that lives and does not acknowledge.
    fn overdue_ping(&self) -> Option<At> {
        let socket = self.socket.as_ref()?;
        let at = self.out.waiting_since()? + self.config.ack_timeout / 6;
        // One that is silent is being asked: another PING would only give it more time.
        let is_asked = socket.ping_due || socket.silent_since().is_some();
        let was_asked = is_asked || socket.ping().is_some_and(|ping| ping.at >= at);
        (!was_asked).then_some(at)
    }

    fn overdue_end(&self) -> Option<At> {
        Some(self.out.waiting_since()? + self.config.ack_timeout)
    }
}

pub(crate) fn earliest<const N: usize>(times: [Option<At>; N]) -> Option<At> {
    times.into_iter().flatten().min()
}
