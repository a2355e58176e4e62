//! Limits: exact boundaries, the codes that tell the peer, and deadlines for messages.

use std::time::Duration;

use everwire_proto::{Cause, Config, ControlRate, Delivery, Limits, Role, SendError, State};
use everwire_testkit::{Frame, Outcome, Seen, SentFrame, Solo, check_splits};

const SECOND: Duration = Duration::from_secs(1);

fn config(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    change(&mut config.limits);
    config
}

fn receive(config: &Config, frames: &[Frame]) -> Outcome {
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    check_splits(Role::Server, config, &script)
}

#[track_caller]
fn check_refused(config: &Config, frames: &[Frame], expected: Cause, code: u16) {
    let outcome = receive(config, frames);
    assert_eq!(outcome.events, []);
    assert_eq!(outcome.closure.cause, expected);
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(code));
}

#[test]
fn a_message_at_the_limit_is_taken_and_one_byte_more_is_1009() {
    let config = config(|limits| limits.message = 1000);
    assert_eq!(receive(&config, &[Frame::binary([0; 1000])]).events, [Seen::binary(&[0; 1000])]);
    let cause = Cause::MessageTooBig { limit: 1000, size: 1001 };
    check_refused(&config, &[Frame::binary([0; 1001])], cause, 1009);
}

#[test]
fn the_fragments_of_a_message_count_together() {
    let config = config(|limits| limits.message = 1000);
    let fragments = |last: usize| {
        [
            Frame::binary([0; 500]).more(),
            Frame::continuation([0; 400]).more(),
            Frame::continuation(vec![0; last]),
        ]
    };
    assert_eq!(receive(&config, &fragments(100)).events, [Seen::binary(&[0; 1000])]);
    let cause = Cause::MessageTooBig { limit: 1000, size: 1001 };
    check_refused(&config, &fragments(101), cause, 1009);
}

#[test]
fn a_frame_has_its_own_limit() {
    let config = config(|limits| limits.frame = Some(100));
    assert_eq!(receive(&config, &[Frame::binary([0; 100])]).events.len(), 1);
    let cause = Cause::FrameTooBig { limit: 100, size: 101 };
    check_refused(&config, &[Frame::binary([0; 101])], cause, 1009);
    let fragments = [Frame::binary([0; 100]).more(), Frame::continuation([0; 100])];
    assert_eq!(receive(&config, &fragments).events.len(), 1);
}

#[test]
fn too_big_is_decided_when_the_header_is_there() {
    for size in [(1 << 20) + 1, 1 << 40, i64::MAX as u64] {
        let mut server = Solo::server();
        server.receive([Frame::binary("").declare(size)]);
        assert_eq!(server.connection.state(), State::Finishing);
        assert_eq!(server.finish_cause(), Cause::MessageTooBig { limit: 1 << 20, size });
    }
}

#[test]
fn too_many_fragments_are_1009() {
    let config = config(|limits| limits.fragments = 3);
    let fragments = |n: usize| {
        let mut frames = vec![Frame::text("a").more()];
        frames.resize(n - 1, Frame::continuation("").more());
        frames.push(Frame::continuation(""));
        frames
    };
    assert_eq!(receive(&config, &fragments(4)).events, [Seen::text("a")]);
    check_refused(&config, &fragments(5), Cause::TooManyFragments { limit: 3 }, 1009);
}

#[test]
fn limits_hold_for_pieces_too() {
    let mut config = config(|limits| limits.message = 10);
    config.delivery = Delivery::Pieces;
    let frames = [Frame::binary([0; 6]).more(), Frame::continuation([0; 5])];
    let outcome = receive(&config, &frames);
    assert_eq!(outcome.closure.cause, Cause::MessageTooBig { limit: 10, size: 11 });
}

#[test]
fn control_frames_beyond_the_burst_are_1008() {
    let mut server = Solo::server();
    server.receive((0..200).map(|_| Frame::ping("")));
    assert_eq!((server.connection.state(), server.events().len()), (State::Open, 200));
    server.receive([Frame::pong("")]);
    let sent = server.sent();
    assert_eq!(sent.last().map(SentFrame::close_code), Some(1008));
    assert_eq!(server.finish_cause(), Cause::RateLimited);
}

#[test]
fn a_hundred_control_frames_per_second_may_go_on_for_ever() {
    let mut server = Solo::server();
    for _ in 0..600 {
        server.receive([Frame::ping("")]).advance(Duration::from_millis(10));
    }
    server.receive((0..200).map(|_| Frame::ping("")));
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn data_frames_are_not_control_frames() {
    let config = config(|limits| {
        limits.control_rate = Some(ControlRate::new(1, 1));
    });
    let mut server = Solo::new(Role::Server, config);
    server.receive((0..1000).map(|_| Frame::text("")));
    assert_eq!(server.events().len(), 1000);
}

#[test]
fn a_message_must_finish_in_60_s() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.receive([Frame::text("a").more()]);
    server.advance(59 * SECOND).receive([Frame::continuation("").more()]);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(2 * SECOND);
    assert_eq!(server.sent()[0].close_code(), 1008);
    assert_eq!(server.finish_cause(), Cause::MessageTimeout { received: 1 });
}

#[test]
fn a_large_message_has_time_for_its_size_at_1_kib_per_second() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    let bytes = Frame::binary(vec![0; 1 << 20]).bytes(Role::Client);
    // 100 KiB have arrived: 60 s and 100 s more.
    server.receive_bytes(&bytes[..14 + (100 << 10)]).advance(159 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(2 * SECOND);
    assert_eq!(server.finish_cause(), Cause::MessageTimeout { received: 100 << 10 });
}

