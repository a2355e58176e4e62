//! A server with a peaceful session beside the one that misbehaves.

use std::time::Instant;

use bytes::Bytes;
use everwire_session::{
    Config, Counts, Frame, Hello, Prepared, SessionId, Status, StoreConfig, Transmit, Welcome,
};
use everwire_testkit::{session::Host, start};

pub(crate) const WINDOW: u64 = 1 << 18;

/// A server with a peaceful session beside the one that misbehaves.
pub(crate) struct Scene {
    pub(crate) host: Host,
    pub(crate) now: Instant,
    pub(crate) sockets: usize,
    pub(crate) peaceful: (usize, SessionId),
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Config::server())
    }

    pub(crate) fn with(config: Config) -> Self {
        let host = Host::new(config, StoreConfig::default(), 1);
        let nobody = SessionId::of_token(&[0; 48]).expect("it has the length");
        let mut this = Self { host, now: start(), sockets: 0, peaceful: (0, nobody) };
        let (socket, _) = this.attached("bob");
        this.peaceful = (socket, this.host.sessions()[0]);
        this
    }

    pub(crate) fn open(&mut self) -> usize {
        self.sockets += 1;
        self.host.open(self.now, self.sockets);
        self.sockets
    }

    pub(crate) fn say(&mut self, socket: usize, frame: &Frame) -> Vec<Transmit> {
        self.host.handle_message(self.now, socket, &frame.encode());
        self.heard(socket)
    }

    pub(crate) fn heard(&mut self, socket: usize) -> Vec<Transmit> {
        std::iter::from_fn(|| self.host.poll_transmit(self.now, socket)).collect()
    }

    pub(crate) fn hello(&mut self, hello: &Hello) -> (usize, Vec<Transmit>) {
        let socket = self.open();
        (socket, self.say(socket, &Frame::Hello(hello.clone())))
    }

    /// Returns a socket of a confirmed session, and its token.
    pub(crate) fn attached(&mut self, who: &'static str) -> (usize, Bytes) {
        let (socket, answer) = self.hello(&hello(1, who, Bytes::new()));
        let token = token_of(&answer);
        assert_eq!(self.say(socket, &ack(0, 0)), []);
        (socket, token)
    }

    /// The peaceful session still speaks both ways, on the socket it had.
    #[track_caller]
    pub(crate) fn assert_undisturbed(&mut self) {
        let (socket, id) = self.peaceful;
        let session = self.host.session(id).expect("it is there");
        session.borrow_mut().send(self.now, Prepared::text("still there?")).expect("room");
        let said = self.heard(socket);
        let last = said.last();
        assert!(matches!(last, Some(Transmit::Frame(frame)) if frame.ends_with(b"there?")));
        assert_eq!(session.borrow().epoch(), 1);
    }
}

pub(crate) fn hello(attempt: u64, who: &'static str, token: Bytes) -> Hello {
    let mut hello = Hello::first(attempt, WINDOW, 1 << 20);
    hello.auth = Bytes::from_static(who.as_bytes());
    hello.token = token;
    hello
}

pub(crate) fn ack(recv: u64, sent: u64) -> Frame {
    Frame::Ack(Counts { recv, done: recv, sent, window: WINDOW })
}

pub(crate) fn welcome(said: &[Transmit]) -> Option<Welcome> {
    let [Transmit::Frame(frame), ..] = said else { return None };
    match Frame::parse(everwire_session::Role::Server, frame) {
        Ok(Frame::Welcome(welcome)) => Some(welcome),
        _ => None,
    }
}

#[track_caller]
pub(crate) fn token_of(said: &[Transmit]) -> Bytes {
    match welcome(said) {
        Some(Welcome::Accepted(_, accepted)) => accepted.token,
        _ => panic!("it was not accepted: {said:?}"),
    }
}

#[track_caller]
pub(crate) fn status_of(said: &[Transmit]) -> Status {
    match welcome(said) {
        Some(Welcome::Accepted(status, _)) => status,
        _ => panic!("it was not accepted: {said:?}"),
    }
}
