//! RFC 6455 §5.4: messages in several frames.

use everwire_proto::{Cause, Config, Opcode, ProtocolError, Role};
use everwire_testkit::{Frame, Outcome, Seen, Solo, check_splits};

fn receive(frames: &[Frame]) -> Outcome {
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    check_splits(Role::Server, &Config::default(), &script)
}

#[track_caller]
fn check(frames: &[Frame], expected: &[Seen]) {
    let outcome = receive(frames);
    assert_eq!(outcome.events, expected);
    assert_eq!(outcome.closure.cause, Cause::EofBetweenFrames);
}

#[track_caller]
fn check_refused(frames: &[Frame], expected: ProtocolError) {
    let outcome = receive(frames);
    assert_eq!(outcome.closure.cause, Cause::Protocol(expected));
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1002));
}

#[test]
fn fragments_make_one_message() {
    let frames =
        [Frame::text("a").more(), Frame::continuation("b").more(), Frame::continuation("c")];
    check(&frames, &[Seen::text("abc")]);
}

#[test]
fn the_first_fragment_decides_the_kind() {
    let frames = [Frame::binary([0xFF]).more(), Frame::continuation([0xFE])];
    check(&frames, &[Seen::binary(&[0xFF, 0xFE])]);
}

#[test]
fn each_fragment_is_unmasked_with_its_own_key() {
    let frames = [
        Frame::text("abc").more().masked([1, 2, 3, 4]),
        Frame::continuation("defgh").more().masked([250, 9, 8, 7]),
        Frame::continuation("i").masked([9; 4]),
    ];
    check(&frames, &[Seen::text("abcdefghi")]);
}

#[test]
fn empty_fragments_are_legal_anywhere() {
    let empty = || Frame::continuation("").more();
    check(&[Frame::text("").more(), Frame::continuation("")], &[Seen::text("")]);
    let frames = [
        Frame::text("").more(),
        empty(),
        Frame::continuation("a").more(),
        empty(),
        Frame::continuation(""),
    ];
    check(&frames, &[Seen::text("a")]);
}

#[test]
fn control_frames_between_fragments_come_first() {
    let frames = [
        Frame::text("a").more(),
        Frame::ping("1"),
        Frame::continuation("b").more(),
        Frame::pong("2"),
        Frame::ping("3"),
        Frame::continuation("c"),
    ];
    let expected = [Seen::ping(b"1"), Seen::pong(b"2"), Seen::ping(b"3"), Seen::text("abc")];
    check(&frames, &expected);
}

#[test]
fn a_ping_between_fragments_is_answered_at_once() {
    let mut server = Solo::server();
    server.receive([Frame::text("a").more(), Frame::ping("now")]);
    let sent = server.sent();
    assert_eq!((sent[0].opcode(), &sent[0].payload[..]), (Opcode::Pong, &b"now"[..]));
}

#[test]
fn a_continuation_of_nothing_fails_with_1002() {
    check_refused(&[Frame::continuation("a")], ProtocolError::UnexpectedContinuation);
    check_refused(&[Frame::continuation("a").more()], ProtocolError::UnexpectedContinuation);
    check_refused(
        &[Frame::text("whole"), Frame::continuation("a")],
        ProtocolError::UnexpectedContinuation,
    );
    check_refused(
        &[Frame::text("a").more(), Frame::continuation("b"), Frame::continuation("c")],
        ProtocolError::UnexpectedContinuation,
    );
}

#[test]
fn a_new_message_inside_another_fails_with_1002() {
    for second in [Frame::text("b"), Frame::text("b").more()] {
        let expected = ProtocolError::ExpectedContinuation(Opcode::Text);
        check_refused(&[Frame::text("a").more(), second], expected);
    }
    let frames = [Frame::text("a").more(), Frame::ping(""), Frame::binary("b")];
    check_refused(&frames, ProtocolError::ExpectedContinuation(Opcode::Binary));
}

#[test]
fn messages_follow_each_other_whole_and_fragmented() {
    let frames = [
        Frame::text("one"),
        Frame::binary("two").more(),
        Frame::continuation(""),
        Frame::text("three"),
        Frame::text("fo").more(),
        Frame::continuation("ur"),
    ];
    let expected =
        [Seen::text("one"), Seen::binary(b"two"), Seen::text("three"), Seen::text("four")];
    check(&frames, &expected);
}

#[test]
fn large_fragments_are_put_together() {
    let part = |byte: u8| vec![byte; 50_000];
    let frames = [Frame::binary(part(1)).more(), Frame::continuation(part(2))];
    check(&frames, &[Seen::Binary([part(1), part(2)].concat())]);
}

#[test]
fn pieces_are_sent_as_fragments_with_control_frames_between() {
    let mut server = Solo::server();
    let connection = &mut server.connection;
    connection.start_message(everwire_proto::MessageKind::Text).unwrap();
    connection.send_piece(b"a").unwrap();
    connection.ping(b"p").unwrap();
    connection.finish_message(b"b").unwrap();
    let shapes: Vec<_> = server.sent().iter().map(|f| (f.opcode(), f.header.fin)).collect();
    let expected = [(Opcode::Text, false), (Opcode::Ping, true), (Opcode::Continuation, true)];
    assert_eq!(shapes, expected);
}
