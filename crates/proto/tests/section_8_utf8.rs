//! RFC 6455 §8.1: text is UTF-8, and a bad byte is found as soon as it is there.

use everwire_proto::{Cause, Config, Role, State};
use everwire_testkit::{Frame, Seen, Solo, check_splits};

fn receive(frames: &[Frame]) -> everwire_testkit::Outcome {
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    check_splits(Role::Server, &Config::default(), &script)
}

#[track_caller]
fn check_refused(frames: &[Frame]) {
    let outcome = receive(frames);
    assert_eq!(outcome.events, []);
    assert_eq!(outcome.closure.cause, Cause::InvalidUtf8);
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1007));
}

/// κόσμε, then a surrogate: the text of Autobahn's cases 6.
const AUTOBAHN: (&str, &[u8], &str) = ("κόσμε", b"\xED\xA0\x80", "edited");

#[test]
fn bad_text_fails_with_1007() {
    for bad in [
        &b"\x80"[..],
        b"\xBF",
        b"\xC0\x80",
        b"\xC1\xBF",
        b"\xE0\x80\x80",
        b"\xF0\x80\x80\x80",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        b"\xFE",
        b"\xFF",
        b"ok\xE2\x82",
        b"\xE2\x28\xA1",
    ] {
        check_refused(&[Frame::text(bad)]);
        check_refused(&[Frame::text(&bad[..1]).more(), Frame::continuation(&bad[1..])]);
    }
}

#[test]
fn characters_cut_between_fragments_are_whole() {
    let text = "aé€😀\u{10FFFF}\u{FFFE}\0";
    for cut in 0..=text.len() {
        let (front, back) = text.as_bytes().split_at(cut);
        let outcome =
            receive(&[Frame::text(front).more(), Frame::ping(""), Frame::continuation(back)]);
        assert_eq!(outcome.events, [Seen::ping(b""), Seen::text(text)]);
    }
}

#[test]
fn a_character_cut_at_the_end_of_the_message_fails_with_1007() {
    let frames = [Frame::text("é").more(), Frame::continuation([0xE2, 0x82])];
    check_refused(&frames);
}

#[test]
fn binary_may_be_anything() {
    assert_eq!(receive(&[Frame::binary([0xFF, 0xC0])]).events, [Seen::binary(&[0xFF, 0xC0])]);
}

#[test]
fn autobahn_6_4_1_bad_fragment_fails_before_the_next_comes() {
    let mut server = Solo::server();
    server.receive([Frame::text(AUTOBAHN.0).more()]);
    assert_eq!(server.connection.state(), State::Open);
    server.receive([Frame::continuation(AUTOBAHN.1).more()]);
    assert_eq!(server.sent()[0].close_code(), 1007);
}

#[test]
fn autobahn_6_4_3_bad_byte_fails_in_the_middle_of_its_frame() {
    let frame = Frame::text([AUTOBAHN.0.as_bytes(), AUTOBAHN.1, AUTOBAHN.2.as_bytes()].concat());
    let bytes = frame.bytes(Role::Client);
    let good = 6 + AUTOBAHN.0.len();
    let mut server = Solo::server();
    server.receive_bytes(&bytes[..=good]);
    assert_eq!(server.connection.state(), State::Open, "0xED may begin a character");
    server.receive_bytes(&bytes[good + 1..good + 2]);
    assert_eq!(server.connection.state(), State::Finishing, "0xED 0xA0 may not");
    assert_eq!(server.sent()[0].close_code(), 1007);
}

#[test]
fn autobahn_6_4_4_bad_byte_fails_at_the_very_byte() {
    let bytes = Frame::text(b"ok\xF4\x90\x80\x80rest").bytes(Role::Client);
    let failing = (1..=bytes.len()).find(|&n| {
        let mut server = Solo::server();
        server.receive_bytes(&bytes[..n]);
        server.connection.state() != State::Open
    });
    assert_eq!(failing, Some(6 + 4), "at 0x90");
}

#[test]
fn a_large_frame_read_directly_fails_at_the_bad_byte() {
    use bytes::BufMut;
    let payload = [&vec![b'a'; 50_000][..], b"\xFF", &vec![b'b'; 50_000]].concat();
    let bytes = Frame::text(payload).masked([0; 4]).bytes(Role::Client);
    let mut server = Solo::server();
    server.receive_bytes(&bytes[..40_000]);
    let mut buffer = server.connection.frame_buffer().expect("a large frame is arriving");
    let rest = &bytes[40_000..14 + 50_001];
    buffer.put_slice(rest);
    assert_eq!(server.connection.handle_frame_buffer(server.now, rest.len()).count(), 0);
    assert_eq!(server.sent()[0].close_code(), 1007);
}
