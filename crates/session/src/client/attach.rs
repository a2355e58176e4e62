//! Attaching a socket (protocol §5.1, §5.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Asked, Attempt, ClientSession};
use crate::{
    Accepted, At, Code, EndedBy, Event, Frame, Hello, Malformed, Status, Ticket, Violation,
    Welcome, config::millis, incoming::Incoming, outgoing::Outgoing, socket::Socket,
};

impl ClientSession {
    /// Begins an attempt to attach a socket; `None` once the session is over.
    ///
    /// From now on nothing from an older socket has any effect: close those. Store the
    /// [`snapshot`](Self::snapshot), if the session is to survive the process, before the HELLO
    /// goes out.
    pub fn hello(&mut self, now: Instant) -> Option<Attempt> {
        let now = self.end.at(now);
        if self.end.is_ended {
            return None;
        }
        // Fence first, then look at the counters: what came later on the old socket would come
        // again on the new one.
        self.end.out.detach();
        self.attempt += 1;
        self.end.socket = Some(Socket::new(now));
        self.end.newest = self.attempt;
        self.doubt.begin();
        self.end.evict_old(now);
        let resumes = !self.token.0.is_empty();
        if !resumes && self.epoch > 0 {
            self.lose(); // The server keeps no session that it gave no token for.
        }
        let recv = self.end.incoming.recv();
        self.asked = Some(Asked { at: Some(now), recv, resumes });
        let config = &self.end.config;
        let hello = Hello {
            recv,
            lo: self.end.out.replay().first(),
            next: self.end.out.next(),
            ttl: millis(config.ttl),
            token: self.token.0.clone(),
            auth: self.ticket.0.clone(),
            ..Hello::first(self.attempt, self.end.incoming.grant(config), config.max_message)
        };
        Some(Attempt { number: self.attempt, hello: Frame::Hello(hello).encode() })
    }

    pub(super) fn welcome(&mut self, now: At, welcome: Welcome) -> Result<(), Violation> {
        let Some(asked) = self.asked.take() else {
            return Err(Malformed::NotNow("WELCOME").into());
        };
        match welcome {
            Welcome::Accepted(status, accepted) => {
                if asked.resumes == (status == Status::New) {
                    return Err(Malformed::NotNow("WELCOME of this status").into());
                }
                return self.accepted(now, asked, status, accepted);
            }
            Welcome::Ended { code, recv, reason } => {
                self.end.out.acknowledge_finally(recv);
                self.end.end(code, reason, EndedBy::Peer);
            }
            Welcome::Stale => {
                self.end.end(Code::SUPERSEDED, String::new(), EndedBy::Superseded);
            }
            Welcome::Version(_) => self.end.end(Code::VERSION, String::new(), EndedBy::Peer),
            refused => self.end.event(Event::Refused(refused)),
        }
        self.end.await_close(now);
        Ok(())
    }

    fn accepted(
        &mut self,
        now: At,
        asked: Asked,
        status: Status,
        accepted: Accepted,
    ) -> Result<(), Violation> {
        if let Some(socket) = &mut self.end.socket {
            socket.is_attached = true;
            socket.last_received = now;
        }
        match status {
            Status::Resumed => self.check(asked, &accepted)?,
            Status::New => self.check_fresh(&accepted)?,
            Status::Lost => {
                self.check_fresh(&accepted)?;
                self.lose();
            }
        }
        let counts = accepted.counts;
        self.end.out.attach(counts.recv, counts.done, counts.window, accepted.max_message);
        self.take_terms(accepted);
        self.doubt.attached();
        if status == Status::Resumed {
            self.end.event(Event::Resumed { epoch: self.epoch });
        } else {
            self.end.event(Event::Opened { id: self.id.clone() });
        }
        // The first frame is an ACK: it confirms the token, and its `sent` that both count alike.
        self.end.incoming.ack_in(now, Duration::ZERO);
        Ok(())
    }

    /// Tells the application that the session is lost, and begins both streams anew.
    fn lose(&mut self) {
        let unacknowledged = self.end.out.unacknowledged();
        let wants_room = std::mem::take(&mut self.end.wants_room);
        (self.end.out, self.end.incoming) = (Outgoing::new(), Incoming::new());
        self.epoch = 0;
        self.losses = self.losses.wrapping_add(1);
        self.end.event(Event::Lost { unacknowledged });
        if wants_room {
            self.end.event(Event::Writable);
        }
    }

    /// Checks where the server believes both streams to stand.
    fn check(&self, asked: Asked, accepted: &Accepted) -> Result<(), Violation> {
        let (counts, out) = (&accepted.counts, &self.end.out);
        if counts.sent != asked.recv {
            return Err(Violation::Sent { stated: counts.sent, received: asked.recv });
        }
        let (least, most) = (out.acked(), out.next() - 1);
        if !(least..=most).contains(&counts.recv) {
            return Err(Violation::Acknowledged { stated: counts.recv, least, most });
        }
        if counts.done < out.freed() {
            let (least, most) = (out.freed(), counts.recv);
            return Err(Violation::Acknowledged { stated: counts.done, least, most });
        }
        if accepted.epoch <= self.epoch {
            return Err(Violation::Epoch(accepted.epoch));
        }
        Ok(())
    }

    fn check_fresh(&self, accepted: &Accepted) -> Result<(), Violation> {
        let counts = &accepted.counts;
        match counts.recv.max(counts.done).max(counts.sent) {
            0 => Ok(()),
            stated => Err(Violation::Acknowledged { stated, least: 0, most: 0 }),
        }
    }

    fn take_terms(&mut self, accepted: Accepted) {
        self.epoch = accepted.epoch;
        self.token = Ticket(accepted.token);
        self.id = accepted.id;
        self.heartbeat = Duration::from_millis(accepted.heartbeat);
        self.heartbeat_timeout = Duration::from_millis(accepted.heartbeat_timeout);
        self.first_spread = Duration::from_millis(accepted.first_spread);
        self.ttl = Duration::from_millis(accepted.ttl);
    }

    /// Returns what resumes the session.
    pub(super) const fn token(&self) -> &Bytes {
        &self.token.0
    }
}
