//! Peers that misbehave for as long as they can: each has its one closure.

use std::time::Duration;

use everwire_proto::{Cause, CloseCode, Closure, Config, Keepalive, Role, State};
use everwire_testkit::{Frame, Pair, Seen, Solo};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[track_caller]
fn check(closure: &Closure, cause: &Cause, sent: Option<u16>, received: Option<u16>) {
    let code = |frame: &Option<everwire_proto::CloseFrame>| frame.as_ref().map(|f| f.code.into());
    assert_eq!(&closure.cause, cause);
    assert_eq!((code(&closure.sent), code(&closure.received)), (sent, received), "{closure}");
}

#[test]
fn a_peer_that_answers_pings_with_other_payloads_lives_and_is_not_measured() {
    let mut server = Solo::server();
    for _ in 0..20 {
        server.advance(26 * SECOND).receive([Frame::pong("something else")]);
    }
    assert_eq!(server.sent().len(), 20);
    assert_eq!((server.connection.state(), server.connection.answered()), (State::Open, 0));
    server.receive([Frame::close(1000, "")]);
    let closure = server.finish();
    check(&closure, &Cause::PeerClosed, Some(1000), Some(1000));
    assert_eq!(closure.rtt, None);
}

#[test]
fn a_flood_of_pongs_is_1008_and_not_life_for_ever() {
    let mut server = Solo::server();
    for _ in 0..3 {
        server.advance(SECOND).receive((0..100).map(|_| Frame::pong("flood")));
    }
    assert_eq!(server.connection.state(), State::Open, "100 a second are allowed");
    server.receive((0..201).map(|_| Frame::pong("flood")));
    check(&server.finish(), &Cause::RateLimited, Some(1008), None);
}

#[test]
fn control_frames_that_waited_for_us_are_no_flood() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.advance(600 * SECOND);
    server.connection.resume(server.now);
    server.receive((0..1200).map(|_| Frame::ping("one every half second")));
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn what_comes_behind_a_close_is_not_looked_at() {
    let mut server = Solo::server();
    server.receive([Frame::close(1000, "bye"), Frame::text("and"), Frame::new(3, "on")]);
    for _ in 0..10 {
        server.flush().receive([Frame::text("and on")]).advance(90 * MILLI);
    }
    assert_eq!(server.events(), [Seen::Close]);
    server.advance(100 * MILLI);
    check(&server.closure(), &Cause::PeerClosed, Some(1000), Some(1000));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_told_from_one_that_does_not() {
    let frame = Frame::text("hello").bytes(Role::Client);
    let mut pair = Pair::new();
    pair.to_server.reset_after(frame.len() + 3);
    pair.client_send("hello");
    pair.client_send("cut in the middle");
    pair.drive();
    assert_eq!(pair.server_events(), [Seen::text("hello")]);
    check(&pair.server_closure(), &Cause::Reset, None, None);
    let mut server = Solo::server();
    server.receive_bytes(&frame[..7]).eof();
    check(&server.closure(), &Cause::EofMidFrame, None, None);
}

#[test]
fn a_peer_that_half_closes_gets_what_was_queued() {
    let mut server = Solo::server();
    server.connection.send("queued").unwrap();
    server.eof();
    assert_eq!(server.sent()[0].payload, b"queued");
    check(&server.closure(), &Cause::EofBetweenFrames, None, None);
}

/// Returns how a server ends that receives a byte of a message a minute.
fn byte_a_minute(keepalive: Option<Keepalive>) -> Closure {
    let mut config = Config::default();
    config.keepalive = keepalive;
    let mut server = Solo::new(Role::Server, config);
    for byte in Frame::text("a message that never ends").bytes(Role::Client) {
        server.receive_bytes(&[byte]).advance(60 * SECOND);
        if server.connection.state() != State::Open {
            return server.finish();
        }
    }
    unreachable!("the message is late")
}

#[test]
fn a_byte_a_minute_is_too_slow_for_the_keepalive() {
    let silent_for = 45 * SECOND;
    let closure = byte_a_minute(Some(Keepalive::standard()));
    check(&closure, &Cause::KeepaliveTimeout { silent_for }, Some(1011), None);
}

#[test]
fn a_byte_a_minute_that_the_keepalive_bears_makes_its_message_late() {
    let closure = byte_a_minute(Some(Keepalive::new(50 * SECOND, 20 * SECOND)));
    // The header was whole with the sixth byte; from then on the message had 60 s.
    assert_eq!(closure.duration, 360 * SECOND);
    check(&closure, &Cause::MessageTimeout { received: 0 }, Some(1008), None);
}

#[test]
fn a_window_of_zero_for_ever_is_a_write_timeout() {
    let mut server = Solo::server();
    server.connection.send(vec![0; 100_000]).unwrap();
    server.connection.handle_transmitted(server.now, 60_000);
    server.advance_blocked(30 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance_blocked(MILLI);
    check(&server.closure(), &Cause::WriteTimeout, None, None);
}

#[test]
fn a_peer_that_never_answers_our_close_is_not_waited_for() {
    let mut pair = Pair::new();
    pair.to_server.hold();
    pair.close(Role::Client, CloseCode::GOING_AWAY, "").unwrap();
    pair.advance(3 * SECOND);
    check(&pair.client_closure(), &Cause::CloseTimeout, Some(1001), None);
}

#[test]
fn one_direction_that_stalls_is_noticed_by_the_end_that_hears_nothing() {
    let mut pair = Pair::new();
    pair.to_server.hold();
    pair.advance(46 * SECOND);
    let silent_for = 45 * SECOND;
    check(&pair.server_closure(), &Cause::KeepaliveTimeout { silent_for }, Some(1011), None);
    check(&pair.client_closure(), &Cause::PeerClosed, Some(1011), Some(1011));
}

#[test]
fn a_reset_reaches_both_ends_behind_what_was_on_its_way() {
    let mut pair = Pair::new();
    pair.to_server.delay(SECOND..SECOND, 1);
    pair.client_send("on its way");
    pair.drive();
    pair.reset();
    assert_eq!(pair.client_closure().cause, Cause::Reset);
    pair.advance(SECOND);
    assert_eq!(pair.server_events(), [Seen::text("on its way")]);
    check(&pair.server_closure(), &Cause::Reset, None, None);
}
