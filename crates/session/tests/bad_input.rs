//! What a peer can do wrong, each with the code it gets, and that nobody else is disturbed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use everwire_session::{
    ClientSession, Code, Config, Counts, EndedBy, Event, Frame, GapRange, GapReason, Hello, Kind,
    Prepared, Reauthentication, SessionId, Status, StoreConfig, Transmit, Welcome,
};
use everwire_testkit::{session::Host, start};

const WINDOW: u64 = 1 << 18;

/// A server with a peaceful session beside the one that misbehaves.
struct Scene {
    host: Host,
    now: Instant,
    sockets: usize,
    peaceful: (usize, SessionId),
}

impl Scene {
    fn new() -> Self {
        Self::with(Config::server())
    }

    fn with(config: Config) -> Self {
        let host = Host::new(config, StoreConfig::default(), 1);
        let nobody = SessionId::of_token(&[0; 48]).expect("it has the length");
        let mut this = Self { host, now: start(), sockets: 0, peaceful: (0, nobody) };
        let (socket, _) = this.attached("bob");
        this.peaceful = (socket, this.host.sessions()[0]);
        this
    }

    fn open(&mut self) -> usize {
        self.sockets += 1;
        self.host.open(self.now, self.sockets);
        self.sockets
    }

    fn say(&mut self, socket: usize, frame: &Frame) -> Vec<Transmit> {
        self.host.handle_message(self.now, socket, &frame.encode());
        self.heard(socket)
    }

    fn heard(&mut self, socket: usize) -> Vec<Transmit> {
        std::iter::from_fn(|| self.host.poll_transmit(self.now, socket)).collect()
    }

    fn hello(&mut self, hello: &Hello) -> (usize, Vec<Transmit>) {
        let socket = self.open();
        (socket, self.say(socket, &Frame::Hello(hello.clone())))
    }

    /// Returns a socket of a confirmed session, and its token.
    fn attached(&mut self, who: &'static str) -> (usize, Bytes) {
        let (socket, answer) = self.hello(&hello(1, who, Bytes::new()));
        let token = token_of(&answer);
        assert_eq!(self.say(socket, &ack(0, 0)), []);
        (socket, token)
    }

    /// The peaceful session still speaks both ways, on the socket it had.
    #[track_caller]
    fn assert_undisturbed(&mut self) {
        let (socket, id) = self.peaceful;
        let session = self.host.session(id).expect("it is there");
        session.borrow_mut().send(self.now, Prepared::text("still there?")).expect("room");
        let said = self.heard(socket);
        assert!(matches!(&said[..], [Transmit::Frame(frame)] if frame.ends_with(b"there?")));
        assert_eq!(session.borrow().epoch(), 1);
    }

    /// Says this on an attached socket: the session ends with this code, on both sides.
    #[track_caller]
    fn check(mut self, frames: &[Bytes], code: Code) {
        let (socket, token) = self.attached("alice");
        let mut said = Vec::new();
        for frame in frames {
            self.host.handle_message(self.now, socket, frame);
            said.extend(self.heard(socket));
        }
        let [.., Transmit::Frame(bye), Transmit::Close(close)] = &said[..] else {
            panic!("no BYE and Close: {said:?}");
        };
        assert_eq!(*close, code);
        let bye = Frame::parse(everwire_session::Role::Server, bye).expect("a frame");
        assert!(matches!(bye, Frame::Bye { code: said, reply: false, .. } if said == code));
        let (_, answer) = self.hello(&hello(2, "alice", token));
        let Some(Welcome::Ended { code: told, .. }) = welcome(&answer) else {
            panic!("{answer:?}");
        };
        assert_eq!(told, code);
        self.assert_undisturbed();
    }
}

fn hello(attempt: u64, who: &'static str, token: Bytes) -> Hello {
    let mut hello = Hello::first(attempt, WINDOW, 1 << 20);
    hello.auth = Bytes::from_static(who.as_bytes());
    hello.token = token;
    hello
}

fn ack(recv: u64, sent: u64) -> Frame {
    Frame::Ack(Counts { recv, done: recv, sent, window: WINDOW })
}

fn text(payload: &'static str) -> Frame {
    let payload = Bytes::from_static(payload.as_bytes());
    Frame::Data { kind: Kind::Text, volatile: false, payload }
}

