//! The traps of WebSocket tutorials that cannot be built here, as far as the protocol has a part
//! in them. `docs/coming-from-gorilla.md` has all of them, with the tests of each; those of other
//! files bear the trap's number as well.

use std::time::Duration;

use everwire_proto::{Cause, CloseCode, Config, Opcode, PreparedMessage, Role, SendError, State};
use everwire_testkit::{Frame, Pair, Seen, SentFrame, Solo};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn trap_02_control_frames_are_never_messages() {
    let mut server = Solo::server();
    server.receive([Frame::ping("p"), Frame::pong("q"), Frame::text("m"), Frame::close(1000, "")]);
    let messages: Vec<_> = server
        .events()
        .into_iter()
        .filter(|event| matches!(event, Seen::Text(_) | Seen::Binary(_)))
        .collect();
    assert_eq!(messages, [Seen::text("m")]);
    assert_eq!(server.finish().counters.messages_received, 1);
}

#[test]
fn trap_05_a_dead_peer_is_found_without_any_configuration() {
    let mut pair = Pair::new();
    pair.to_client.cut();
    pair.to_server.cut();
    pair.advance(60 * SECOND);
    for closure in [pair.client_closure(), pair.server_closure()] {
        assert!(matches!(closure.cause, Cause::KeepaliveTimeout { .. }));
        assert!(closure.duration < 60 * SECOND);
    }
}

#[test]
fn trap_09_after_the_end_there_is_nothing_more_for_ever() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    let closure = server.finish();
    for _ in 0..10_000 {
        server.receive([Frame::text("again")]);
        assert_eq!(server.connection.closure(), Some(closure.clone()));
    }
    assert_eq!(server.events(), [Seen::Close]);
}

#[test]
fn trap_10_every_path_ends_in_one_closure() {
    let ends: [fn(&mut Solo); 7] = [
        |end| _ = end.receive([Frame::close(1000, "")]).flush().eof(),
        |end| _ = end.eof(),
        |end| _ = end.receive_bytes(&[0x81]).eof(),
        |end| _ = end.receive([Frame::new(3, "")]).flush().eof(),
        |end| end.connection.handle_io_error(end.now, &std::io::ErrorKind::TimedOut.into()),
        |end| end.connection.abort(end.now, Cause::Cancelled),
        |end| _ = end.advance(100 * SECOND),
    ];
    for (i, bring_about) in ends.into_iter().enumerate() {
        let mut server = Solo::server();
        bring_about(&mut server);
        assert_eq!(server.connection.state(), State::Closed, "end {i}");
        assert!(server.connection.closure().is_some(), "end {i}");
        assert_eq!(server.connection.poll_timeout(), None, "end {i}");
    }
}

#[test]
fn trap_11_no_unexpected_end_passes_for_an_expected_one() {
    let all: Vec<CloseCode> = (1000..=4999).filter_map(CloseCode::new).collect();
    let abnormal = [
        Cause::EofBetweenFrames,
        Cause::EofMidFrame,
        Cause::Reset,
        Cause::PathTimeout,
        Cause::InvalidUtf8,
        Cause::WriteTimeout,
    ];
    for cause in abnormal {
        let mut server = Solo::server();
        server.connection.abort(server.now, cause);
        assert!(!server.closure().is_expected(&all));
    }
    let mut server = Solo::server();
    server.receive([Frame::close(1011, "")]);
    let closure = server.finish();
    assert!(closure.is_expected(&[CloseCode::INTERNAL_ERROR]));
    assert!(!closure.is_expected(&[CloseCode::NORMAL_CLOSURE]));
}

#[test]
fn trap_12_a_busy_connection_outlives_every_deadline() {
    let mut pair = Pair::new();
    for _ in 0..200 {
        pair.client_send("busy");
        pair.advance(10 * SECOND);
    }
    let texts = pair.server_events().into_iter().filter(|event| matches!(event, Seen::Text(_)));
    assert_eq!(texts.count(), 200);
    assert_eq!(pair.server.connection.state(), State::Open);
}

#[test]
fn trap_13_a_frame_cut_by_any_wait_is_still_read() {
    let bytes = Frame::text("slowly").bytes(Role::Client);
    let mut server = Solo::server();
    for byte in bytes {
        server.advance(SECOND).receive_bytes(&[byte]);
    }
    assert_eq!(server.events(), [Seen::text("slowly")]);
}

#[test]
fn trap_14_a_refused_send_may_be_tried_again_and_the_close_still_goes_out() {
    let mut server = Solo::server();
    server.connection.send(vec![0; 1 << 20]).unwrap();
    assert!(matches!(server.connection.send("no room"), Err(SendError::Full { .. })));
    server.flush();
    assert_eq!(server.connection.send("room again"), Ok(()));
    server.connection.send(vec![0; 1 << 20]).unwrap();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    let opcodes: Vec<_> = server.sent().iter().map(SentFrame::opcode).collect();
    assert_eq!(opcodes, [Opcode::Binary, Opcode::Text, Opcode::Binary, Opcode::Close]);
}

