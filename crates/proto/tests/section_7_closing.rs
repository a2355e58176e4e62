//! RFC 6455 §7: the closing handshake, and every other end.

use std::time::Duration;

use everwire_proto::{
    Cause, CloseCode, CloseFrame, Config, Opcode, ProtocolError, Role, SendError, State,
};
use everwire_testkit::{Frame, Pair, Seen, SentFrame, Solo, check_splits};

const SECOND: Duration = Duration::from_secs(1);

fn sent(closure: &everwire_proto::Closure) -> Option<u16> {
    closure.sent.as_ref().map(|close| close.code.into())
}

// The handshake.

#[test]
fn client_closes_and_both_ends_are_clean() {
    let mut pair = Pair::new();
    pair.close(Role::Client, CloseCode::GOING_AWAY, "tab closed").unwrap();
    pair.drive();
    assert_eq!(pair.server_events(), [Seen::Close]);
    let (client, server) = (pair.client_closure(), pair.server_closure());
    assert_eq!((&client.cause, &server.cause), (&Cause::LocalClosed, &Cause::PeerClosed));
    assert_eq!((client.reason(), server.reason()), ("", "tab closed"));
    assert_eq!((client.code(), server.code()), (CloseCode::GOING_AWAY, CloseCode::GOING_AWAY));
    assert!(client.is_clean() && server.is_clean());
}

#[test]
fn server_closes_and_both_ends_are_clean() {
    let mut pair = Pair::new();
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "done").unwrap();
    pair.drive();
    assert_eq!(pair.server_closure().cause, Cause::LocalClosed);
    assert_eq!(pair.client_closure().cause, Cause::PeerClosed);
    assert_eq!(pair.client_closure().reason(), "done");
}

#[test]
fn when_both_close_at_once_each_reports_the_code_of_the_other() {
    let mut pair = Pair::new();
    pair.close(Role::Client, CloseCode::GOING_AWAY, "c").unwrap();
    pair.close(Role::Server, CloseCode::SERVICE_RESTART, "s").unwrap();
    pair.drive();
    let (client, server) = (pair.client_closure(), pair.server_closure());
    assert_eq!((client.cause, server.cause), (Cause::LocalClosed, Cause::LocalClosed));
    assert_eq!((client.received, server.sent.clone()), (server.sent.clone(), server.sent));
    assert_eq!(server.received, client.sent);
    let n_frames = everwire_testkit::parse_frames(pair.to_client.history(), Role::Server).len();
    assert_eq!(n_frames, 1, "a Close is never sent twice");
}

#[test]
fn every_close_code_is_legal_or_fails_with_1002() {
    for code in 0..=5000 {
        let mut server = Solo::server();
        server.receive([Frame::close(code, "bye")]);
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let closure = server.finish();
        if legal {
            assert_eq!((closure.cause, server.events()), (Cause::PeerClosed, vec![Seen::Close]));
            assert_eq!(server.sent()[0].close_code(), code, "the code is echoed");
        } else {
            let expected = Cause::Protocol(ProtocolError::InvalidCloseCode(code));
            assert_eq!((closure.cause, server.events()), (expected, vec![]));
            assert_eq!(server.sent()[0].close_code(), 1002);
        }
    }
}

#[test]
fn a_close_without_a_code_is_1005_and_answered_without_one() {
    let mut server = Solo::server();
    server.receive([Frame::new(8, "")]);
    assert_eq!(server.sent()[0].payload, b"");
    let closure = server.finish();
    assert_eq!(closure.code(), CloseCode::NO_STATUS_RCVD);
    assert!(closure.is_clean());
}

#[test]
fn codes_that_must_never_be_sent_are_refused_and_change_nothing() {
    for code in [1004, 1006, 1015, 1016, 2999] {
        let mut server = Solo::server();
        let code = CloseCode::new(code).expect("in range");
        let refused = server.connection.close(server.now, code, "");
        assert_eq!(refused, Err(SendError::ReservedCloseCode(code)));
        assert_eq!((server.connection.state(), server.sent()), (State::Open, vec![]));
    }
}

#[test]
fn closing_without_a_status_sends_an_empty_close() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NO_STATUS_RCVD, "lost").unwrap();
    assert_eq!(server.sent()[0].payload, b"");
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut server = Solo::server();
    let reason = "x".repeat(122) + "€uro";
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, &reason).unwrap();
    assert_eq!(server.sent()[0].payload[2..], [b'x'; 122]);
}

#[test]
fn closing_twice_does_nothing() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "first").unwrap();
    server.connection.close(server.now, CloseCode::GOING_AWAY, "second").unwrap();
    assert_eq!(server.sent().len(), 1);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(sent(&server.finish()), Some(1000));
}

#[test]
fn the_cause_given_by_the_caller_is_that_of_the_closure() {
    let mut server = Solo::server();
    let frame = CloseFrame::new(CloseCode::SERVICE_RESTART, "").unwrap();
    server.connection.close_because(server.now, Cause::Shutdown, frame);
    server.receive([Frame::close(1012, "")]);
    let closure = server.finish();
    assert_eq!(closure.cause, Cause::Shutdown);
    assert!(closure.is_clean());
}

