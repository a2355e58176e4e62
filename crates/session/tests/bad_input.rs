//! What a peer can do wrong, each with the code it gets, and that nobody else is disturbed.

mod scene;

use std::time::Duration;

use bytes::Bytes;
use everwire_session::{
    Code, Config, Counts, Frame, GapRange, GapReason, Kind, MAX_NUMBER, Prepared, Status, Transmit,
    Welcome,
};
use scene::{Scene, WINDOW, ack, hello, status_of, welcome};

fn text(payload: &'static str) -> Frame {
    let payload = Bytes::from_static(payload.as_bytes());
    Frame::Data { kind: Kind::Text, volatile: false, payload }
}

fn gap(from: u64, to: u64) -> Frame {
    Frame::Gap(GapRange { from, to, reason: GapReason::EvictedBytes })
}

/// Says this on an attached socket: the session ends with this code, on both sides.
#[track_caller]
fn check_in(mut scene: Scene, frames: &[Bytes], code: Code) {
    let (socket, token) = scene.attached("alice");
    let mut said = Vec::new();
    for frame in frames {
        scene.host.handle_message(scene.now, socket, frame);
        said.extend(scene.heard(socket));
    }
    let [.., Transmit::Frame(bye), Transmit::Close(close)] = &said[..] else {
        panic!("no BYE and Close: {said:?}");
    };
    assert_eq!(*close, code);
    let bye = Frame::parse(everwire_session::Role::Server, bye).expect("a frame");
    assert!(matches!(bye, Frame::Bye { code: said, reply: false, .. } if said == code));
    let (_, answer) = scene.hello(&hello(2, "alice", token));
    let Some(Welcome::Ended { code: told, .. }) = welcome(&answer) else {
        panic!("{answer:?}");
    };
    assert_eq!(told, code);
    scene.assert_undisturbed();
}

#[track_caller]
fn check(frames: &[Frame], code: Code) {
    let frames: Vec<_> = frames.iter().map(Frame::encode).collect();
    check_in(Scene::new(), &frames, code);
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
    check(&[ack(MAX_NUMBER, MAX_NUMBER)], Code::COUNTERS);
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
    let far = MAX_NUMBER;
    check(&[gap(1, far), ack(0, far), gap(far, far)], Code::COUNTERS);
    check(&[gap(1, far), text("one too many")], Code::COUNTERS);
}

/// A HELLO says that 70,000 messages will not come; gaps tell of some. Returns what the server says to
/// the next message, and whether it then counts it as this one.
fn says_behind(gaps: &[Frame], number: u64) -> (Vec<Transmit>, bool) {
    let mut scene = Scene::new();
    let mut first = hello(1, "alice", Bytes::new());
    (first.lo, first.next) = (70_001, 70_002);
    let (socket, _) = scene.hello(&first);
    assert_eq!(scene.say(socket, &ack(0, 0)), []);
    for gap in gaps {
        assert_eq!(scene.say(socket, gap), []);
    }
    let said = scene.say(socket, &text("at last"));
    let counts = Counts { sent: number, window: WINDOW, ..Counts::default() };
    let answer = scene.say(socket, &Frame::Ping { token: 1, counts });
    let counted = matches!(&answer[..], [Transmit::Frame(pong)] if matches!(
        Frame::parse(everwire_session::Role::Server, pong),
        Ok(Frame::Pong { counts, .. }) if counts.recv == number
    ));
    (said, counted)
}

#[test]
fn a_server_counts_65_535_messages_that_will_not_come_and_no_more() {
    for gaps in [vec![gap(1, 70_000)], vec![gap(1, 40_000), gap(40_001, 70_000)]] {
        assert_eq!(says_behind(&gaps, 70_001), (Vec::new(), true));
    }
    for too_few in [1, 40_000, 65_534] {
        let (said, counted) = says_behind(&[gap(1, too_few)], too_few + 1);
        assert!(!counted && said.ends_with(&[Transmit::Close(Code::COUNTERS)]), "{too_few}");
    }
    // It would be a lie about the others, of which nobody keeps the count.
    assert_eq!(says_behind(&[gap(1, 65_535)], 65_536), (Vec::new(), true));
}

#[test]
fn a_frame_larger_than_agreed_ends_with_4502() {
    let mut config = Config::server();
    config.max_message = 4;
    check_in(Scene::with(config.clone()), &[text("12345").encode()], Code::TOO_BIG);
    // One that may be dropped is not dropped for that.
    check_in(Scene::with(config), &[Bytes::from_static(b"\x1312345")], Code::TOO_BIG);
}

#[test]
fn a_message_without_credit_ends_with_4411() {
    let mut config = Config::server();
    config.window = 40;
    config.acks = everwire_session::Acks::Manual;
    check_in(
        Scene::with(config),
        &[text("1").encode(), text("2").encode(), text("3").encode()],
        Code::WINDOW,
    );
}

#[test]
fn malformed_frames_end_with_4500() {
    for frame in [&b""[..], b"\x00", b"\x20", b"\x11\xff", b"\x60\x06", b"\x80\x00\x00\x00"] {
        check_in(Scene::new(), &[Bytes::from_static(frame)], Code::MALFORMED);
    }
}

#[test]
fn the_reply_to_a_goodbye_that_nobody_said_ends_with_4500() {
    let counts = Counts::default();
    let reply = Frame::Bye { reply: true, code: Code::NORMAL, counts, reason: String::new() };
    check(&[reply], Code::MALFORMED);
}

#[test]
fn too_many_pings_cost_the_socket_and_not_the_session() {
    let counts = Counts { window: WINDOW, ..Counts::default() };
    check_rate(Frame::Ping { token: 1, counts });
}

#[test]
fn too_many_frames_that_say_nothing_cost_the_socket_and_not_the_session() {
    let counts = Counts { window: WINDOW, ..Counts::default() };
    check_rate(Frame::Ack(counts));
    check_rate(Frame::Pong { token: 1, counts });
    check_rate(Frame::AuthTicket(everwire_session::Ticket("alice".into())));
}

/// Says this more often than a burst of a hundred allows.
#[track_caller]
fn check_rate(frame: Frame) {
    let mut scene = Scene::new();
    let (socket, token) = scene.attached("alice");
    let closed = (0..200).position(|_| {
        let said = scene.say(socket, &frame);
        said.contains(&Transmit::Close(Code::RATE))
    });
    assert_eq!(closed, Some(100), "{frame:?}");
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
    // Whether there would be a new one because there was none, or because that is lost.
    for token in [&b""[..], &[7; 48]] {
        let (_, answer) = scene.hello(&hello(9, "alice", Bytes::from_static(token)));
        assert!(matches!(welcome(&answer), Some(Welcome::Busy { .. })));
        assert_eq!(answer.last(), Some(&Transmit::Close(Code::BUSY)));
    }
    scene.assert_undisturbed();
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
