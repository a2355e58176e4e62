//! All sessions of a server: who is whose, how many, how much, and what gives way under pressure
//! (protocol §14).

mod by_id;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use self::by_id::{ById, IdHashes};

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

/// What a [`Store`] knows a session by. It says which session it is, always the same: the table keeps
/// nothing beside it.
///
/// # Examples
///
/// ```
/// use everwire_session::{Handle, Principal, SessionId, Store, StoreConfig};
///
/// /// A place in a table of sessions.
/// #[derive(Clone)]
/// struct Place {
///     id: SessionId,
///     index: usize,
/// }
///
/// impl Handle for Place {
///     fn id(&self) -> &SessionId {
///         &self.id
///     }
/// }
///
/// let mut store = Store::new(StoreConfig::default());
/// let id = SessionId::of_token(&[7; 48]).expect("a token has 48 bytes");
/// store.insert(&Principal::new("alice"), Place { id, index: 3 });
/// assert_eq!(store.get(id).map(|place| place.index), Some(3));
/// ```
pub trait Handle: Clone {
    /// Returns the session's name.
    fn id(&self) -> &SessionId;
}

impl<T: Identified> Handle for Arc<T> {
    fn id(&self) -> &SessionId {
        (**self).id()
    }
}

impl<T: Clone> Handle for (SessionId, T) {
    fn id(&self) -> &SessionId {
        &self.0
    }
}

/// What has the name of a session, and never another.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use everwire_session::{Identified, ServerSession, SessionId, Store, StoreConfig};
///
/// /// A session that threads share.
/// struct Shared {
///     id: SessionId,
///     session: Mutex<ServerSession>,
/// }
///
/// impl Identified for Shared {
///     fn id(&self) -> &SessionId {
///         &self.id
///     }
/// }
///
/// let store: Store<Arc<Shared>> = Store::new(StoreConfig::default());
/// assert!(store.is_empty());
/// ```
pub trait Identified {
    /// Returns the session's name.
    fn id(&self) -> &SessionId;
}

/// The table of a server's sessions. It knows them by handles `H`, such as an `Arc` of an
/// [`Identified`] with a mutex around a [`ServerSession`](crate::ServerSession), and never looks into
/// them. An attached session costs it the size of a handle.
///
/// Tell it of each session that begins, detaches, attaches and ends. When time passes
/// ([`poll_timeout`](Self::poll_timeout)), call `handle_timeout` of the sessions that
/// [`expired`](Self::expired) names; after a session detached or grew while detached, relieve the
/// memory as [`pressure`](Self::pressure) says.
///
/// # Examples
/// What to do with the HELLO of a socket:
///
/// ```
/// use std::{sync::{Arc, Mutex}, time::Instant};
/// use everwire_session::{
///     Admission, Attach, Config, Found, Hello, Principal, Random, ServerSession, SessionId, Store, Welcome,
/// };
///
/// type Session = (SessionId, Arc<Mutex<ServerSession>>);
///
/// /// Returns the session and the epoch of the socket, or the answer before it is closed.
/// fn attach(
///     store: &mut Store<Session>,
///     now: Instant,
///     hello: &Hello,
///     who: &Principal,
///     random: &mut dyn Random,
/// ) -> Result<(Session, u64), Welcome> {
///     match store.find(&hello.token, Some(who)) {
///         Found::Session(found) => {
///             let attach = found.1.lock().unwrap().attach(now, hello, Some(who), random);
///             match attach {
///                 Attach::Attached(epoch) => {
///                     store.set_attached(found.0);
///                     return Ok((found, epoch));
///                 }
///                 Attach::Refused(answer) => return Err(answer),
///                 _ => {} // The token is not its own: as if there were none.
///             }
///         }
///         Found::Ended(answer) => return Err(answer),
///         _ => {}
///     }
///     let is_resumable = match store.admit(who) {
///         Admission::Refused(answer) => return Err(answer),
///         admission => admission == Admission::Resumable,
///     };
///     let config = Arc::new(Config::server());
///     let (session, id) =
///         ServerSession::accept(now, config, hello, who.clone(), is_resumable, random);
///     let (epoch, session) = (session.epoch(), (id, Arc::new(Mutex::new(session))));
///     store.insert(who, session.clone());
///     Ok((session, epoch))
/// }
///
/// # use everwire_session::{ClientSession, StoreConfig};
/// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
/// # let mut client = ClientSession::new(now, Arc::new(Config::client()));
/// # let hello = Hello::parse(&client.hello(now).expect("it has not ended").hello)?;
/// let mut store = Store::new(StoreConfig::default());
/// let (session, epoch) = attach(&mut store, now, &hello, &Principal::new("alice"), &mut random)
///     .expect("there is room");
/// assert_eq!((store.len(), epoch), ((1, 0), 1));
/// # Ok::<(), everwire_session::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Store<H> {
    config: StoreConfig,
    meter: Meter,
    sessions: HashSet<ById<H>, IdHashes>,
    /// How many sessions those have who are not anonymous.
    principals: BTreeMap<Principal, usize>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    detached: BTreeMap<SessionId, Detached>,
    /// These by the time since when they have no socket.
    ages: BTreeSet<(Instant, SessionId)>,
    /// Those of them that keep messages.
    keepers: BTreeSet<SessionId>,
    tombstones: BTreeMap<SessionId, (Instant, Tombstone)>,
    /// Names of tombstones, oldest first.
    graves: VecDeque<SessionId>,
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