// Data around the Close.

#[test]
fn messages_that_cross_our_close_are_delivered() {
    let mut pair = Pair::new();
    pair.client_send("crossing");
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "").unwrap();
    pair.drive();
    assert_eq!(pair.server_events(), [Seen::text("crossing"), Seen::Close]);
}

#[test]
fn what_was_queued_goes_out_before_our_close() {
    let mut pair = Pair::new();
    pair.server_send("last words");
    pair.close(Role::Server, CloseCode::NORMAL_CLOSURE, "").unwrap();
    pair.drive();
    assert_eq!(pair.client_events(), [Seen::text("last words"), Seen::Close]);
}

#[test]
fn data_after_the_peers_close_is_discarded() {
    let frames = [Frame::close(1000, ""), Frame::text("late"), Frame::ping("late")];
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    let outcome = check_splits(Role::Server, &Config::default(), &script);
    assert_eq!(outcome.events, [Seen::Close]);
    assert_eq!(outcome.sent, [0x88, 2, 3, 0xE8]);
    assert!(outcome.closure.is_clean());
}

#[test]
fn after_our_close_only_pings_are_answered() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.sent();
    let connection = &mut server.connection;
    assert_eq!(connection.send("x"), Err(SendError::Closed));
    assert_eq!(connection.ping(b""), Err(SendError::Closed));
    assert_eq!(connection.pong(b""), Err(SendError::Closed));
    assert_eq!(connection.start_message(everwire_proto::MessageKind::Text), Err(SendError::Closed));
    assert_eq!(connection.ping_numbered(server.now), Err(SendError::Closed));
    server.receive([Frame::ping("q")]);
    let [pong] = &server.sent()[..] else { panic!("one answer") };
    assert_eq!((pong.opcode(), &pong.payload[..]), (Opcode::Pong, &b"q"[..]));
}

#[test]
fn a_close_inside_a_fragmented_message_is_legal_and_drops_the_fragment() {
    let mut server = Solo::server();
    server.receive([Frame::text("half").more(), Frame::close(1000, "")]);
    assert_eq!(server.events(), [Seen::Close]);
    assert!(server.finish().is_clean());
}

#[test]
fn our_close_may_interrupt_our_own_fragmented_message() {
    let mut server = Solo::server();
    server.connection.start_message(everwire_proto::MessageKind::Text).unwrap();
    server.connection.send_piece(b"half").unwrap();
    server.connection.close(server.now, CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(server.connection.send_piece(b"more"), Err(SendError::Closed));
    let opcodes: Vec<_> = server.sent().iter().map(SentFrame::opcode).collect();
    assert_eq!(opcodes, [Opcode::Text, Opcode::Close]);
}

// Deadlines.

#[test]
fn the_close_deadline_is_5_s_for_a_server_and_3_s_for_a_client() {
    for (mut end, seconds) in [(Solo::server(), 5), (Solo::client(), 3)] {
        end.connection.close(end.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
        end.advance(seconds * SECOND - Duration::from_millis(1));
        assert_eq!(end.connection.state(), State::Closing);
        end.advance(Duration::from_millis(1));
        let closure = end.closure();
        assert_eq!((closure.cause, closure.duration), (Cause::CloseTimeout, seconds * SECOND));
        assert_eq!(closure.sent.map(|close| close.code.into()), Some(1000));
    }
}

#[test]
fn data_does_not_move_the_close_deadline() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    for _ in 0..5 {
        server.receive([Frame::text("still talking")]);
        server.advance(SECOND);
    }
    assert_eq!(server.closure().cause, Cause::CloseTimeout);
}

#[test]
fn a_close_deadline_that_was_slept_through_leaves_time_to_read_the_answer() {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.flush();
    server.now += 60 * SECOND;
    server.connection.handle_timeout(server.now);
    assert_eq!(server.connection.state(), State::Closing);
    server.receive([Frame::close(1000, "")]);
    assert!(server.finish().is_clean());
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.now += 60 * SECOND;
    server.connection.handle_timeout(server.now);
    server.advance(SECOND);
    assert_eq!(server.closure().cause, Cause::CloseTimeout);
}

#[test]
fn the_close_deadline_can_be_set() {
    let mut config = Config::default();
    config.close_timeout = Some(Duration::from_secs(60));
    let mut server = Solo::new(Role::Server, config);
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.advance(59 * SECOND);
    assert_eq!(server.connection.state(), State::Closing);
    server.advance(SECOND);
    assert_eq!(server.closure().cause, Cause::CloseTimeout);
}

#[test]
fn a_peer_that_takes_nothing_does_not_hold_the_answer_for_ever() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    server.advance_blocked(5 * SECOND);
    assert_eq!(server.closure().cause, Cause::PeerClosed);
}

// Who shuts down TCP first (§7.1.1).

/// A server on a socket that needs no ado.
fn plain() -> Solo {
    let mut server = Solo::server();
    server.connection.close_at_once();
    server
}