fn gap(from: u64, to: u64) -> Frame {
    Frame::Gap(GapRange { from, to, reason: GapReason::EvictedBytes })
}

fn welcome(said: &[Transmit]) -> Option<Welcome> {
    let [Transmit::Frame(frame), ..] = said else { return None };
    match Frame::parse(everwire_session::Role::Server, frame) {
        Ok(Frame::Welcome(welcome)) => Some(welcome),
        _ => None,
    }
}

#[track_caller]
fn token_of(said: &[Transmit]) -> Bytes {
    match welcome(said) {
        Some(Welcome::Accepted(_, accepted)) => accepted.token,
        _ => panic!("it was not accepted: {said:?}"),
    }
}

#[track_caller]
fn status_of(said: &[Transmit]) -> Status {
    match welcome(said) {
        Some(Welcome::Accepted(status, _)) => status,
        _ => panic!("it was not accepted: {said:?}"),
    }
}

#[track_caller]
fn check(frames: &[Frame], code: Code) {
    let frames: Vec<_> = frames.iter().map(Frame::encode).collect();
    Scene::new().check(&frames, code);
}

#[test]
fn a_counter_that_is_too_high_ends_with_4410() {
    check(&[ack(0, 1)], Code::COUNTERS);
}

#[test]
fn a_counter_that_is_too_low_ends_with_4410() {
    check(&[text("1"), ack(0, 0)], Code::COUNTERS);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_with_4410() {
    check(&[ack(1, 0)], Code::COUNTERS);
}

#[test]
fn the_largest_counters_end_with_4410() {
    check(&[ack(everwire_session::MAX_NUMBER, everwire_session::MAX_NUMBER)], Code::COUNTERS);
}

#[test]
fn gaps_that_overlap_end_with_4410() {
    check(&[gap(1, 5), gap(5, 6)], Code::COUNTERS);
}

#[test]
fn a_gap_over_messages_that_came_ends_with_4410() {
    check(&[text("1"), gap(1, 1)], Code::COUNTERS);
}

#[test]
fn a_gap_to_the_last_number_is_possible_and_then_nothing_more_counts() {
    let far = everwire_session::MAX_NUMBER;
    check(&[gap(1, far), ack(0, far), gap(far, far)], Code::COUNTERS);
    check(&[gap(1, far), text("one too many")], Code::COUNTERS);
}

#[test]
fn a_frame_larger_than_agreed_ends_with_4502() {
    let mut config = Config::server();
    config.max_message = 4;
    Scene::with(config).check(&[text("12345").encode()], Code::TOO_BIG);
}

#[test]
fn a_message_without_credit_ends_with_4411() {
    let mut config = Config::server();
    config.window = 40;
    config.acks = everwire_session::Acks::Manual;
    Scene::with(config)
        .check(&[text("1").encode(), text("2").encode(), text("3").encode()], Code::WINDOW);
}

#[test]
fn malformed_frames_end_with_4500() {
    for frame in [&b""[..], b"\x00", b"\x20", b"\x11\xff", b"\x60\x06", b"\x80\x00\x00\x00"] {
        Scene::new().check(&[Bytes::from_static(frame)], Code::MALFORMED);
    }
}

#[test]
fn the_reply_to_a_goodbye_that_nobody_said_ends_with_4500() {
    let counts = Counts::default();
    let reply = Frame::Bye { reply: true, code: Code::NORMAL, counts, reason: String::new() };
    check(&[reply], Code::MALFORMED);
}

#[test]
fn forged_foreign_and_unknown_tokens_are_answered_alike() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let mut forged = token.to_vec();
    forged[47] ^= 1;
    let mut unknown = token.to_vec();
    unknown[0] ^= 1;
    for (who, token) in [
        ("alice", Bytes::from(forged)),
        ("alice", Bytes::from(unknown)),
        ("mallory", token.clone()),
        ("alice", Bytes::from_static(b"x")),
    ] {
        let (_, answer) = scene.hello(&hello(9, who, token));
        assert_eq!(status_of(&answer), Status::Lost);
        assert_eq!(answer.len(), 1);
    }
    // None of them has touched the session.
    let (_, answer) = scene.hello(&hello(2, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed);
    scene.assert_undisturbed();
}

#[test]
fn a_replayed_hello_is_stale() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let recorded = hello(2, "alice", token);
    let (socket, _) = scene.hello(&recorded);
    scene.say(socket, &ack(0, 0));
    let (_, answer) = scene.hello(&recorded);
    assert_eq!(welcome(&answer), Some(Welcome::Stale));
    assert_eq!(answer[1..], [Transmit::Close(Code::SUPERSEDED)]);
    assert_eq!(scene.say(socket, &ack(0, 0)), [], "the socket is still attached");
    scene.assert_undisturbed();
}

