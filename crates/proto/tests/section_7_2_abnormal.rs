//! RFC 6455 §7.2: abnormal closures, by the end of the stream, by the system, by ourselves.

use std::{io, time::Duration};

use everwire_proto::{Cause, CloseCode, Config, ProtocolError, Role, State};
use everwire_testkit::{Frame, Solo, check_splits};

const SECOND: Duration = Duration::from_secs(1);

fn received(closure: &everwire_proto::Closure) -> Option<u16> {
    closure.received.as_ref().map(|close| close.code.into())
}

fn sent(closure: &everwire_proto::Closure) -> Option<u16> {
    closure.sent.as_ref().map(|close| close.code.into())
}

// The end of the stream.

#[track_caller]
fn check_eof(script: &[u8], expected: Cause) {
    let outcome = check_splits(Role::Server, &Config::default(), script);
    assert_eq!(outcome.closure.cause, expected);
    assert_eq!((outcome.closure.sent, outcome.closure.received), (None, None));
}

#[test]
fn eof_between_frames_is_told_from_eof_inside_one() {
    let text = Frame::text("hello").bytes(Role::Client);
    check_eof(&[], Cause::EofBetweenFrames);
    check_eof(&text, Cause::EofBetweenFrames);
    for cut in 1..text.len() {
        check_eof(&text[..cut], Cause::EofMidFrame);
    }
    check_eof(&Frame::ping("hello").bytes(Role::Client)[..7], Cause::EofMidFrame);
    check_eof(&Frame::binary([0; 70_000]).bytes(Role::Client)[..50_000], Cause::EofMidFrame);
}

#[test]
fn eof_between_two_fragments_is_between_frames() {
    check_eof(&Frame::text("half").more().bytes(Role::Client), Cause::EofBetweenFrames);
}

#[test]
fn eof_has_the_code_1006_and_is_not_clean() {
    let mut server = Solo::server();
    server.eof();
    let closure = server.closure();
    assert_eq!(closure.code(), CloseCode::ABNORMAL_CLOSURE);
    assert!(!closure.is_clean() && !closure.is_expected(&[CloseCode::ABNORMAL_CLOSURE]));
}

#[test]
fn eof_after_our_close_keeps_what_we_sent() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::GOING_AWAY, "").unwrap();
    server.flush().eof();
    let closure = server.closure();
    assert_eq!((&closure.cause, sent(&closure)), (&Cause::EofBetweenFrames, Some(1001)));
    assert!(!closure.is_clean());
}

#[test]
fn what_is_queued_at_eof_is_written_for_1_s() {
    let mut server = Solo::server();
    server.connection.send("for a half-closed peer").unwrap();
    server.eof();
    assert_eq!(server.connection.state(), State::Finishing);
    assert_eq!(server.sent().len(), 1);
    assert_eq!(server.closure().cause, Cause::EofBetweenFrames);

    let mut server = Solo::server();
    server.connection.send("for nobody").unwrap();
    server.eof().advance_blocked(SECOND);
    assert_eq!(server.closure().cause, Cause::EofBetweenFrames);
}

// Failures of the system.

#[test]
fn io_errors_are_causes() {
    use io::ErrorKind as Kind;
    for (kind, expected) in [
        (Kind::ConnectionReset, Cause::Reset),
        (Kind::ConnectionAborted, Cause::Reset),
        (Kind::BrokenPipe, Cause::Reset),
        (Kind::TimedOut, Cause::PathTimeout),
        (Kind::HostUnreachable, Cause::Unreachable),
        (Kind::NetworkUnreachable, Cause::Unreachable),
        (Kind::UnexpectedEof, Cause::Io(Kind::UnexpectedEof)),
        (Kind::InvalidData, Cause::Io(Kind::InvalidData)),
        (Kind::OutOfMemory, Cause::Io(Kind::OutOfMemory)),
    ] {
        let mut server = Solo::server();
        server.connection.send("lost").unwrap();
        server.connection.handle_io_error(server.now, &kind.into());
        assert_eq!(server.closure().cause, expected);
        assert_eq!(server.connection.transmit_len(), 0);
    }
}

#[test]
fn only_a_stream_of_tls_fails_as_tls() {
    use io::ErrorKind as Kind;
    for (kind, expected) in [
        (Kind::UnexpectedEof, Cause::Tls),
        (Kind::InvalidData, Cause::Tls),
        (Kind::ConnectionReset, Cause::Reset),
        (Kind::OutOfMemory, Cause::Io(Kind::OutOfMemory)),
    ] {
        let mut server = Solo::server();
        server.connection.set_tls();
        server.connection.handle_io_error(server.now, &kind.into());
        assert_eq!(server.closure().cause, expected);
    }
}

#[test]
fn a_reset_on_the_way_out_of_a_clean_closure_changes_nothing() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    server.flush();
    server.connection.handle_io_error(server.now, &io::ErrorKind::ConnectionReset.into());
    assert!(server.closure().is_clean());
}

#[test]
fn a_reset_while_the_peers_close_is_awaited_is_a_reset() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.flush();
    server.connection.handle_io_error(server.now, &io::ErrorKind::ConnectionReset.into());
    let closure = server.closure();
    assert_eq!(
        (&closure.cause, sent(&closure), received(&closure)),
        (&Cause::Reset, Some(1000), None)
    );
}

#[test]
fn abort_sends_nothing() {
    let mut server = Solo::server();
    server.connection.send("lost").unwrap();
    server.connection.abort(server.now, Cause::Aborted);
    assert_eq!((server.sent(), server.closure().cause), (vec![], Cause::Aborted));
}

#[test]
fn failing_while_our_close_is_out_sends_no_second_one() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(server.sent().len(), 1);
    server.receive([Frame::new(3, "")]);
    assert_eq!(server.sent(), []);
    let closure = server.finish();
    assert_eq!(closure.cause, Cause::Protocol(ProtocolError::ReservedOpcode(3)));
    assert_eq!(sent(&closure), Some(1000));
}

#[test]
fn after_a_failure_even_the_peers_close_is_not_looked_at() {
    let mut server = Solo::server();
    server.receive([Frame::new(3, ""), Frame::close(1000, "")]);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(server.events(), []);
    assert_eq!(received(&server.finish()), None);
}

#[test]
fn a_handler_that_panicked_is_told_as_1011() {
    let mut server = Solo::server();
    server.connection.fail(server.now, Cause::HandlerPanicked);
    assert_eq!(server.sent()[0].close_code(), 1011);
    assert_eq!(server.finish_cause(), Cause::HandlerPanicked);
}

#[test]
fn eof_right_after_the_peers_close_does_not_lose_our_answer() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]).eof();
    assert_eq!(server.connection.state(), State::Finishing);
    assert_eq!(server.sent()[0].close_code(), 1000);
    assert!(server.closure().is_clean());
}

#[test]
fn eof_while_finishing_leaves_1_s_to_write() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]).eof().advance_blocked(SECOND);
    assert_eq!(server.closure().duration, SECOND);
}

#[test]
fn a_write_that_is_told_after_an_abort_is_harmless() {
    let mut server = Solo::server();
    server.connection.send("half written").unwrap();
    server.connection.abort(server.now, Cause::Aborted);
    server.connection.handle_transmitted(server.now, 5);
    assert_eq!((server.connection.transmit_len(), server.closure().cause), (0, Cause::Aborted));
}