#[test]
fn trap_15_an_answered_probe_says_that_the_peer_has_read_what_came_before() {
    let mut pair = Pair::new();
    pair.to_server.hold();
    pair.client_send("read me");
    let now = pair.now();
    let probe = pair.client.connection.ping_numbered(now).unwrap();
    pair.drive();
    assert!(!pair.client.connection.is_answered(probe), "written, not read");
    pair.to_server.release();
    pair.drive();
    assert!(pair.client.connection.is_answered(probe));
    assert_eq!(pair.server_events()[0], Seen::text("read me"));
}

#[test]
fn trap_16_a_goodbye_is_a_handshake_and_loses_nothing() {
    let mut pair = Pair::new();
    pair.to_client.limit(1000);
    pair.to_client.hold();
    pair.server_send(vec![7; 5000]);
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "bye").unwrap();
    pair.client_send("crossing");
    pair.drive();
    pair.to_client.release();
    pair.drive();
    assert_eq!(pair.client_events(), [Seen::binary(&[7; 5000]), Seen::Close]);
    assert_eq!(pair.server_events(), [Seen::text("crossing"), Seen::Close]);
    assert!(pair.server_closure().is_clean() && pair.client_closure().is_clean());
}

#[test]
fn trap_16_an_abort_is_not_a_goodbye() {
    let mut pair = Pair::new();
    let now = pair.now();
    pair.server.connection.abort(now, Cause::Aborted);
    pair.drive();
    assert_eq!(pair.client_closure().cause, Cause::EofBetweenFrames);
    assert!(!pair.server_closure().is_clean());
}

#[test]
fn trap_17_closing_takes_as_long_as_it_takes_and_says_how_it_went() {
    let mut pair = Pair::new();
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "").unwrap();
    pair.drive();
    assert_eq!((pair.server_closure().cause, pair.elapsed()), (Cause::LocalClosed, Duration::ZERO));

    let mut pair = Pair::new();
    pair.to_client.cut();
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "").unwrap();
    pair.advance(5 * SECOND);
    assert_eq!(pair.server_closure().cause, Cause::CloseTimeout);

    let mut pair = Pair::new();
    pair.client.connection.abort(pair.now(), Cause::Aborted);
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "").unwrap();
    pair.drive();
    assert_eq!(pair.server_closure().cause, Cause::EofBetweenFrames);
}

#[test]
fn trap_18_the_default_limit_is_1_mib_and_the_error_names_it() {
    let mut server = Solo::server();
    server.receive([Frame::binary(vec![0; 1 << 20])]);
    assert_eq!(server.events().len(), 1);
    server.receive([Frame::binary(vec![0; (1 << 20) + 1])]);
    let close = server.sent().remove(0);
    let reason = String::from_utf8(close.payload[2..].to_vec()).unwrap();
    assert_eq!(close.close_code(), 1009);
    assert_eq!(reason, "message of 1048577 bytes exceeds the limit of 1048576 (message)");
}

#[test]
fn trap_19_a_refused_message_sends_no_empty_one() {
    let mut server = Solo::server();
    server.connection.start_message(everwire_proto::MessageKind::Text).unwrap();
    assert!(server.connection.send("refused").is_err());
    assert!(server.connection.send_prepared(&PreparedMessage::new("refused")).is_err());
    assert_eq!(server.sent(), []);
}

#[test]
fn trap_20_looking_at_a_ping_cannot_suppress_its_pong() {
    let mut server = Solo::server();
    let mut input = Frame::ping("payload").bytes(Role::Client);
    for event in server.connection.handle_input(server.now, &mut input) {
        drop(event);
    }
    let pong = server.sent().remove(0);
    assert_eq!((pong.opcode(), &pong.payload[..]), (Opcode::Pong, &b"payload"[..]));
}

#[test]
fn trap_27_a_peer_that_takes_nothing_is_ended_by_default() {
    let mut pair = Pair::new();
    pair.to_client.limit(0);
    pair.server_send("stuck");
    pair.advance(30 * SECOND);
    assert_eq!(pair.server_closure().cause, Cause::WriteTimeout);
}

#[test]
fn trap_28_a_ping_goes_out_before_any_common_proxy_gives_up() {
    for seed in 0..=255 {
        let now = everwire_testkit::start();
        let config = std::sync::Arc::new(Config::default());
        let server = everwire_proto::Connection::server(config, now, seed);
        assert!(server.poll_timeout().is_some_and(|at| at - now < 30 * SECOND));
    }
}
