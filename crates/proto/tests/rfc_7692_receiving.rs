//! Compressed messages as they come. See RFC 7692 §6 and §7.2.

use everwire_proto::{
    Cause, Config, DeflateConfig, DeflateMode, Delivery, Opcode, ProtocolError, Role, State,
};
use everwire_testkit::{Frame, Seen, Solo, check_splits, join_pieces};
use zlib_rs::{Deflate, DeflateFlush};

/// Sets RSV1.
const RSV1: u8 = 4;

fn config(mode: DeflateMode) -> Config {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(mode));
    config
}

fn server(mode: DeflateMode) -> Solo {
    Solo::new(Role::Server, config(mode))
}

const SHARED: DeflateMode = DeflateMode::Shared;
const DEDICATED: DeflateMode = DeflateMode::Dedicated;

/// A compressor as a peer may have it.
struct Peer(Deflate);

impl Peer {
    fn new(bits: u8) -> Self {
        Self(Deflate::new(6, false, bits))
    }

    fn flush(&mut self, payload: &[u8], flush: DeflateFlush) -> Vec<u8> {
        let mut out = vec![0; payload.len() + payload.len() / 100 + 100];
        let from = self.0.total_out();
        self.0.compress(payload, &mut out, flush).unwrap();
        out.truncate((self.0.total_out() - from) as usize);
        out
    }

    fn message(&mut self, payload: impl AsRef<[u8]>) -> Vec<u8> {
        let mut out = self.flush(payload.as_ref(), DeflateFlush::SyncFlush);
        assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xFF, 0xFF]);
        out
    }
}

fn text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::text(payload).reserved(RSV1)
}

fn binary(payload: impl AsRef<[u8]>) -> Frame {
    Frame::binary(payload).reserved(RSV1)
}

#[track_caller]
fn check_failure(frames: impl IntoIterator<Item = Frame>, cause: &Cause, code: u16) {
    let frames: Vec<Frame> = frames.into_iter().collect();
    for (role, peer) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        let script: Vec<u8> = frames.iter().flat_map(|f| f.bytes(peer)).collect();
        for mode in [SHARED, DEDICATED] {
            for delivery in [Delivery::Whole, Delivery::Pieces] {
                let mut config = config(mode);
                config.delivery = delivery;
                let closure = check_splits(role, &config, &script).closure;
                assert_eq!(&closure.cause, cause, "{role:?} {mode:?} {delivery:?}");
                assert_eq!(closure.sent.map(|frame| frame.code.into()), Some(code));
            }
        }
    }
}

// The examples of §7.2.3, octet for octet.

#[test]
fn the_examples_of_the_rfc_are_hello() {
    let one = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let is_final = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for mode in [SHARED, DEDICATED] {
        for payload in [&one[..], &stored, &is_final, &two_blocks] {
            let mut server = server(mode);
            server.receive([text(payload), text(payload)]);
            assert_eq!(server.events(), [Seen::text("Hello"), Seen::text("Hello")]);
        }
        let mut server = server(mode);
        server.receive([text(&one[..3]).more(), Frame::ping("!"), Frame::continuation(&one[3..])]);
        assert_eq!(server.events(), [Seen::ping(b"!"), Seen::text("Hello")]);
    }
}

#[test]
fn the_second_hello_may_refer_to_the_first_where_context_is_kept() {
    let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut keeping = server(DEDICATED);
    keeping.receive([text(first), Frame::text("plain"), text(second), text(second)]);
    let [hello, plain] = [Seen::text("Hello"), Seen::text("plain")];
    assert_eq!(keeping.events(), [hello.clone(), plain, hello.clone(), hello.clone()]);
    let mut forgetting = server(SHARED);
    forgetting.receive([text(first), text(second)]);
    assert_eq!(forgetting.events(), [hello]);
    assert_eq!(forgetting.finish_cause(), Cause::InvalidDeflate);
}

