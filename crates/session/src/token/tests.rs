//! What judging a token costs, counted: it tells nobody which tokens there are.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Attach, Config, Found, Hello, Principal, ServerSession, SessionId, Store, StoreConfig, Transmit,
};

thread_local! {
    /// Hashes made, and comparisons.
    pub(super) static HASHED: Cell<u32> = const { Cell::new(0) };
    pub(super) static COMPARED: Cell<u32> = const { Cell::new(0) };
}

type Handle = Rc<RefCell<ServerSession>>;

/// A server with a session of alice, whose token was replaced twice.
struct Scene {
    store: Store<(SessionId, Handle)>,
    id: SessionId,
    alice: Handle,
    now: Instant,
    tokens: [Bytes; 3],
}

fn random(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn hello(attempt: u64, token: &Bytes) -> Hello {
    Hello { token: token.clone(), ..Hello::first(attempt, 1000, 1000) }
}

/// Confirms the token of the newest socket.
fn confirm(session: &mut ServerSession, now: Instant) {
    let ack = Bytes::from_static(&[0x20, 0, 0, 0, 0xe8, 0x07]);
    let epoch = session.epoch();
    session.handle_message(now, epoch, &ack);
    assert!(session.is_attached());
}

/// Returns the token of the WELCOME that the newest socket gets.
fn token(session: &mut ServerSession, now: Instant) -> Bytes {
    let epoch = session.epoch();
    let Some(Transmit::Frame(frame)) = session.poll_transmit(now, epoch) else { panic!() };
    match crate::Frame::parse(crate::Role::Server, &frame) {
        Ok(crate::Frame::Welcome(crate::Welcome::Accepted(_, accepted))) => accepted.token,
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a beginning for the clock of a test")]
fn start() -> Instant {
    Instant::now()
}

impl Scene {
    fn new() -> Self {
        let (now, who) = (start(), Principal::new("alice"));
        let mut store = Store::new(StoreConfig::default());
        let mut seed = 0;
        let mut random = move |bytes: &mut [u8]| {
            seed += 1;
            bytes.fill(seed);
        };
        let config = Arc::new(Config::server());
        let first = hello(1, &Bytes::new());
        let (mut session, id) =
            ServerSession::accept(now, config, &first, who.clone(), true, &mut random);
        let mut tokens = vec![token(&mut session, now)];
        confirm(&mut session, now);
        for attempt in 2..=3 {
            let hello = hello(attempt, &tokens[tokens.len() - 1]);
            let attach = session.attach(now, &hello, Some(&who), &mut random);
            assert_eq!(attach, Attach::Attached(attempt));
            tokens.push(token(&mut session, now));
            confirm(&mut session, now);
        }
        let alice = Rc::new(RefCell::new(session));
        store.insert(&who, (id, alice.clone()));
        Self { store, id, alice, now, tokens: tokens.try_into().expect("there are three") }
    }

    /// Shows a token of no session that the client could resume, and returns how many hashes and
    /// comparisons it takes until a new one is there.
    #[track_caller]
    fn work(&self, token: &[u8], who: &str) -> (u32, u32) {
        let (hello, who) = (hello(9, &Bytes::copy_from_slice(token)), Principal::new(who));
        HASHED.set(0);
        COMPARED.set(0);
        if let Found::Session((_, session)) = self.store.find(&hello.token, Some(&who)) {
            let attach = session.borrow_mut().attach(self.now, &hello, Some(&who), &mut random);
            assert_eq!(attach, Attach::Unknown);
        }
        let config = Arc::new(Config::server());
        ServerSession::accept(self.now, config, &hello, who, true, &mut random);
        (HASHED.get(), COMPARED.get())
    }

    /// Ends the session of alice, by BYE or because nobody came.
    fn end(&mut self, by_bye: bool) {
        let mut alice = self.alice.borrow_mut();
        if by_bye {
            alice.end(crate::Code::ENDED, "thrown out");
        } else {
            let epoch = alice.epoch();
            alice.handle_closed(self.now, epoch);
            self.now += Duration::from_secs(60);
            alice.handle_timeout(self.now);
        }
        assert!(alice.is_ended() && alice.tombstone().is_some() == by_bye);
        let (id, who, tombstone) = (self.id, alice.principal().clone(), alice.tombstone());
        drop(alice);
        self.store.remove(self.now, id, &who, tombstone);
    }
}

#[test]
fn every_token_that_resumes_nothing_costs_the_same() {
    // The one that is shown is hashed and compared with two, the new one is hashed.
    let same = (2, 2);
    let mut scene = Scene::new();
    let [oldest, older, newest] = scene.tokens.clone();
    let mut forged = newest.to_vec();
    forged[47] ^= 1;
    let mut unknown = newest.to_vec();
    unknown[0] ^= 1;
    assert_eq!(scene.work(&forged, "alice"), same, "a forged secret");
    assert_eq!(scene.work(&unknown, "alice"), same, "the name of no session");
    assert_eq!(scene.work(&oldest, "alice"), same, "one that was replaced twice");
    assert_eq!(scene.work(&older, "mallory"), same, "one that was replaced, of another");
    assert_eq!(scene.work(&newest, "mallory"), same, "that of another");
    assert_eq!(scene.work(b"x", "alice"), same, "a short one");
    assert_eq!(scene.work(&[7; 255], "alice"), same, "a long one");
    scene.end(true);
    assert_eq!(scene.work(&forged, "alice"), same, "a forged one of a session that was ended");
    assert_eq!(scene.work(&newest, "mallory"), same, "that of another, which was ended");
    let mut scene = Scene::new();
    scene.end(false);
    assert_eq!(scene.work(&newest, "alice"), same, "an expired one");
}