impl<H: Handle> Store<H> {
    /// Returns an empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self {
            config,
            meter: Meter::default(),
            sessions: HashSet::default(),
            principals: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            detached: BTreeMap::new(),
            ages: BTreeSet::new(),
            keepers: BTreeSet::new(),
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
        if let Some(handle) = self.get(id) {
            return Found::Session(handle);
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
        if self.principals.get(principal).is_some_and(|own| *own >= self.config.per_principal) {
            return Admission::Refused(Welcome::Busy { after: 5000, spread: 10_000 });
        }
        if self.meter.bytes() > self.config.bytes || self.detached.len() >= self.config.detached {
            return Admission::NotResumable;
        }
        Admission::Resumable
    }

    /// Notes a session that has begun, with its socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Config, Hello, Principal, ServerSession, Store, StoreConfig};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (hello, config) = (Hello::first(1, 1 << 18, 1 << 20), Arc::new(Config::server()));
    /// # let mut store = Store::new(StoreConfig::default());
    /// let who = Principal::new("alice");
    /// let (session, id) =
    ///     ServerSession::accept(now, config, &hello, who.clone(), true, &mut random);
    /// // The store keeps the handle: here it is the name, and what belongs to it.
    /// store.insert(&who, (id, Arc::new(session)));
    /// assert!(store.get(id).is_some());
    /// ```
    pub fn insert(&mut self, principal: &Principal, handle: H) {
        if principal.name().is_some() {
            *self.principals.entry(principal.clone()).or_default() += 1;
        }
        self.sessions.insert(ById(handle));
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
        if self.sessions.contains(&id) {
            self.detached.insert(id, Detached { since, deadline, bytes });
            self.ages.insert((since, id));
            if bytes > 0 {
                self.keepers.insert(id);
            }
            self.deadlines.extend(deadline.map(|at| (at, id)));
        }
    }

    /// Notes that a session has a socket.
    pub fn set_attached(&mut self, id: SessionId) {
        let Some(detached) = self.detached.remove(&id) else { return };
        self.ages.remove(&(detached.since, id));
        self.keepers.remove(&id);
        if let Some(at) = detached.deadline {
            self.deadlines.remove(&(at, id));
        }
    }

    /// Notes that a session of this principal is over, and what is to be remembered of it
    /// ([`tombstone`](crate::ServerSession::tombstone)).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Code, Config, Hello, Principal, ServerSession, Store, StoreConfig};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (hello, config) = (Hello::first(1, 1 << 18, 1 << 20), Arc::new(Config::server()));
    /// # let mut store = Store::new(StoreConfig::default());
    /// let who = Principal::new("alice");
    /// let (mut session, id) =
    ///     ServerSession::accept(now, config, &hello, who.clone(), true, &mut random);
    /// store.insert(&who, (id, ()));
    /// session.end(Code::ENDED, "thrown out");
    /// // Who comes back with its token within a minute is told so; then there is nothing left of it.
    /// store.remove(now, id, &who, session.tombstone());
    /// assert!(store.is_empty());
    /// ```
    pub fn remove(
        &mut self,
        now: Instant,
        id: SessionId,
        principal: &Principal,
        tombstone: Option<Tombstone>,
    ) {
        self.set_attached(id);
        if !self.sessions.remove(&id) {
            return;
        }
        if let Some(own) = self.principals.get_mut(principal) {
            *own -= 1;
            if *own == 0 {
                self.principals.remove(principal);
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
        if let Some(detached) = self.detached.get_mut(&id) {
            detached.deadline = None;
        }
        self.get(id)
    }

    /// Returns when [`expired`](Self::expired) has something to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Returns the sessions that give way because memory is short, after those that
    /// [`expired`](Self::expired): the detached ones with the largest product of bytes and time
    /// without a socket, until an eighth of the limit is free; and the ones longest without, if there
    /// are too many. Never an attached one.
    pub fn pressure(&mut self, now: Instant) -> Vec<Pressure<H>> {
        let mut relief = Vec::new();
        if self.meter.bytes() > self.config.bytes {
            self.evict(now, &mut relief);
        }
        let too_many = self.detached.len().saturating_sub(self.config.detached);
        let oldest = self.ages.iter().take(too_many);
        relief.extend(oldest.filter_map(|(_, id)| self.get(*id)).map(Pressure::Drop));
        relief
    }

    /// Has sessions give up their messages: more than is needed, so that the next are not looked through
    /// for each that detaches.
    fn evict(&mut self, now: Instant, relief: &mut Vec<Pressure<H>>) {
        let mut over = self.meter.bytes().saturating_sub(self.config.bytes / 8 * 7);
        let keepers = self.keepers.iter().filter_map(|id| Some((*id, *self.detached.get(id)?)));
        let mut keepers: Vec<_> = keepers.collect();
        let age = |detached: &Detached| now.saturating_duration_since(detached.since).as_millis();
        keepers.sort_by_key(|(_, d)| std::cmp::Reverse(d.bytes as u128 * (age(d) + 1)));
        for (id, detached) in keepers {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(detached.bytes);
            self.detached.insert(id, Detached { bytes: 0, ..detached });
            self.keepers.remove(&id);
            relief.extend(self.get(id).map(Pressure::Evict));
        }
    }

    /// Returns the session of this name.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<H> {
        self.sessions.get(&id).map(|ById(handle)| handle.clone())
    }

    /// Returns all sessions.
    pub fn handles(&self) -> impl Iterator<Item = H> {
        self.sessions.iter().map(|ById(handle)| handle.clone())
    }

    /// Returns how many sessions there are, and how many of them have no socket.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.sessions.len(), self.detached.len())
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