#[test]
fn a_server_on_a_plain_socket_closes_at_once_when_both_closes_have_passed() {
    let mut answers = plain();
    answers.receive([Frame::close(1000, "")]);
    assert_eq!(answers.connection.state(), State::Finishing, "the answer is not yet written");
    answers.flush();
    assert!(answers.closure().is_clean());
    let mut asks = plain();
    asks.connection.close(asks.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    asks.flush();
    assert_eq!(asks.connection.state(), State::Closing);
    asks.receive([Frame::close(1000, "")]);
    assert!(asks.closure().is_clean());
}

#[test]
fn a_server_that_is_owed_a_pong_waits_for_the_end_of_the_stream() {
    let mut asks = plain();
    asks.connection.ping_numbered(asks.now).unwrap();
    let mut pings = plain();
    pings.connection.ping(b"mine").unwrap();
    for mut server in [asks, pings] {
        server.flush();
        server.receive([Frame::close(1000, "")]);
        server.flush();
        assert_eq!(server.connection.state(), State::Draining, "§5.5.2: a Pong may come");
        server.eof();
        assert!(server.closure().is_clean());
    }
}

#[test]
fn a_server_shuts_down_first_and_lingers_1_s() {
    let mut config = Config::default();
    config.linger = Some(SECOND);
    let mut wants_it = Solo::new(Role::Server, config);
    wants_it.connection.close_at_once();
    for mut server in [Solo::server(), wants_it] {
        server.receive([Frame::close(1000, "")]);
        assert!(!server.connection.wants_shutdown(), "not before the answer is written");
        server.flush();
        assert!(server.connection.wants_shutdown());
        server.connection.handle_shutdown(server.now);
        assert!(!server.connection.wants_shutdown());
        assert_eq!(server.connection.state(), State::Draining);
        server.advance(SECOND);
        assert!(server.closure().is_clean());
    }
}

#[test]
fn a_server_that_fails_the_connection_lingers_1_s() {
    let mut server = plain();
    server.connection.fail(server.now, Cause::RateLimited);
    server.flush();
    assert!(server.connection.wants_shutdown());
    server.connection.handle_shutdown(server.now);
    assert_eq!(server.connection.state(), State::Draining, "what it was sent may be under way");
    server.advance(SECOND);
    assert_eq!(server.connection.state(), State::Closed);
}

#[test]
fn the_client_waits_3_s_for_the_server_to_shut_down() {
    let mut client = Solo::client();
    client.connection.close(client.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    client.receive([Frame::close(1000, "")]);
    client.advance(Duration::from_millis(2999));
    assert_eq!(client.connection.state(), State::Draining);
    assert!(!client.connection.wants_shutdown());
    client.advance(Duration::from_millis(1));
    assert!(client.closure().is_clean());
}

#[test]
fn the_end_of_stream_ends_the_linger() {
    for mut end in [Solo::server(), Solo::client()] {
        end.receive([Frame::close(1000, "")]);
        end.flush().eof();
        assert!(end.closure().is_clean());
    }
}

#[test]
fn the_linger_can_be_set() {
    let mut config = Config::default();
    config.linger = Some(10 * SECOND);
    let mut server = Solo::new(Role::Server, config);
    server.receive([Frame::close(1000, "")]);
    server.advance(9 * SECOND);
    assert_eq!(server.connection.state(), State::Draining);
    server.advance(SECOND);
    assert_eq!(server.connection.state(), State::Closed);
}

#[test]
fn a_client_that_fails_the_connection_shuts_down_itself() {
    let mut client = Solo::client();
    client.receive([Frame::new(3, "")]);
    assert_eq!(client.sent()[0].close_code(), 1002);
    assert!(client.connection.wants_shutdown());
}

#[test]
fn input_while_draining_is_discarded_and_counted_as_nothing() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "")]);
    server.flush().receive([Frame::text("late")]);
    assert_eq!(server.events(), [Seen::Close]);
    assert!(!server.connection.has_unread());
    assert_eq!(server.finish().counters.messages_received, 0);
}

#[test]
fn a_close_frame_changed_by_hand_stays_legal() {
    let mut server = Solo::server();
    let mut frame = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "").unwrap();
    frame.reason = "é".repeat(100).into();
    server.connection.close_because(server.now, Cause::Kicked, frame);
    assert_eq!(server.sent()[0].payload.len(), 2 + 122);
}

#[test]
fn a_close_that_is_held_waits_for_the_messages_before_it() {
    let mut server = Solo::server();
    server.connection.hold_end();
    server.receive([Frame::text("one"), Frame::close(1000, "")]);
    assert_eq!(server.events(), [Seen::text("one")]);
    assert_eq!(server.connection.state(), State::Open);
    server.connection.send("answer").unwrap();
    assert!(server.connection.release_end());
    server.receive_bytes(&[]);
    assert_eq!(server.events().last(), Some(&Seen::Close));
    assert_eq!(server.sent().len(), 2, "the answer, then Close");
}
