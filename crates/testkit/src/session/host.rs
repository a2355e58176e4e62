//! A server's sessions and their sockets, driven by hand.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use everwire_session::{
    Admission, Attach, Code, Config, Event, Found, Frame, Hello, Pressure, Principal,
    ServerSession, SessionId, Store, StoreConfig, Transmit, Welcome,
};

use super::wire::whole;
use crate::Rng;

type Handle = Rc<RefCell<ServerSession>>;

/// What a socket has of its session: its name, the session, and the epoch.
type Seat = (SessionId, Handle, u64);

/// All that a server does between its sockets and its sessions: what an engine does with tasks and
/// locks, one call after another.
///
/// A HELLO's ticket is the principal's name; without one the client is nobody.
#[derive(Debug)]
pub struct Host {
    config: Arc<Config>,
    store: Store<(SessionId, Handle)>,
    sockets: BTreeMap<usize, Socket>,
    live: BTreeMap<SessionId, Handle>,
    events: VecDeque<(SessionId, Event)>,
    rng: Rng,
}

#[derive(Debug)]
struct Socket {
    opened: Instant,
    session: Option<Seat>,
    /// What is said on a socket that belongs to no session.
    answer: VecDeque<Transmit>,
    closed: bool,
}

impl Host {
    /// Returns a server without sessions.
    #[must_use]
    pub fn new(config: Config, store: StoreConfig, seed: u64) -> Self {
        Self {
            config: Arc::new(config),
            store: Store::new(store),
            sockets: BTreeMap::new(),
            live: BTreeMap::new(),
            events: VecDeque::new(),
            rng: Rng::new(seed),
        }
    }

    /// Notes that a socket has been opened.
    pub fn open(&mut self, now: Instant, socket: usize) {
        let answer = VecDeque::new();
        let fresh = Socket { opened: now, session: None, answer, closed: false };
        self.sockets.insert(socket, fresh);
    }

    /// Handles a binary message on a socket, the first of which is a HELLO.
    pub fn handle_message(&mut self, now: Instant, socket: usize, message: &Bytes) {
        let Some(known) = self.sockets.get(&socket).filter(|socket| !socket.closed) else { return };
        if let Some((id, session, epoch)) = &known.session {
            // What is lent is taken in, and handed out, as what is owned.
            let mut session = session.borrow_mut();
            match message.len() % 3 {
                0 => session.handle_borrowed(now, *epoch, message),
                1 => session.handle_message(now, *epoch, message),
                _ => {
                    let lent = session.handle_lent(now, *epoch, message);
                    let event = lent.map(|message| (*id, Event::Message(message.to_message())));
                    self.events.extend(event);
                }
            }
        } else if known.answer.is_empty() {
            match Hello::parse(message) {
                Ok(hello) => self.hello(now, socket, &hello),
                Err(_) => self.refuse(socket, None, Code::MALFORMED),
            }
        }
        self.settle(now);
    }

    /// Handles a text message on a socket.
    pub fn handle_text(&mut self, now: Instant, socket: usize) {
        match self.sockets.get(&socket).and_then(|socket| socket.session.as_ref()) {
            Some((_, session, epoch)) => session.borrow_mut().handle_text(now, *epoch),
            None => self.refuse(socket, None, Code::MALFORMED),
        }
        self.settle(now);
    }

    /// Notes that a socket has gone.
    pub fn handle_closed(&mut self, now: Instant, socket: usize) {
        if let Some(Socket { session: Some((_, session, epoch)), .. }) =
            self.sockets.remove(&socket)
        {
            session.borrow_mut().handle_closed(now, epoch);
        }
        self.settle(now);
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let deadline = |socket: &Socket| socket.opened + self.config.attach_timeout;
        let late = |socket: &Socket| {
            socket.session.is_none() && socket.answer.is_empty() && deadline(socket) <= now
        };
        let late: Vec<_> =
            self.sockets.iter().filter(|(_, s)| !s.closed && late(s)).map(|(n, _)| *n).collect();
        for socket in late {
            self.refuse(socket, None, Code::TIMEOUT);
        }
        while let Some((_, session)) = self.store.expired(now) {
            session.borrow_mut().handle_timeout(now);
        }
        for session in self.live.values().filter(|session| session.borrow().is_attached()) {
            if session.borrow().poll_timeout().is_some_and(|at| at <= now) {
                session.borrow_mut().handle_timeout(now);
            }
        }
        // A session that has ended may still have a socket to close.
        for (_, session, _) in self.sockets.values().filter_map(|socket| socket.session.as_ref()) {
            let mut session = session.borrow_mut();
            if session.is_ended() && session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let open = self.sockets.values().filter(|socket| !socket.closed);
        let sockets = open.filter_map(|socket| match &socket.session {
            Some((_, session, _)) => session.borrow().poll_timeout(),
            None if socket.answer.is_empty() => Some(socket.opened + self.config.attach_timeout),
            None => None,
        });
        sockets.chain(self.store.poll_timeout()).min()
    }

    /// Returns what to do on a socket.
    pub fn poll_transmit(&mut self, now: Instant, socket: usize) -> Option<Transmit> {
        let known = self.sockets.get_mut(&socket).filter(|socket| !socket.closed)?;
        let transmit = match &known.session {
            Some((_, session, epoch)) => {
                let mut session = session.borrow_mut();
                let message = whole(session.poll_message(now, *epoch));
                message.or_else(|| session.poll_transmit(now, *epoch))
            }
            None => known.answer.pop_front(),
        };
        known.closed = matches!(transmit, Some(Transmit::Close(_)));
        if transmit.is_some() {
            self.settle(now);
        }
        transmit
    }

    /// Returns what happened in a session.
    pub fn poll_event(&mut self, now: Instant) -> Option<(SessionId, Event)> {
        if self.events.is_empty() {
            self.collect(now);
        }
        self.events.pop_front()
    }

    /// Returns a session that has not ended.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<Handle> {
        self.live.get(&id).cloned()
    }

