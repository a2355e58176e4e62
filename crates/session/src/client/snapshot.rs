//! What a client stores to survive its process (protocol §5.4).

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;

use super::ClientSession;
use crate::{Config, Message, Prepared, Ticket, incoming::Incoming, outgoing::Outgoing};

/// What a client stores to survive its process. The token in it is secret; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What resumes the session.
    pub token: Bytes,
    /// The number of the last attempt.
    pub attempt: u64,
    /// How many sockets the session has had.
    pub epoch: u64,
    /// Up to where the application has stored the effect of what it received.
    pub recv: u64,
    /// The number of the next message that is sent.
    pub next: u64,
    /// The messages before `next` that were not acknowledged, the last ones without a hole.
    pub unacknowledged: Vec<Message>,
}

impl Snapshot {
    /// Returns a snapshot of these values, without messages.
    #[must_use]
    pub const fn new(token: Bytes, attempt: u64, epoch: u64, recv: u64, next: u64) -> Self {
        Self { token, attempt, epoch, recv, next, unacknowledged: Vec::new() }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("attempt", &self.attempt)
            .field("epoch", &self.epoch)
            .field("recv", &self.recv)
            .field("next", &self.next)
            .field("unacknowledged", &self.unacknowledged.len())
            .finish_non_exhaustive()
    }
}

impl ClientSession {
    /// Returns what has to be stored for [`restored`](Self::restored). Its `recv` is what may be
    /// forgotten ([`Acks::Manual`](crate::Acks::Manual): what was released).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { unacknowledged: self.end.out.unacknowledged(), ..self.marks() }
    }

    /// Returns a [`snapshot`](Self::snapshot) without its messages, which costs little: what is
    /// stored is out of date if this has changed.
    #[must_use]
    pub fn marks(&self) -> Snapshot {
        let (recv, next) = (self.end.incoming.done(&self.end.config), self.end.out.next());
        Snapshot::new(self.token().clone(), self.attempt, self.epoch, recv, next)
    }

    /// Returns the client's end of a session as it was stored. What was stored too late shows as a
    /// gap, or as a loss.
    #[must_use]
    pub fn restored(now: Instant, config: Arc<Config>, snapshot: Snapshot) -> Self {
        let mut this = Self::new(now, config);
        this.token = Ticket(snapshot.token);
        this.attempt = snapshot.attempt;
        this.epoch = snapshot.epoch;
        this.end.incoming = Incoming::restarted(snapshot.recv);
        let kept = snapshot.unacknowledged;
        this.end.out = Outgoing::restarted(snapshot.next.saturating_sub(kept.len() as u64).max(1));
        for message in kept {
            let prepared = Prepared::from_message(&message);
            this.end.out.restore(prepared);
        }
        this
    }
}
