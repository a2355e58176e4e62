//! RFC 6455 §5.1–5.3: opcodes, reserved bits, lengths and masks.

use everwire_proto::{Cause, Config, FrameHeader, Opcode, ProtocolError, Role, State};
use everwire_testkit::{Frame, Outcome, Seen, Solo, check_splits};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Feeds a frame to both roles, split in every way.
fn receive(role: Role, frame: &Frame) -> Outcome {
    check_splits(role, &Config::default(), &frame.bytes(other(role)))
}

/// Asserts that both roles refuse a frame with a Close of 1002.
#[track_caller]
fn check_refused(frame: &Frame, expected: ProtocolError) {
    for role in ROLES {
        let outcome = receive(role, frame);
        assert_eq!(outcome.events, [], "{role:?}");
        assert_eq!(outcome.closure.cause, Cause::Protocol(expected.clone()), "{role:?}");
        let sent = outcome.closure.sent.expect("the peer is told");
        assert_eq!(u16::from(sent.code), 1002);
        assert_eq!(&*sent.reason, expected.to_string());
    }
}

/// Asserts that both roles take a frame as this event.
#[track_caller]
fn check_taken(frame: &Frame, expected: Seen) {
    for role in ROLES {
        let outcome = receive(role, frame);
        assert_eq!(outcome.events, std::slice::from_ref(&expected), "{role:?}");
        assert_eq!(outcome.closure.cause, Cause::EofBetweenFrames);
    }
}

#[test]
fn every_defined_opcode_is_taken() {
    check_taken(&Frame::text("a"), Seen::text("a"));
    check_taken(&Frame::binary("a"), Seen::binary(b"a"));
    check_taken(&Frame::ping("a"), Seen::ping(b"a"));
    check_taken(&Frame::pong("a"), Seen::pong(b"a"));
    for role in ROLES {
        let outcome = receive(role, &Frame::close(1000, ""));
        assert_eq!((outcome.events, outcome.closure.cause), (vec![Seen::Close], Cause::PeerClosed));
    }
}

#[test]
fn every_reserved_opcode_is_refused_with_1002() {
    for opcode in (3..=7).chain(11..=15) {
        check_refused(&Frame::new(opcode, "a"), ProtocolError::ReservedOpcode(opcode));
        check_refused(&Frame::new(opcode, "").more(), ProtocolError::ReservedOpcode(opcode));
    }
}

#[test]
fn every_reserved_bit_on_every_opcode_is_refused_with_1002() {
    for opcode in [1, 2, 8, 9, 10] {
        for bits in 1..=7 {
            let frame = Frame::new(opcode, "").reserved(bits);
            check_refused(&frame, ProtocolError::ReservedBits);
        }
    }
}

#[test]
fn reserved_bit_on_a_continuation_is_refused_with_1002() {
    for bits in 1..=7 {
        let mut server = Solo::server();
        server.receive([Frame::text("a").more(), Frame::continuation("b").reserved(bits)]);
        assert_eq!(server.finish_cause(), Cause::Protocol(ProtocolError::ReservedBits));
    }
}

#[test]
fn a_reserved_opcode_is_refused_at_its_first_byte() {
    let mut server = Solo::server();
    server.receive_bytes(&[0x83]);
    assert_eq!(server.connection.state(), State::Finishing);
}

#[test]
fn every_length_form_is_taken_at_its_boundaries() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        check_taken(&Frame::binary(&payload), Seen::Binary(payload));
    }
}

#[test]
fn a_length_that_is_not_minimal_is_refused_with_1002() {
    for len in [0, 1, 125] {
        let frame = Frame::binary(vec![0; len]);
        let expected = ProtocolError::NonMinimalLength(len as u64);
        check_refused(&frame.clone().length_in_2_bytes(), expected.clone());
        check_refused(&frame.length_in_8_bytes(), expected);
    }
    for len in [126, 65_535] {
        let frame = Frame::binary(vec![0; len]).length_in_8_bytes();
        check_refused(&frame, ProtocolError::NonMinimalLength(len as u64));
    }
}

