//! All sessions of a server: who is whose, how many, how much, and what gives way under pressure
//! (protocol §14).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::{Meter, Principal, SessionId, Tombstone, Welcome, token::judge_unknown};

/// Bounds of a server's sessions. Plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Bytes of messages that all buffers keep, each counted once. Default: 256 MiB.
    pub bytes: usize,
    /// Sessions without a socket. Default: 100,000.
    pub detached: usize,
    /// Sessions of one principal, unless it is anonymous. Default: 8.
    pub per_principal: usize,
    /// Ends that are remembered. Default: 10,000.
    pub tombstones: usize,
    /// How long an end is remembered. Default: 60 s.
    pub tombstone_ttl: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            detached: 100_000,
            per_principal: 8,
            tombstones: 10_000,
            tombstone_ttl: Duration::from_secs(60),
        }
    }
}

/// The table of a server's sessions. It knows them by handles `H`, such as an `Arc` of a mutex
/// around a [`ServerSession`](crate::ServerSession), and never looks into them.
///
/// Tell it of each session that begins, detaches, attaches and ends. When time passes
/// ([`poll_timeout`](Self::poll_timeout)), call `handle_timeout` of the sessions that
/// [`expired`](Self::expired) names; after a session detached or grew while detached, relieve the
/// memory as [`pressure`](Self::pressure) says.
#[derive(Debug)]
pub struct Store<H> {
    config: StoreConfig,
    meter: Meter,
    sessions: BTreeMap<SessionId, Entry<H>>,
    principals: BTreeMap<Principal, usize>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    detached: usize,
    tombstones: BTreeMap<SessionId, (Instant, Tombstone)>,
    /// Names of tombstones, oldest first.
    graves: VecDeque<SessionId>,
}

#[derive(Debug)]
struct Entry<H> {
    handle: H,
    principal: Principal,
    /// Boxed: those that are attached pay for it in every session.
    detached: Option<Box<Detached>>,
}

#[derive(Clone, Copy, Debug)]
struct Detached {
    since: Instant,
    deadline: Option<Instant>,
    bytes: usize,
}

/// What the store knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found<H> {
    /// There is a session of this name: ask it with
    /// [`attach`](crate::ServerSession::attach) whether the token is one of its own.
    Session(H),
    /// It was ended: send this answer and close the socket with its code.
    Ended(Welcome),
    /// Nothing.
    Unknown,
}

/// Whether a new session may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// It may, and may be resumed.
    Resumable,
    /// It may, but memory is short: it ends with its socket.
    NotResumable,
    /// It may not: send this answer and close the socket with its code.
    Refused(Welcome),
}

/// What to do with a session to relieve the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pressure<H> {
    /// Call [`evict_all`](crate::ServerSession::evict_all).
    Evict(H),
    /// Call [`drop_for_memory`](crate::ServerSession::drop_for_memory) and tell the store that the
    /// session ended.
    Drop(H),
}