#[test]
fn an_old_token_with_a_new_attempt_is_stale_and_told() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let (socket, _) = scene.hello(&hello(2, "alice", token.clone()));
    scene.say(socket, &ack(0, 0));
    let (_, answer) = scene.hello(&hello(3, "alice", token));
    assert_eq!(welcome(&answer), Some(Welcome::Stale));
    let mut events = std::iter::from_fn(|| scene.host.poll_event(scene.now));
    assert!(events.any(|(_, event)| event == Event::TokenReused));
}

#[test]
fn two_clients_with_one_token_do_not_fight_for_ever() {
    let mut scene = Scene::new();
    let (first, token) = scene.attached("alice");
    // A second tab has a copy of token and attempt.
    let (_, answer) = scene.hello(&hello(2, "alice", token.clone()));
    assert_eq!(status_of(&answer), Status::Resumed);
    assert_eq!(scene.heard(first), [Transmit::Close(Code::SUPERSEDED)]);
    // The first tab is told so, and does not come back by itself.
    let mut client = ClientSession::new(scene.now, Config::client().into());
    client.set_ticket("alice");
    let attempt = client.hello(scene.now).expect("a first attempt");
    client.handle_closed(attempt.number, Some(Code::SUPERSEDED.number()));
    let ended = client.poll_event(scene.now);
    assert!(matches!(ended, Some(Event::Ended(end)) if end.by == EndedBy::Superseded));
    assert_eq!(client.hello(scene.now), None);
}