#[test]
fn a_length_with_the_top_bit_is_refused_with_1002() {
    for len in [1 << 63, u64::MAX] {
        check_refused(&Frame::binary("").declare(len), ProtocolError::LengthTooBig(len));
    }
}

#[test]
fn the_largest_legal_length_is_too_big_rather_than_illegal() {
    for role in ROLES {
        let size = i64::MAX as u64;
        let outcome = receive(role, &Frame::binary("").declare(size));
        assert_eq!(outcome.closure.cause, Cause::MessageTooBig { limit: 1 << 20, size });
    }
}

#[test]
fn a_server_refuses_every_unmasked_frame_with_1002() {
    for opcode in [1, 2, 8, 9, 10] {
        let frame = Frame::new(opcode, "").unmasked();
        let outcome = receive(Role::Server, &frame);
        assert_eq!(outcome.events, []);
        assert_eq!(outcome.closure.cause, Cause::Protocol(ProtocolError::UnmaskedFrame));
        assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1002));
    }
}

#[test]
fn a_client_refuses_every_masked_frame_with_1002() {
    for opcode in [1, 2, 8, 9, 10] {
        let frame = Frame::new(opcode, "").masked([1, 2, 3, 4]);
        let outcome = receive(Role::Client, &frame);
        assert_eq!(outcome.events, []);
        assert_eq!(outcome.closure.cause, Cause::Protocol(ProtocolError::MaskedFrame));
        assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1002));
    }
}

#[test]
fn a_zero_key_is_a_mask() {
    let outcome = receive(Role::Server, &Frame::text("plain").masked([0; 4]));
    assert_eq!(outcome.events, [Seen::text("plain")]);
}

#[test]
fn a_frame_cut_anywhere_waits_for_its_rest() {
    for frame in [Frame::text("hello"), Frame::binary(vec![7; 300]), Frame::ping("hello")] {
        let bytes = frame.bytes(Role::Client);
        for cut in 0..bytes.len() {
            let mut server = Solo::server();
            server.receive_bytes(&bytes[..cut]);
            assert_eq!(server.events(), [], "cut at {cut}");
            server.receive_bytes(&bytes[cut..]);
            assert_eq!(server.events().len(), 1, "cut at {cut}");
        }
    }
}

#[test]
fn the_examples_of_section_5_7_are_taken() {
    let server = |bytes: &[u8]| check_splits(Role::Server, &Config::default(), bytes).events;
    let client = |bytes: &[u8]| check_splits(Role::Client, &Config::default(), bytes).events;
    let hello = Seen::text("Hello");
    assert_eq!(client(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), std::slice::from_ref(&hello));
    let masked = [0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(server(&[&[0x81, 0x85], &masked[..]].concat()), std::slice::from_ref(&hello));
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(client(&fragments), [hello]);
    assert_eq!(client(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), [Seen::ping(b"Hello")]);
    assert_eq!(server(&[&[0x8a, 0x85], &masked[..]].concat()), [Seen::pong(b"Hello")]);
}

#[test]
fn what_a_client_sends_is_masked_with_the_key_in_the_header() {
    let mut client = Solo::client();
    client.connection.send("hello").unwrap();
    let bytes = client.connection.transmit_to_vec(client.now);
    let (header, len) = FrameHeader::parse(&bytes).unwrap().unwrap();
    let key = header.mask.expect("a client masks");
    let unmasked: Vec<u8> =
        bytes[len..].iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
    assert_eq!((header.opcode, unmasked), (Opcode::Text, b"hello".to_vec()));
}

#[test]
fn lengths_are_sent_in_the_fewest_bytes() {
    for (len, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut server = Solo::server();
        server.connection.send(vec![0; len]).unwrap();
        assert_eq!(server.connection.transmit_len(), header + len);
        assert_eq!(server.sent()[0].payload.len(), len);
    }
}
