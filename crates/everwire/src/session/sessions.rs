//! All sessions of a server.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use everwire_session::{
    Admission, Attach, Code, Config, Event, Found, Hello, Kind, Meter, Overflow, Prepared,
    Pressure, Principal, ServerSession, SessionId, Store, StoreConfig, Tombstone, Welcome,
};

use super::{
    Identity, SessionHandler, SessionSender, SessionStats, SessionsBuilder, alarm::Alarm,
    live::Live, stats::Totals,
};
use crate::{Sender, random};

/// Says who shows a ticket.
pub(super) type Identify = Arc<dyn Fn(&[u8]) -> Option<Identity> + Send + Sync>;

/// Makes the handler of a session.
type Make = Box<dyn Fn(&SessionSender) -> Box<dyn SessionHandler> + Send + Sync>;

/// The sessions of a server. Cheap to clone: several paths may share them, and a client may come
/// back on another path than it left.
///
/// See the [module](super) for an example.
///
/// # Examples
/// ```
/// use everwire::session::{SessionId, Sessions};
///
/// /// Pokes a session by its name, and tells how it stands with all.
/// fn poke(sessions: &Sessions, name: SessionId) -> String {
///     match sessions.get(name) {
///         Some(session) if session.is_attached() => drop(session.send_text("are you there?")),
///         Some(_) => return "away".into(), // What is sent now would wait for it.
///         None => return "gone".into(),
///     }
///     let stats = sessions.stats();
///     format!("{} sessions, {} away, {} bytes kept", stats.sessions, stats.detached, stats.bytes)
/// }
/// ```
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Table>);

impl Sessions {
    /// Begins to describe sessions.
    #[must_use]
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder::default()
    }

    /// Encodes a text message for any number of sessions, which share it.
    #[must_use]
    pub fn text(&self, text: &str) -> Prepared {
        Prepared::metered(Kind::Text, text.as_bytes(), self.0.meter())
    }

    /// Encodes a binary message for any number of sessions, which share it.
    #[must_use]
    pub fn binary(&self, payload: &[u8]) -> Prepared {
        Prepared::metered(Kind::Binary, payload, self.0.meter())
    }

    /// Returns the session of this name, if it lives.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<SessionSender> {
        self.0.store().get(id).map(SessionSender)
    }

    /// Returns all sessions that live.
    #[must_use]
    pub fn all(&self) -> Vec<SessionSender> {
        self.0.store().handles().map(SessionSender).collect()
    }

    /// Returns what they are doing, and have done.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut stats = self.0.totals.stats();
        (stats.sessions, stats.detached) = self.0.store().len();
        stats.bytes = self.0.meter().bytes();
        stats
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sessions").field(&self.stats()).finish()
    }
}

/// What all sessions share.
pub(super) struct Table {
    config: Arc<Config>,
    identify: Option<Identify>,
    make: Make,
    meter: Meter,
    store: Mutex<Store<Arc<Live>>>,
    alarm: Arc<Alarm>,
    totals: Totals,
    /// Bytes of messages that all buffers may keep.
    limit: usize,
    relieving: AtomicBool,
}

/// What became of a HELLO.
pub(super) enum Answer {
    Attached(Arc<Live>, u64),
    /// Behind the answer the connection is closed with this code.
    Refused(Welcome, Code),
}

impl Answer {
    fn refused(welcome: Welcome) -> Self {
        let code = welcome.close_code().unwrap_or(Code::NORMAL);
        Self::Refused(welcome, code)
    }
}

impl Table {
    pub(super) fn new(
        config: Config,
        store: StoreConfig,
        identify: Option<Identify>,
        make: Make,
    ) -> Arc<Self> {
        let limit = store.bytes;
        let store = Store::new(store);
        Arc::new(Self {
            config: Arc::new(config),
            identify,
            make,
            meter: store.meter().clone(),
            store: Mutex::new(store),
            alarm: Arc::default(),
            totals: Totals::default(),
            limit,
            relieving: AtomicBool::new(false),
        })
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }

    /// Returns how long to wait for a HELLO.
    pub(super) fn attach_timeout(&self) -> Duration {
        self.config.attach_timeout
    }

    /// Returns the time over which clients spread their return.
    pub(super) fn first_spread(&self) -> Duration {
        self.config.terms.first_spread
    }

    /// Returns whether the oldest messages of a session without a connection make room for others.
    pub(super) fn evicts(&self) -> bool {
        self.config.buffer.overflow == Overflow::Evict
    }

    /// Returns the largest WebSocket message that a client may send.
    pub(super) fn max_frame(&self) -> u64 {
        self.config.max_frame()
    }