impl<H: Clone> Store<H> {
    /// Returns an empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self {
            config,
            meter: Meter::default(),
            sessions: BTreeMap::new(),
            principals: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            detached: 0,
            tombstones: BTreeMap::new(),
            graves: VecDeque::new(),
        }
    }

    /// Returns what counts the bytes of messages, for
    /// [`Prepared::metered`](crate::Prepared::metered).
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns what is known of a HELLO's token.
    #[must_use]
    pub fn find(&self, token: &[u8], principal: Option<&Principal>) -> Found<H> {
        let Some(id) = SessionId::of_token(token) else {
            if !token.is_empty() {
                judge_unknown(token);
            }
            return Found::Unknown;
        };
        if let Some(entry) = self.sessions.get(&id) {
            return Found::Session(entry.handle.clone());
        }
        let tombstone = self.tombstones.get(&id).zip(principal);
        if tombstone.is_none() {
            judge_unknown(token);
        }
        let answer = tombstone.and_then(|((_, t), principal)| t.answer_to(token, principal));
        answer.map_or(Found::Unknown, Found::Ended)
    }

    /// Returns whether a new session of this principal may begin.
    #[must_use]
    pub fn admit(&self, principal: &Principal) -> Admission {
        let own = self.principals.get(principal).copied().unwrap_or(0);
        if principal.name().is_some() && own >= self.config.per_principal {
            return Admission::Refused(Welcome::Busy { after: 5000, spread: 10_000 });
        }
        if self.meter.bytes() > self.config.bytes || self.detached >= self.config.detached {
            return Admission::NotResumable;
        }
        Admission::Resumable
    }

    /// Notes a session that has begun, with its socket.
    pub fn insert(&mut self, id: SessionId, principal: Principal, handle: H) {
        *self.principals.entry(principal.clone()).or_default() += 1;
        self.sessions.insert(id, Entry { handle, principal, detached: None });
    }

    /// Notes that a session has no socket, what its buffer holds, and its
    /// [`poll_timeout`](crate::ServerSession::poll_timeout). Call it again when these change.
    pub fn set_detached(
        &mut self,
        id: SessionId,
        since: Instant,
        bytes: usize,
        deadline: Option<Instant>,
    ) {
        self.set_attached(id);
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.detached = Some(Box::new(Detached { since, deadline, bytes }));
            self.detached += 1;
            self.deadlines.extend(deadline.map(|at| (at, id)));
        }
    }

    /// Notes that a session has a socket.
    pub fn set_attached(&mut self, id: SessionId) {
        let detached = self.sessions.get_mut(&id).and_then(|entry| entry.detached.take());
        if let Some(detached) = detached {
            self.detached -= 1;
            if let Some(at) = detached.deadline {
                self.deadlines.remove(&(at, id));
            }
        }
    }

    /// Notes that a session is over, and what is to be remembered of it
    /// ([`tombstone`](crate::ServerSession::tombstone)).
    pub fn remove(&mut self, now: Instant, id: SessionId, tombstone: Option<Tombstone>) {
        self.set_attached(id);
        let Some(entry) = self.sessions.remove(&id) else { return };
        if let Some(own) = self.principals.get_mut(&entry.principal) {
            *own -= 1;
            if *own == 0 {
                self.principals.remove(&entry.principal);
            }
        }
        if let Some(tombstone) = tombstone {
            self.tombstones.insert(id, (now, tombstone));
            self.graves.push_back(id);
        }
        self.forget(now);
    }

    /// Returns a session without a socket for which something is due: call its `handle_timeout`,
    /// and tell the store what came of it. Each is returned once.
    pub fn expired(&mut self, now: Instant) -> Option<H> {
        self.forget(now);
        let (at, id) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let entry = self.sessions.get_mut(&id)?;
        if let Some(detached) = &mut entry.detached {
            detached.deadline = None;
        }
        Some(entry.handle.clone())
    }

    /// Returns when [`expired`](Self::expired) has something to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Returns the sessions that give way because memory is short, after those that
    /// [`expired`](Self::expired): the detached ones with the largest product of bytes and time
    /// without a socket; and the ones longest without, if there are too many. Never an attached one.
    pub fn pressure(&mut self, now: Instant) -> Vec<Pressure<H>> {
        let mut relief = Vec::new();
        let mut over = self.meter.bytes().saturating_sub(self.config.bytes);
        let mut candidates: Vec<_> = if over == 0 && self.detached <= self.config.detached {
            return relief;
        } else {
            self.sessions
                .iter()
                .filter_map(|(id, entry)| Some((*id, **entry.detached.as_ref()?)))
                .collect()
        };
        let age = |detached: &Detached| now.saturating_duration_since(detached.since).as_millis();
        candidates.sort_by_key(|(_, d)| std::cmp::Reverse(d.bytes as u128 * (age(d) + 1)));
        for (id, detached) in candidates.iter().filter(|(_, detached)| detached.bytes > 0) {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(detached.bytes);
            if let Some(entry) = self.sessions.get_mut(id) {
                entry.detached = Some(Box::new(Detached { bytes: 0, ..*detached }));
                relief.push(Pressure::Evict(entry.handle.clone()));
            }
        }
        candidates.sort_by_key(|(_, detached)| detached.since);
        let too_many = self.detached.saturating_sub(self.config.detached);
        for (id, _) in candidates.iter().take(too_many) {
            relief.extend(self.sessions.get(id).map(|e| Pressure::Drop(e.handle.clone())));
        }
        relief
    }

    /// Returns the session of this name.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<H> {
        self.sessions.get(&id).map(|entry| entry.handle.clone())
    }

    /// Returns all sessions.
    pub fn handles(&self) -> impl Iterator<Item = H> {
        self.sessions.values().map(|entry| entry.handle.clone())
    }

    /// Returns how many sessions there are, and how many of them have no socket.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.sessions.len(), self.detached)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Forgets ends that are old, or too many.
    fn forget(&mut self, now: Instant) {
        while let Some(id) = self.graves.front() {
            let age = self.tombstones.get(id).map(|(at, _)| now.saturating_duration_since(*at));
            let is_old = age.is_none_or(|age| age > self.config.tombstone_ttl);
            if !is_old && self.graves.len() <= self.config.tombstones {
                break;
            }
            self.tombstones.remove(id);
            self.graves.pop_front();
        }
    }
}
