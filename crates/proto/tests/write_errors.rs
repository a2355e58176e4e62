//! A write that fails ends nothing by itself: what the peer said before may still lie unread.

use std::{io::ErrorKind, time::Duration};

use everwire_proto::{Cause, CloseCode, MessageKind, Role, SendError, State};
use everwire_testkit::{Frame, Seen, Solo};

const SECOND: Duration = Duration::from_secs(1);

/// Returns a server that had something to send when its socket broke.
fn broken() -> Solo {
    let mut server = Solo::server();
    server.connection.send("lost").unwrap();
    server.connection.handle_write_error(server.now, &ErrorKind::BrokenPipe.into());
    server
}

#[test]
fn after_a_write_error_nothing_is_to_be_written_and_reading_goes_on() {
    let mut server = broken();
    let connection = &mut server.connection;
    assert_eq!((connection.state(), connection.transmit_len()), (State::Closing, 0));
    assert!(!connection.wants_shutdown() && connection.closure().is_none());
    assert_eq!(connection.send("more"), Err(SendError::Closed));
    assert_eq!(connection.start_message(MessageKind::Text), Err(SendError::Closed));
    connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.receive([Frame::text("sent before"), Frame::ping("too")]);
    assert_eq!(server.events(), [Seen::text("sent before"), Seen::ping(b"too")]);
    assert_eq!(server.sent(), [], "neither a Close nor a pong");
}

#[test]
fn the_close_that_was_received_already_is_why() {
    let mut server = broken();
    server.receive([Frame::text("sent before"), Frame::close(1001, "deploy")]);
    assert_eq!(server.events(), [Seen::text("sent before"), Seen::Close]);
    let closure = server.closure();
    assert_eq!((&closure.cause, closure.sent.as_ref()), (&Cause::PeerClosed, None));
    assert_eq!((closure.code(), closure.reason()), (CloseCode::GOING_AWAY, "deploy"));
    assert_eq!(closure.to_string(), r#"received 1001 (going away) "deploy", not answered"#);
    assert!(!closure.is_clean(), "it was not answered");
}

#[test]
fn without_a_close_the_write_error_is_why() {
    let ends: [fn(&mut Solo); 4] = [
        |server| _ = server.eof(),
        |server| _ = server.receive_bytes(&[0x81]).eof(),
        |server| server.connection.handle_io_error(server.now, &ErrorKind::TimedOut.into()),
        |server| _ = server.receive([Frame::new(3, "")]),
    ];
    for end in ends {
        let mut server = broken();
        end(&mut server);
        assert_eq!((server.sent(), server.closure().cause), (vec![], Cause::Reset));
    }
}

#[test]
fn reading_after_a_write_error_ends_at_the_close_deadline() {
    let mut server = broken();
    server.advance(5 * SECOND - Duration::from_millis(1));
    assert_eq!(server.connection.state(), State::Closing);
    server.receive([Frame::text("still here")]).advance(Duration::from_millis(1));
    assert_eq!((server.closure().cause, server.closure().duration), (Cause::Reset, 5 * SECOND));
}

#[test]
fn a_second_write_error_changes_nothing() {
    let mut server = broken();
    server.advance(4 * SECOND);
    server.connection.handle_write_error(server.now, &ErrorKind::TimedOut.into());
    server.advance(SECOND);
    assert_eq!((server.closure().cause, server.closure().duration), (Cause::Reset, 5 * SECOND));
}

#[test]
fn a_close_of_ours_that_was_written_before_makes_the_handshake_complete() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.flush();
    server.connection.handle_write_error(server.now, &ErrorKind::BrokenPipe.into());
    server.receive([Frame::close(1000, "")]);
    let closure = server.closure();
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::LocalClosed, true));
}

#[test]
fn a_close_of_ours_that_was_never_written_was_not_sent() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.connection.handle_transmitted(server.now, 3);
    server.connection.handle_write_error(server.now, &ErrorKind::BrokenPipe.into());
    server.receive([Frame::close(1001, "")]);
    let closure = server.closure();
    assert_eq!((closure.cause, closure.sent), (Cause::PeerClosed, None));
}

#[test]
fn a_write_error_ends_a_pause_because_only_reading_can_tell() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.connection.handle_write_error(server.now, &ErrorKind::ConnectionReset.into());
    assert!(!server.connection.is_paused());
}

#[test]
fn a_write_error_after_the_end_was_decided_changes_nothing() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    server.connection.handle_write_error(server.now, &ErrorKind::BrokenPipe.into());
    let closure = server.closure();
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::PeerClosed, false));

    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    server.flush();
    server.connection.handle_write_error(server.now, &ErrorKind::NotConnected.into());
    assert_eq!(
        (server.connection.state(), server.connection.wants_shutdown()),
        (State::Draining, false)
    );
    server.eof();
    assert!(server.closure().is_clean());
}

#[test]
fn what_still_comes_is_the_same_however_it_is_split() {
    let frames = [Frame::text("a"), Frame::close(1001, "x")];
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    let mut server = broken();
    for &byte in &script {
        server.receive_bytes(&[byte]);
    }
    assert_eq!(server.events(), [Seen::text("a"), Seen::Close]);
    assert_eq!(server.closure().reason(), "x");
}
