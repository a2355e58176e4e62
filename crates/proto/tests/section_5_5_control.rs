//! RFC 6455 §5.5: Ping, Pong and the body of Close.

use everwire_proto::{Cause, Config, Limits, Opcode, ProtocolError, Role, SendError};
use everwire_testkit::{Frame, Outcome, Seen, Solo, check_splits, parse_frames};

fn receive(frame: &Frame) -> Outcome {
    check_splits(Role::Server, &Config::default(), &frame.bytes(Role::Client))
}

#[track_caller]
fn check_refused(frame: &Frame, expected: ProtocolError, code: u16) {
    let outcome = receive(frame);
    assert_eq!(outcome.events, []);
    assert_eq!(outcome.closure.cause, Cause::Protocol(expected));
    assert_eq!(outcome.closure.received, None);
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(code));
}

fn unlimited() -> Config {
    let mut config = Config::default();
    config.limits.control_rate = None;
    config
}

#[test]
fn fragmented_ping_fails_with_1002() {
    check_refused(&Frame::ping("a").more(), ProtocolError::FragmentedControl(Opcode::Ping), 1002);
}

#[test]
fn fragmented_pong_and_close_fail_with_1002() {
    let expected = ProtocolError::FragmentedControl;
    check_refused(&Frame::pong("a").more(), expected(Opcode::Pong), 1002);
    check_refused(&Frame::close(1000, "").more(), expected(Opcode::Close), 1002);
}

#[test]
fn control_payload_of_125_bytes_is_taken_and_126_fails_with_1002() {
    let payload = vec![b'x'; 125];
    assert_eq!(receive(&Frame::ping(&payload)).events, [Seen::Ping(payload)]);
    for (opcode, bits) in [(Opcode::Close, 8), (Opcode::Ping, 9), (Opcode::Pong, 10)] {
        for len in [126, 70_000] {
            let frame = Frame::new(bits, vec![b'x'; len]);
            check_refused(&frame, ProtocolError::ControlTooLong(opcode), 1002);
        }
    }
}

#[test]
fn ten_pings_in_one_read_get_ten_pongs() {
    let mut server = Solo::server();
    server.receive((0..10u8).map(|n| Frame::ping([n])));
    let pongs: Vec<_> = server.sent().into_iter().map(|f| (f.opcode(), f.payload)).collect();
    let expected: Vec<_> = (0..10u8).map(|n| (Opcode::Pong, vec![n])).collect();
    assert_eq!(pongs, expected);
}

#[test]
fn a_pong_echoes_the_payload_byte_for_byte() {
    let payload: Vec<u8> = (0..125).map(|i| i * 2).collect();
    for mut end in [Solo::server(), Solo::client()] {
        end.receive([Frame::ping(&payload), Frame::ping("")]);
        let sent = end.sent();
        assert_eq!((&sent[0].payload, sent[1].payload.len()), (&payload, 0));
    }
}

#[test]
fn an_unsolicited_pong_is_an_event_and_gets_no_answer() {
    let outcome = receive(&Frame::pong("hi"));
    assert_eq!((outcome.events, outcome.sent), (vec![Seen::pong(b"hi")], vec![]));
}

#[test]
fn pongs_behind_a_full_socket_coalesce_to_the_latest() {
    let mut server = Solo::new(Role::Server, unlimited());
    let ping = |n: u32| Frame::ping(n.to_be_bytes());
    // 24 MiB of pings; the socket takes nothing.
    let each = ping(0).bytes(Role::Client).len();
    let n_pings = (24 << 20) / each as u32;
    for first in (0..n_pings).step_by(1000) {
        server.receive((first..first + 1000).map(ping));
        server.connection.handle_blocked(server.now);
        assert!(server.connection.transmit_len() <= 17 << 10);
        server.events();
    }
    let mut sent = server.sent();
    assert_eq!(sent.pop().map(|f| f.payload), Some(ping_payload(n_pings)), "the latest");
    // Those that found room were answered in order.
    assert!(sent.iter().enumerate().all(|(i, f)| f.payload == (i as u32).to_be_bytes()));
}

fn ping_payload(n_pings: u32) -> Vec<u8> {
    (n_pings.next_multiple_of(1000) - 1).to_be_bytes().to_vec()
}

#[test]
fn a_late_pong_goes_out_as_soon_as_there_is_room() {
    let mut server = Solo::new(Role::Server, unlimited());
    server.connection.send(vec![0; 40_000]).unwrap();
    server.receive([Frame::ping("first"), Frame::ping("last")]);
    assert_eq!(server.connection.transmit_len(), 40_004);
    server.connection.handle_transmitted(server.now, 20_000);
    assert_eq!(server.connection.transmit_len(), 20_004);
    server.connection.handle_transmitted(server.now, 20_000);
    assert_eq!(server.connection.transmit_len(), 4 + 2 + 4);
    let rest = server.connection.transmit_to_vec(server.now);
    assert_eq!(parse_frames(&rest[4..], Role::Server)[0].payload, b"last");
}

#[test]
fn ping_and_pong_payloads_of_ours_are_at_most_125_bytes() {
    let mut server = Solo::server();
    assert_eq!(server.connection.ping(&[0; 125]), Ok(()));
    assert_eq!(server.connection.ping(&[0; 126]), Err(SendError::ControlTooLong(126)));
    assert_eq!(server.connection.pong(&[0; 126]), Err(SendError::ControlTooLong(126)));
    assert_eq!(server.sent().len(), 1);
}

#[test]
fn pings_of_ours_find_a_full_queue_full() {
    let mut server = Solo::server();
    let limit = Limits::default().send_queue;
    server.connection.send(vec![0; limit]).unwrap();
    assert!(matches!(server.connection.ping(b""), Err(SendError::Full { .. })));
    assert!(matches!(server.connection.pong(b""), Err(SendError::Full { .. })));
}

#[test]
fn a_close_body_of_one_byte_fails_with_1002() {
    check_refused(&Frame::new(8, [3]), ProtocolError::CloseTooShort, 1002);
}

#[test]
fn a_close_reason_that_is_not_utf8_fails_with_1007() {
    for bad in [&b"\xFF"[..], b"ok\xC3", b"\xED\xA0\x80"] {
        check_refused(&Frame::close(1000, bad), ProtocolError::InvalidCloseReason, 1007);
    }
}

#[test]
fn a_close_reason_may_have_123_bytes() {
    let reason = "é".repeat(61) + "x";
    let outcome = receive(&Frame::close(1000, &reason));
    assert_eq!(outcome.closure.reason(), reason);
    assert!(outcome.closure.is_clean());
}

#[test]
fn probes_find_a_full_queue_full() {
    let mut server = Solo::server();
    server.connection.send(vec![0; Limits::default().send_queue]).unwrap();
    assert!(matches!(server.connection.ping_numbered(server.now), Err(SendError::Full { .. })));
}