#[test]
fn a_peer_that_sends_a_byte_now_and_then_runs_out_of_time() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    let bytes = Frame::text("x".repeat(1000)).bytes(Role::Client);
    for &byte in bytes.iter().take(70) {
        server.receive_bytes(&[byte]).advance(SECOND);
    }
    assert!(matches!(server.finish_cause(), Cause::MessageTimeout { .. }));
}

#[test]
fn no_message_no_message_deadline() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.receive([Frame::text("a").more(), Frame::continuation("b")]);
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn a_full_send_queue_refuses_whole_messages() {
    let mut server = Solo::new(Role::Server, config(|limits| limits.send_queue = 100));
    assert_eq!(server.connection.send(vec![0; 1000]), Ok(()), "below the limit: taken whole");
    assert!(server.connection.is_full());
    let queued = server.connection.transmit_len();
    let full = Err(SendError::Full { queued, limit: 100 });
    assert_eq!(server.connection.send("x"), full);
    let prepared = everwire_proto::PreparedMessage::new("x");
    assert_eq!(server.connection.send_prepared(&prepared), full);
    assert_eq!(server.connection.start_message(everwire_proto::MessageKind::Text), full);
    assert_eq!(server.connection.transmit_len(), queued);
    server.flush();
    assert_eq!(server.connection.send("x"), Ok(()));
}

#[test]
fn a_socket_that_takes_nothing_for_30_s_is_a_write_timeout() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.connection.send("stuck").unwrap();
    server.advance_blocked(29 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.advance_blocked(SECOND);
    let closure = server.closure();
    assert_eq!((closure.cause, closure.sent), (Cause::WriteTimeout, None));
}

#[test]
fn any_progress_restarts_the_write_timeout() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.connection.send(vec![0; 100]).unwrap();
    for _ in 0..10 {
        server.advance_blocked(29 * SECOND);
        server.connection.handle_transmitted(server.now, 1);
    }
    assert_eq!(server.connection.state(), State::Open);
    server.advance_blocked(30 * SECOND);
    assert_eq!(server.closure().cause, Cause::WriteTimeout);
}

fn idle() -> Config {
    let mut config = config(|_| {});
    config.idle_timeout = Some(60 * SECOND);
    config
}

#[test]
fn no_message_for_the_idle_timeout_closes_with_1000() {
    let mut server = Solo::new(Role::Server, idle());
    server.advance(59 * SECOND).receive([Frame::text("here")]).advance(59 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(SECOND);
    assert_eq!(server.sent()[0].close_code(), 1000);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(server.finish_cause(), Cause::Idle);
}

#[test]
fn pings_do_not_make_a_connection_busy() {
    let mut server = Solo::new(Role::Server, idle());
    for _ in 0..6 {
        server.receive([Frame::ping("")]).advance(10 * SECOND);
    }
    assert_eq!(server.connection.state(), State::Closing);
}

#[test]
fn the_message_deadline_stands_still_while_we_do_not_read() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.receive([Frame::text("a").more()]).advance(30 * SECOND);
    server.connection.pause(server.now);
    server.advance(3600 * SECOND);
    server.connection.resume(server.now);
    server.advance(29 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(SECOND);
    assert!(matches!(server.finish_cause(), Cause::MessageTimeout { .. }));
}

#[test]
fn the_idle_timeout_stands_still_while_we_do_not_read() {
    let mut server = Solo::new(Role::Server, idle());
    server.advance(30 * SECOND);
    server.connection.pause(server.now);
    server.advance(3600 * SECOND);
    server.connection.resume(server.now);
    server.advance(29 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(SECOND);
    assert_eq!(server.connection.state(), State::Closing);
}

#[test]
fn messages_of_ours_make_a_connection_busy() {
    let mut server = Solo::new(Role::Server, idle());
    for _ in 0..6 {
        server.connection.send("tick").unwrap();
        server.advance(50 * SECOND);
    }
    assert_eq!(server.connection.state(), State::Open);
    server.advance(10 * SECOND);
    assert_eq!(server.connection.state(), State::Closing);
}

#[test]
fn a_connection_is_not_idle_while_a_message_arrives() {
    let mut config = idle();
    config.idle_timeout = Some(10 * SECOND);
    let mut server = Solo::new(Role::Server, config);
    server.receive([Frame::text("slow").more()]).advance(30 * SECOND);
    server.receive([Frame::continuation("ly")]).advance(9 * SECOND);
    assert_eq!(server.events(), [Seen::text("slowly")]);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(SECOND);
    assert_eq!(server.connection.state(), State::Closing);
}

#[test]
fn a_write_of_nothing_is_no_progress() {
    let mut server = Solo::new(Role::Server, config(|_| {}));
    server.connection.send("stuck").unwrap();
    server.advance_blocked(29 * SECOND);
    server.connection.handle_transmitted(server.now, 0);
    server.advance_blocked(SECOND);
    assert_eq!(server.closure().cause, Cause::WriteTimeout);
}

#[test]
fn a_close_after_the_burst_is_a_close() {
    let mut server = Solo::server();
    server.receive((0..200).map(|_| Frame::ping("")));
    server.receive([Frame::close(1000, "")]);
    assert!(server.finish().is_clean());
}

#[test]
fn a_message_whose_deadline_was_slept_through_may_still_be_read() {
    let frame = Frame::text("the rest lies unread").bytes(Role::Client);
    let mut server = Solo::server();
    server.receive_bytes(&frame[..10]);
    server.now += Duration::from_secs(600);
    server.connection.handle_timeout(server.now);
    server.receive_bytes(&frame[10..]);
    assert_eq!(server.events(), [Seen::text("the rest lies unread")]);
}