#[test]
fn a_thousand_attaches_a_second_are_put_off() {
    let mut scene = Scene::new();
    let (_, mut token) = scene.attached("alice");
    let mut answers = [0, 0];
    for attempt in 2..1_002 {
        let (_, answer) = scene.hello(&hello(attempt, "alice", token.clone()));
        match welcome(&answer) {
            Some(Welcome::Accepted(Status::Resumed, accepted)) => {
                answers[0] += 1;
                token = accepted.token;
            }
            Some(Welcome::Busy { .. }) => answers[1] += 1,
            answer => panic!("{answer:?}"),
        }
        scene.now += Duration::from_millis(1);
    }
    assert_eq!(answers, [5, 995]);
    scene.assert_undisturbed();
    scene.now += Duration::from_secs(5);
    let (_, answer) = scene.hello(&hello(2_000, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed, "the session is as it was");
}

#[test]
fn too_many_pings_cost_the_socket_and_not_the_session() {
    let mut scene = Scene::new();
    let (socket, token) = scene.attached("alice");
    let counts = Counts { window: WINDOW, ..Counts::default() };
    let closed = (0..200).any(|token| {
        let said = scene.say(socket, &Frame::Ping { token, counts });
        said.contains(&Transmit::Close(Code::RATE))
    });
    assert!(closed);
    let (_, answer) = scene.hello(&hello(2, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed);
    scene.assert_undisturbed();
}

#[test]
fn a_peer_that_never_acknowledges_is_asked_and_then_detached() {
    let mut scene = Scene::new();
    let (socket, _) = scene.attached("alice");
    let alice = *scene.host.sessions().iter().find(|id| **id != scene.peaceful.1).expect("two");
    let session = scene.host.session(alice).expect("it is there");
    session.borrow_mut().send(scene.now, Prepared::text("hello?")).expect("room");
    scene.heard(socket);
    let (began, mut said) = (scene.now, Vec::new());
    while said.last() != Some(&Transmit::Close(Code::TIMEOUT)) {
        // It lives, and says all but what it has received.
        scene.now += Duration::from_secs(1);
        scene.host.handle_message(scene.now, socket, &text("I am here").encode());
        scene.host.handle_timeout(scene.now);
        said.extend(scene.heard(socket));
        assert!(scene.now - began < Duration::from_secs(100), "it is never given up");
    }
    assert!(said.iter().any(|s| matches!(s, Transmit::Frame(frame) if frame[0] == 0x30)), "asked");
    assert!(!session.borrow().is_ended());
}

#[test]
fn a_peer_with_a_tiny_window_gets_one_message_and_its_sender_is_told_that_it_is_full() {
    let mut config = Config::server();
    config.buffer.entries = 3;
    let mut scene = Scene::with(config);
    let socket = scene.open();
    let mut tiny = hello(1, "alice", Bytes::new());
    tiny.window = 1;
    scene.say(socket, &Frame::Hello(tiny));
    scene.say(socket, &Frame::Ack(Counts { window: 1, ..Counts::default() }));
    let alice = *scene.host.sessions().iter().find(|id| **id != scene.peaceful.1).expect("two");
    let session = scene.host.session(alice).expect("it is there");
    let send = |text| session.borrow_mut().send(scene.now, Prepared::text(text));
    assert_eq!([send("1"), send("2"), send("3")], [Ok(1), Ok(2), Ok(3)]);
    assert!(matches!(send("4"), Err(everwire_session::SendError::Full { entries: 3, .. })));
    assert_eq!(scene.heard(socket).len(), 1);
    scene.assert_undisturbed();
}

#[test]
fn one_principal_has_eight_sessions() {
    let mut scene = Scene::new();
    for attempt in 1..=8 {
        let (_, answer) = scene.hello(&hello(attempt, "alice", Bytes::new()));
        assert_eq!(status_of(&answer), Status::New);
    }
    let (_, answer) = scene.hello(&hello(9, "alice", Bytes::new()));
    assert!(matches!(welcome(&answer), Some(Welcome::Busy { .. })));
    scene.assert_undisturbed();
}

#[test]
fn a_resume_without_a_ticket_is_refused_unless_the_token_is_trusted() {
    for (policy, after, trusted) in [
        (Reauthentication::Required, 0, false),
        (Reauthentication::Grace(Duration::from_secs(10)), 10, true),
        (Reauthentication::Grace(Duration::from_secs(10)), 11, false),
        (Reauthentication::TokenOnly, 1_000, true),
    ] {
        let mut config = Config::server();
        config.terms.reauthentication = policy;
        let mut scene = Scene::with(config);
        let (_, token) = scene.attached("alice");
        scene.now += Duration::from_secs(after);
        let (_, answer) = scene.hello(&hello(2, "", token));
        if trusted {
            assert_eq!(status_of(&answer), Status::Resumed);
        } else {
            assert_eq!(welcome(&answer), Some(Welcome::Auth), "{policy:?} after {after} s");
        }
    }
}

#[test]
fn a_ticket_of_another_principal_ends_the_session_with_4504() {
    let mut scene = Scene::new();
    let (socket, _) = scene.attached("alice");
    let alice = *scene.host.sessions().iter().find(|id| **id != scene.peaceful.1).expect("two");
    let session = scene.host.session(alice).expect("it is there");
    let mallory = everwire_session::Principal::new("mallory");
    session.borrow_mut().authenticated(scene.now, &mallory, None);
    let said = scene.heard(socket);
    assert_eq!(said.last(), Some(&Transmit::Close(Code::FORBIDDEN)));
    scene.assert_undisturbed();
}

#[test]
fn a_ticket_that_expires_ends_a_detached_session_too() {
    let mut scene = Scene::new();
    let (socket, token) = scene.attached("alice");
    let alice = *scene.host.sessions().iter().find(|id| **id != scene.peaceful.1).expect("two");
    let session = scene.host.session(alice).expect("it is there");
    session.borrow_mut().set_expiry(scene.now, Some(Duration::from_secs(30)));
    scene.host.handle_closed(scene.now, socket);
    scene.now += Duration::from_secs(30);
    scene.host.handle_timeout(scene.now);
    let (_, answer) = scene.hello(&hello(2, "alice", token));
    let ended = welcome(&answer);
    assert!(matches!(ended, Some(Welcome::Ended { code, .. }) if code == Code::UNAUTHENTICATED));
}
