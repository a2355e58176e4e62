//! What is off by default: a heartbeat of the application's messages, and a maximum age.

use std::{sync::Arc, time::Duration};

use everwire_proto::{
    Answer, Cause, CloseCode, CloseFrame, Config, Connection, Delivery, Heartbeat, MaxAge, Message,
    MessageKind, Retry, Role, State,
};
use everwire_testkit::{Frame, Solo, start};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Returns a configuration that sends "beat" every 10 s and waits 4 s.
fn beats(answer: Answer) -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config.heartbeat = Some(Heartbeat::new("beat", 10 * SECOND, 4 * SECOND, answer));
    config
}

fn beating(answer: Answer) -> Solo {
    Solo::new(Role::Server, beats(answer))
}

/// Returns the payloads that were sent since the last call.
fn sent(server: &mut Solo) -> Vec<Vec<u8>> {
    server.sent().into_iter().map(|frame| frame.payload).collect()
}

#[test]
fn a_beat_goes_out_at_each_interval_whatever_else_is_said() {
    let mut server = beating(Answer::text("back"));
    for _ in 0..5 {
        server.advance(5 * SECOND).receive([Frame::text("chatter")]);
        assert_eq!(sent(&mut server), Vec::<Vec<u8>>::new());
        server.advance(5 * SECOND).receive([Frame::text("back")]);
        assert_eq!(sent(&mut server), [b"beat"]);
    }
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn no_answer_for_the_timeout_is_the_end() {
    let mut server = beating(Answer::text("back"));
    server.advance(10 * SECOND).receive([Frame::text("chatter"), Frame::pong("back")]);
    server.advance(4 * SECOND - MILLI).receive([Frame::binary("back"), Frame::text("bac")]);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert_eq!(server.sent().last().map(everwire_testkit::SentFrame::close_code), Some(1011));
    let closure = server.finish();
    assert_eq!((closure.cause, closure.duration), (Cause::HeartbeatTimeout, 14 * SECOND));
}

#[test]
fn the_first_beat_without_an_answer_counts() {
    let mut config = beats(Answer::Any);
    config.heartbeat.as_mut().expect("just set").timeout = 25 * SECOND;
    let mut server = Solo::new(Role::Server, config);
    server.advance(35 * SECOND - MILLI);
    assert_eq!((sent(&mut server).len(), server.connection.state()), (3, State::Open));
    server.advance(MILLI);
    assert_eq!(server.finish_cause(), Cause::HeartbeatTimeout);
}

#[test]
fn an_answer_is_what_the_matcher_says() {
    #[track_caller]
    fn check(answer: Answer, frame: Frame, expected: State) {
        let mut server = beating(answer);
        server.advance(10 * SECOND).receive([frame]).advance(4 * SECOND);
        assert_eq!(server.connection.state(), expected);
    }
    let starts = || Answer::matching(|m| m.as_text().is_some_and(|text| text.starts_with('3')));
    check(starts(), Frame::text("3probe"), State::Open);
    check(starts(), Frame::text("2probe"), State::Draining);
    check(Answer::Any, Frame::text("anything"), State::Open);
    check(
        Answer::Exactly(Message::binary(&b"x"[..]).into_owned()),
        Frame::binary("x"),
        State::Open,
    );
    check(Answer::Any, Frame::pong("no message"), State::Draining);
}

#[test]
fn large_and_fragmented_answers_are_answers_too() {
    let long = "long ".repeat(50_000);
    let mut server = beating(Answer::text(&long));
    server.advance(10 * SECOND).receive([Frame::text(&long)]).advance(10 * SECOND);
    server.receive([Frame::text(&long[..70_000]).more(), Frame::continuation(&long[70_000..])]);
    server.advance(4 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn in_pieces_only_any_message_answers() {
    for (answer, expected) in [(Answer::Any, State::Open), (Answer::text("back"), State::Draining)]
    {
        let mut config = beats(answer);
        config.delivery = Delivery::Pieces;
        let mut server = Solo::new(Role::Server, config);
        server.advance(10 * SECOND).receive([Frame::text("back")]).advance(4 * SECOND);
        assert_eq!(server.connection.state(), expected);
    }
}

#[test]
fn while_we_do_not_read_beats_go_on_and_the_answer_is_not_late() {
    let mut server = beating(Answer::text("back"));
    server.advance(11 * SECOND);
    server.connection.pause(server.now);
    server.advance(600 * SECOND);
    assert_eq!((sent(&mut server).len(), server.connection.state()), (61, State::Open));
    server.connection.resume(server.now);
    server.advance(3 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert_eq!(server.finish_cause(), Cause::HeartbeatTimeout);
}

#[test]
fn a_timer_that_fires_late_waits_once_more() {
    let mut server = beating(Answer::text("back"));
    server.advance(11 * SECOND);
    server.now += 600 * SECOND;
    server.connection.handle_timeout(server.now);
    assert_eq!(server.connection.state(), State::Open);
    server.receive([Frame::text("back")]).advance(5 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn a_beat_waits_for_the_end_of_a_message_in_pieces() {
    let mut server = beating(Answer::Any);
    server.connection.start_message(MessageKind::Text).unwrap();
    server.advance(15 * SECOND);
    assert_eq!(sent(&mut server), Vec::<Vec<u8>>::new());
    server.connection.finish_message(b"whole").unwrap();
    server.advance(SECOND);
    assert_eq!(sent(&mut server), [&b"whole"[..], b"beat"]);
    server.advance(3 * SECOND);
    assert_eq!(server.connection.state(), State::Open, "it was asked only now");
}

#[test]
fn beats_and_their_answers_do_not_keep_a_connection_from_being_idle() {
    let mut config = beats(Answer::text("back"));
    config.idle_timeout = Some(35 * SECOND);
    let mut server = Solo::new(Role::Server, config);
    for _ in 0..3 {
        server.advance(10 * SECOND).receive([Frame::text("back")]);
    }
    server.advance(5 * SECOND).receive([Frame::close(1000, "")]);
    assert_eq!(server.finish_cause(), Cause::Idle);
}

// Age.

fn aging(max_age: MaxAge) -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config.max_age = Some(max_age);
    config
}

#[test]
fn a_connection_that_is_too_old_is_told_to_come_back() {
    let mut server = Solo::new(Role::Server, aging(MaxAge::new(3600 * SECOND)));
    server.advance(3600 * SECOND - MILLI);
    assert_eq!((server.sent(), server.connection.state()), (vec![], State::Open));
    server.advance(MILLI);
    let notice = server.sent().remove(0);
    assert_eq!(&notice.payload, b"\x03\xE9retry=0;spread=5000");
    server.receive([Frame::close(1001, "")]);
    let closure = server.finish();
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::MaxAge, true));
    let mut client = Solo::client();
    client.receive([Frame::new(8, &notice.payload)]);
    let soon = Retry::After { after: Duration::ZERO, spread: 5 * SECOND };
    assert_eq!(client.finish().retry(), soon);
}

#[test]
fn the_age_is_spread_by_10_percent() {
    let ages: std::collections::BTreeSet<Duration> = (0..=255)
        .map(|seed| {
            let now = start();
            let config = Arc::new(aging(MaxAge::new(1000 * SECOND)));
            Connection::server(config, now, seed).poll_timeout().expect("it ages") - now
        })
        .collect();
    assert_eq!(ages.len(), 256);
    assert_eq!(ages.first(), Some(&(900 * SECOND)));
    assert!(ages.last() > Some(&(1099 * SECOND)) && ages.last() < Some(&(1100 * SECOND)));
}

#[test]
fn the_notice_can_be_chosen() {
    let mut max_age = MaxAge::new(60 * SECOND);
    max_age.notice = CloseFrame::new(CloseCode::SERVICE_RESTART, "rebalance").unwrap();
    let mut server = Solo::new(Role::Server, aging(max_age));
    server.advance(60 * SECOND);
    assert_eq!(&server.sent()[0].payload, b"\x03\xF4rebalance");
}

#[test]
fn a_busy_connection_grows_old_too() {
    let mut server = Solo::new(Role::Server, aging(MaxAge::new(60 * SECOND)));
    for _ in 0..60 {
        server.advance(SECOND).receive([Frame::text("busy")]);
    }
    assert_eq!(server.connection.state(), State::Closing);
}