    /// Returns the sessions that have not ended.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &Store<(SessionId, Handle)> {
        &self.store
    }

    /// Tells the store what became of the sessions. Call it after using one directly.
    pub fn settle(&mut self, now: Instant) {
        self.collect(now);
        let sessions: Vec<_> = self.live.iter().map(|(id, s)| (*id, s.clone())).collect();
        for (id, session) in sessions {
            let session = session.borrow();
            if session.is_ended() {
                self.live.remove(&id);
                self.store.remove(now, id, session.principal(), session.tombstone());
            } else if let Some(since) = session.detached_at() {
                let (bytes, _) = session.buffered();
                self.store.set_detached(id, since, bytes, session.poll_timeout());
            } else {
                self.store.set_attached(id);
            }
        }
        for relief in self.store.pressure(now) {
            match relief {
                Pressure::Evict((_, session)) => session.borrow_mut().evict_all(),
                Pressure::Drop((_, session)) => session.borrow_mut().drop_for_memory(),
                _ => {}
            }
        }
    }

    fn hello(&mut self, now: Instant, socket: usize, hello: &Hello) {
        if !hello.is_known_version() {
            return self.answer(socket, Welcome::Version(1));
        }
        let name = str::from_utf8(&hello.auth).unwrap_or_default();
        let principal = (!name.is_empty()).then(|| Principal::new(name));
        match self.store.find(&hello.token, principal.as_ref()) {
            Found::Session((id, session)) => {
                let principal = principal.as_ref();
                let attach = session.borrow_mut().attach(now, hello, principal, &mut self.rng);
                match (attach.close_code(), attach) {
                    (_, Attach::Attached(epoch)) => return self.bind(socket, (id, session, epoch)),
                    (Some(code), Attach::Refused(welcome)) => {
                        return self.refuse(socket, Some(welcome), code);
                    }
                    _ => {}
                }
            }
            Found::Ended(welcome) => return self.answer(socket, welcome),
            _ => {}
        }
        let Some(principal) = principal else { return self.answer(socket, Welcome::Auth) };
        self.settle(now); // An old session may just have ended.
        let resumable = match self.store.admit(&principal) {
            Admission::Refused(welcome) => return self.answer(socket, welcome),
            admission => admission == Admission::Resumable,
        };
        let config = self.config.clone();
        let owner = principal.clone();
        let (session, id) =
            ServerSession::accept(now, config, hello, owner, resumable, &mut self.rng);
        let epoch = session.epoch();
        let session = Rc::new(RefCell::new(session));
        self.store.insert(&principal, (id, session.clone()));
        self.live.insert(id, session.clone());
        self.bind(socket, (id, session, epoch));
    }

    fn bind(&mut self, socket: usize, seat: Seat) {
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.session = Some(seat);
        }
    }

    fn answer(&mut self, socket: usize, welcome: Welcome) {
        let code = welcome.close_code().unwrap_or(Code::NORMAL);
        self.refuse(socket, Some(welcome), code);
    }

    fn refuse(&mut self, socket: usize, welcome: Option<Welcome>, code: Code) {
        let Some(socket) = self.sockets.get_mut(&socket) else { return };
        let frame = welcome.map(|welcome| Frame::Welcome(welcome).encode());
        socket.answer.extend(frame.map(Transmit::Frame));
        socket.answer.push_back(Transmit::Close(code));
    }

    fn collect(&mut self, now: Instant) {
        for (id, session) in &self.live {
            while let Some(event) = session.borrow_mut().poll_event(now) {
                self.events.push_back((*id, event));
            }
        }
    }
}