#[test]
fn messages_of_all_sizes_come_whole_however_they_are_split() {
    let sizes = [1, 2, 100, 16 << 10, (16 << 10) + 1, 40_000, 300_000];
    for mode in [SHARED, DEDICATED] {
        let mut peer = Peer::new(if mode == DEDICATED { 12 } else { 15 });
        let (mut script, mut expected) = (Vec::new(), Vec::new());
        for (i, size) in sizes.into_iter().enumerate() {
            let payload: Vec<u8> = (0..size).map(|at| (at / 7 * (i + 1) % 251) as u8).collect();
            if mode == SHARED {
                peer.0.reset();
            }
            script.extend(binary(peer.message(&payload)).bytes(Role::Client));
            expected.push(Seen::Binary(payload));
        }
        assert_eq!(check_splits(Role::Server, &config(mode), &script).events, expected);
        let mut pieces = config(mode);
        pieces.delivery = Delivery::Pieces;
        let found = check_splits(Role::Server, &pieces, &script).events;
        let payload = |seen: &Seen| match seen {
            Seen::Binary(payload) | Seen::Piece { payload, first: true, last: true, .. } => {
                payload.clone()
            }
            other => panic!("{other:?}"),
        };
        let expected: Vec<_> = expected.iter().map(payload).collect();
        assert_eq!(found.iter().map(payload).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn pieces_are_small_however_much_one_read_inflates_to() {
    let mut config = config(SHARED);
    config.delivery = Delivery::Pieces;
    let mut server = Solo::new(Role::Server, config);
    server.receive([binary(Peer::new(15).message(vec![7; 1 << 20]))]);
    let events = server.events();
    let len = |seen: &Seen| match seen {
        Seen::Piece { payload, .. } => payload.len(),
        other => panic!("{other:?}"),
    };
    assert!(events.iter().all(|seen| len(seen) <= 16 << 10));
    assert_eq!(events.iter().map(len).sum::<usize>(), 1 << 20);
    assert_eq!(join_pieces(events).len(), 1);
}

#[test]
fn an_empty_message_may_be_a_byte_or_nothing() {
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        let first = text([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
        server.receive([text([0]), text([]), first, text([]), text([0x02, 0x00])]);
        let empty = Seen::text("");
        let expected = [&empty, &empty, &Seen::text("Hello"), &empty, &empty];
        assert_eq!(server.events().iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_final_block_may_be_the_end_of_a_message_or_not() {
    for mode in [SHARED, DEDICATED] {
        let part = |payload: &[u8]| Peer::new(12).flush(payload, DeflateFlush::Finish);
        let mut server = server(mode);
        server.receive([text(part(b"bare end"))]);
        server.receive([text(
            [part(b"one, "), part(b"two, "), Peer::new(12).message("three")].concat(),
        )]);
        server.receive([text(Peer::new(12).message("and on"))]);
        let expected = ["bare end", "one, two, three", "and on"].map(Seen::text);
        assert_eq!(server.events(), expected, "{mode:?}");
    }
}

#[test]
fn four_bytes_that_hung_another_library_are_no_trouble() {
    // A final block that is empty, and some bits behind it.
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        server.receive([binary([0x03, 0x80]), binary([0x03, 0x80])]);
        assert_eq!(server.events(), [Seen::binary(b""), Seen::binary(b"")]);
    }
    check_failure([binary([0x03, 0x80, 0x87])], &Cause::InvalidDeflate, 1007);
}

#[test]
fn rsv1_without_agreement_is_1002() {
    for mut end in [Solo::server, Solo::client].map(|end| end()) {
        end.receive([text("a")]);
        let closure = end.finish();
        assert_eq!(closure.cause, Cause::Protocol(ProtocolError::ReservedBits));
        assert_eq!(closure.sent.map(|frame| frame.code.into()), Some(1002));
    }
    for mut end in [Solo::server, Solo::client].map(|end| end()) {
        end.receive([Frame::ping("a").reserved(RSV1)]);
        assert_eq!(end.finish_cause(), Cause::Protocol(ProtocolError::ReservedBits));
    }
}

#[test]
fn rsv1_where_no_message_begins_is_1002() {
    let at = |opcode| Cause::Protocol(ProtocolError::UnexpectedRsv1(opcode));
    for (frame, opcode) in [
        (Frame::ping("a"), Opcode::Ping),
        (Frame::pong("a"), Opcode::Pong),
        (Frame::close(1000, ""), Opcode::Close),
    ] {
        check_failure([frame.reserved(RSV1)], &at(opcode), 1002);
    }
    for first in [Frame::text("plain"), text([0xf2, 0x48, 0xcd])] {
        let frames = [first.more(), Frame::continuation([0xc9]).reserved(RSV1)];
        check_failure(frames, &at(Opcode::Continuation), 1002);
    }
    for bits in [2, 1, 6, 5, 7] {
        let cause = Cause::Protocol(ProtocolError::ReservedBits);
        check_failure([Frame::text("").reserved(bits)], &cause, 1002);
    }
}

#[test]
fn corrupt_data_is_1007() {
    for bad in [
        &[0x07][..],                           // A block of the reserved type.
        &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48], // A stored block whose lengths disagree.
        &[0x02, 0x00, 0x11, 0x00, 0x00],       // Further back than there is anything.
        &[0x62, 0x04],                         // The same, in fixed codes.
        &[0xff; 20],
        &[0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0xff, 0xff], // The tail was not cut off.
    ] {
        check_failure([binary(bad)], &Cause::InvalidDeflate, 1007);
    }
}

#[test]
fn data_that_is_cut_short_is_1007() {
    let whole =
        Peer::new(12).message("a message that is long enough to have some codes in it: 1234567890");
    for cut in 1..whole.len() {
        check_failure([binary(&whole[..cut])], &Cause::InvalidDeflate, 1007);
    }
}

#[test]
fn a_stored_block_that_promises_more_than_comes_is_1007() {
    let promises = [0x00, 0xff, 0xff, 0x00, 0x00, b'x'];
    check_failure([binary(promises)], &Cause::InvalidDeflate, 1007);
}

#[test]
fn text_that_is_not_utf8_fails_inside_its_frame() {
    let mut peer = Peer::new(12);
    let payload = peer.flush(b"all well \xCE\xBA\xFF", DeflateFlush::SyncFlush);
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        // Most of the frame is still to come.
        server.receive([text(&payload).declare(100_000)]);
        assert_eq!(server.connection.state(), State::Finishing);
        assert_eq!(server.finish_cause(), Cause::InvalidUtf8);
    }
    check_failure([text(Peer::new(12).message(b"\xF0\x90"))], &Cause::InvalidUtf8, 1007);
    check_failure([text(Peer::new(12).message(b"ok \xED\xA0"))], &Cause::InvalidUtf8, 1007);
}

#[test]
fn a_character_may_be_cut_between_blocks_and_fragments() {
    let mut peer = Peer::new(12);
    let parts = [&b"\xE2"[..], b"\x82", b"\xAC!"];
    let [a, b, c] = parts.map(|part| peer.flush(part, DeflateFlush::SyncFlush));
    let frames =
        [text(a).more(), Frame::continuation(b).more(), Frame::continuation(&c[..c.len() - 4])];
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    assert_eq!(check_splits(Role::Server, &config(DEDICATED), &script).events, [Seen::text("€!")]);
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_window_larger_than_agreed_fails_where_it_reaches_beyond_what_is_kept() {
    // The window that was agreed upon; this peer refers to what lies twice as far back.
    for (role, bits) in [(Role::Server, 12), (Role::Client, 12), (Role::Client, 9)] {
        let lie = noise(2 << bits);
        let mut liar = Peer::new(15);
        let (first, second) = (liar.message(&lie), liar.message(&lie[..64]));
        let mut end = Solo::new(role, config(DEDICATED));
        let mut params = end.connection.deflate_params().unwrap();
        params.recv_window_bits = bits;
        end.connection.set_deflate(params, everwire_testkit::lend_codecs);
        end.receive([binary(first), binary(second)]);
        assert!(end.events() == [Seen::Binary(lie)]);
        let closure = end.finish();
        assert_eq!(closure.cause, Cause::InvalidDeflate);
        assert_eq!(closure.sent.map(|frame| frame.code.into()), Some(1007));
    }
}

#[test]
fn a_window_as_large_as_agreed_is_followed_to_its_end() {
    for bits in 9..=15 {
        let far = noise((1 << bits) - 300);
        let mut peer = Peer::new(bits);
        let (first, second) = (peer.message(&far), peer.message(&far[..64]));
        let mut server = server(DEDICATED);
        let mut params = server.connection.deflate_params().unwrap();
        params.recv_window_bits = bits;
        server.connection.set_deflate(params, everwire_testkit::lend_codecs);
        assert!(second.len() < 20, "the peer refers to the first: {}", second.len());
        server.receive([binary(first), binary(second)]);
        assert!(server.events() == [Seen::Binary(far.clone()), Seen::binary(&far[..64])]);
    }
}

#[test]
fn a_client_takes_compressed_messages_too() {
    for mode in [SHARED, DEDICATED] {
        let mut client = Solo::new(Role::Client, config(mode));
        client.receive([text(Peer::new(15).message("from the server"))]);
        assert_eq!(client.events(), [Seen::text("from the server")]);
    }
}