    pub(super) fn count(&self, event: &Event) {
        self.totals.count(event);
    }

    /// Returns who shows a ticket in this one's session. Where nobody asks for tickets any will do.
    pub(super) fn renewed(&self, ticket: &[u8], whose: &Principal) -> Option<Identity> {
        match self.identify {
            Some(_) => self.identify(ticket),
            None => Some(Identity::new(whose.clone())),
        }
    }

    /// Returns who shows a ticket.
    fn identify(&self, ticket: &[u8]) -> Option<Identity> {
        let identify = self.identify.as_ref()?;
        let call = std::panic::AssertUnwindSafe(|| identify(ticket));
        std::panic::catch_unwind(call).unwrap_or_else(|_| {
            tracing::error!("the code that judges tickets panicked");
            None
        })
    }

    /// Returns who a client is that shows this ticket in its HELLO, if any, and was named by
    /// `authorize`, if at all.
    pub(super) fn who(&self, ticket: &[u8], named: Option<&Principal>) -> Option<Identity> {
        if let Some(named) = named {
            return Some(Identity::new(named.clone()));
        }
        match &self.identify {
            Some(_) if ticket.is_empty() => None,
            Some(_) => self.identify(ticket),
            None => Some(Identity::new(Principal::ANONYMOUS)),
        }
    }

    /// Attaches a connection to the session that its HELLO asks for, or to a new one.
    pub(super) fn attach(
        self: &Arc<Self>,
        now: Instant,
        hello: &Hello,
        who: Option<Identity>,
        sender: &Sender,
    ) -> Answer {
        if !hello.is_known_version() {
            return Answer::refused(Welcome::Version(1));
        }
        let principal = who.as_ref().map(|who| &who.principal);
        let found = self.store().find(&hello.token, principal);
        match found {
            Found::Session(live) => {
                let attach = live.attach(now, hello, principal, sender);
                match (attach.close_code(), attach) {
                    (_, Attach::Attached(epoch)) => {
                        if let Some(who) = who {
                            live.act(|session, now| session.set_expiry(now, who.valid_for));
                        }
                        return Answer::Attached(live, epoch);
                    }
                    (Some(code), Attach::Refused(welcome)) => {
                        return Answer::Refused(welcome, code);
                    }
                    _ => {}
                }
            }
            Found::Ended(welcome) => return Answer::refused(welcome),
            _ => {}
        }
        let Some(who) = who else { return Answer::refused(Welcome::Auth) };
        self.open(now, hello, who, sender)
    }

    /// Begins a session.
    fn open(
        self: &Arc<Self>,
        now: Instant,
        hello: &Hello,
        who: Identity,
        sender: &Sender,
    ) -> Answer {
        let admission = self.store().admit(&who.principal);
        let resumable = match admission {
            Admission::Refused(welcome) => return Answer::refused(welcome),
            admission => admission == Admission::Resumable,
        };
        let (config, principal) = (self.config.clone(), who.principal.clone());
        let (mut session, id) =
            ServerSession::accept(now, config, hello, principal, resumable, &mut random::fill);
        session.set_expiry(now, who.valid_for);
        let live = Live::new(self.clone(), id, session, &self.make);
        self.store().insert(&who.principal, live.clone());
        live.begin(sender);
        Answer::Attached(live, 1)
    }

    pub(super) fn note_attached(&self, id: SessionId) {
        self.store().set_attached(id);
    }

    pub(super) fn note_detached(&self, id: SessionId, since: Instant, bytes: usize) {
        // The alarm looks after its deadline.
        self.store().set_detached(id, since, bytes, None);
    }

    pub(super) fn note_end(
        &self,
        now: Instant,
        id: SessionId,
        principal: &Principal,
        tombstone: Option<Tombstone>,
    ) {
        self.store().remove(now, id, principal, tombstone);
    }

    /// Has sessions give way if their messages take too much memory.
    pub(super) fn relieve_if_over(&self, now: Instant) {
        if self.meter.bytes() > self.limit {
            self.relieve(now);
        }
    }

    /// Has sessions give way if memory is short.
    pub(super) fn relieve(&self, now: Instant) {
        if self.relieving.swap(true, Ordering::AcqRel) {
            return;
        }
        let relief = self.store().pressure(now);
        for relief in relief {
            match relief {
                Pressure::Evict(live) => live.relieve(ServerSession::evict_all),
                Pressure::Drop(live) => live.relieve(ServerSession::drop_for_memory),
                _ => {}
            }
        }
        self.relieving.store(false, Ordering::Release);
    }

    fn store(&self) -> MutexGuard<'_, Store<Arc<Live>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
