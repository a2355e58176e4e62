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

/// What has changed since a [`Snapshot`] was stored: with it that becomes the present one.
///
/// It costs what is new, however many messages wait. The token in it is secret; `Debug` does not show it.
///
/// # Examples
///
/// ```
/// # use std::{sync::Arc, time::Instant};
/// # use everwire_session::{ClientSession, Config, Prepared};
/// # let (now, config) = (Instant::now(), Arc::new(Config::client()));
/// let mut session = ClientSession::new(now, config);
/// // A log: the whole, then what has changed.
/// let whole = session.snapshot();
/// let (mut known, mut log) = (session.marks(), Vec::new());
/// for text in ["one", "two"] {
///     session.send(now, Prepared::text(text))?;
///     log.push(session.change_since(&known));
///     known = session.marks();
/// }
/// // Another process reads it.
/// let mut read = whole;
/// assert!(log.into_iter().all(|change| read.apply(change)));
/// assert_eq!(read, session.snapshot());
/// # Ok::<(), everwire_session::SendError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotChange {
    /// What resumes the session from now on; `None` if that is as it was.
    pub token: Option<Bytes>,
    /// The number of the last attempt.
    pub attempt: u64,
    /// How many sockets the session has had.
    pub epoch: u64,
    /// Up to where the application has stored the effect of what it received.
    pub recv: u64,
    /// The number of the next message that is sent.
    pub next: u64,
    /// The number of the oldest message that is kept (`next` if there is none): older ones are done with.
    pub lo: u64,
    /// The messages before `next` that were not there, the last ones without a hole.
    pub new: Vec<Message>,
}

impl SnapshotChange {
    /// Returns a change to these values, without messages and with the token as it was.
    #[must_use]
    pub const fn new(attempt: u64, epoch: u64, recv: u64, next: u64, lo: u64) -> Self {
        Self { token: None, attempt, epoch, recv, next, lo, new: Vec::new() }
    }
}

impl Snapshot {
    /// Makes it what it is after this change; returns whether they fit together. If not, it is of no use
    /// any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, time::Instant};
    /// use everwire_session::{ClientSession, Config, Prepared};
    ///
    /// # fn main() -> Result<(), everwire_session::SendError> {
    /// let now = Instant::now();
    /// let mut session = ClientSession::new(now, Arc::new(Config::client()));
    /// session.send(now, Prepared::text("one"))?;
    /// let mut stored = session.snapshot();
    /// session.send(now, Prepared::text("two"))?;
    /// let change = session.change_since(&stored);
    /// assert_eq!(change.new.len(), 1);
    /// assert!(stored.apply(change));
    /// assert_eq!(stored, session.snapshot());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn apply(&mut self, change: SnapshotChange) -> bool {
        let from = self.next.max(change.lo);
        // As many as there are numbers: none is missing.
        let fits = change.next.checked_sub(from) == Some(change.new.len() as u64);
        self.unacknowledged.retain(|message| message.number.is_some_and(|it| it >= change.lo));
        self.unacknowledged.extend(change.new);
        self.token = change.token.unwrap_or_else(|| self.token.clone());
        (self.attempt, self.epoch) = (change.attempt, change.epoch);
        (self.recv, self.next) = (change.recv, change.next);
        fits
    }
}

impl fmt::Debug for SnapshotChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotChange")
            .field("attempt", &self.attempt)
            .field("epoch", &self.epoch)
            .field("recv", &self.recv)
            .field("next", &self.next)
            .field("lo", &self.lo)
            .field("new", &self.new.len())
            .finish_non_exhaustive()
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

    /// Returns what has changed since this was stored, of which the messages are not looked at: it costs
    /// what is new. It is of use as long as the session was not lost in between
    /// ([`losses`](Self::losses)); then store it [whole](Self::snapshot).
    #[must_use]
    pub fn change_since(&self, stored: &Snapshot) -> SnapshotChange {
        let (marks, out) = (self.marks(), &self.end.out);
        let lo = out.lo();
        SnapshotChange {
            token: (marks.token != stored.token).then_some(marks.token),
            attempt: marks.attempt,
            epoch: marks.epoch,
            recv: marks.recv,
            next: marks.next,
            lo,
            new: out.replay().messages_from(lo.max(stored.next)),
        }
    }

    /// Returns how often the session was lost and another took its place, with numbers of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{ClientSession, Config};
    /// # let (now, config) = (Instant::now(), Arc::new(Config::client()));
    /// let mut session = ClientSession::new(now, config);
    /// let (losses, mut stored) = (session.losses(), session.snapshot());
    /// // After whatever has happened since:
    /// let is_same = session.losses() == losses;
    /// if !(is_same && stored.apply(session.change_since(&stored))) {
    ///     stored = session.snapshot(); // Another session: its numbers begin anew.
    /// }
    /// assert_eq!(stored, session.snapshot());
    /// ```
    #[must_use]
    pub const fn losses(&self) -> u32 {
        self.losses
    }

    /// Returns the client's end of a session as it was stored. What was stored too late shows as a
    /// gap, or as a loss.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{ClientSession, Config, Prepared};
    /// # let (now, config) = (Instant::now(), Arc::new(Config::client()));
    /// let mut session = ClientSession::new(now, config.clone());
    /// session.send(now, Prepared::text("kept"))?;
    /// let stored = session.snapshot();
    /// drop(session); // The process has died.
    /// let session = ClientSession::restored(now, config, stored);
    /// assert_eq!(session.buffered(), (4, 1));
    /// # Ok::<(), everwire_session::SendError>(())
    /// ```
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
