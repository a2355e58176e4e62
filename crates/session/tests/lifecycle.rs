//! A session through its life: begun, resumed, suspected, taken over.

use std::time::Duration;

use everwire_session::{Attach, ClientSession, Code, Event, Frame, Hello, Role};
use everwire_testkit::session::{Pair, texts};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Names of frames in the order in which they passed.
fn transcript(passed: &[(Role, Frame)]) -> Vec<String> {
    let name = |(role, frame): &(Role, Frame)| {
        let side = if *role == Role::Client { 'C' } else { 'S' };
        let debug = format!("{frame:?}");
        let name = debug.split(['(', ' ']).next().unwrap_or_default().to_owned();
        format!("{side} {name}")
    };
    passed.iter().map(name).collect()
}

#[test]
fn a_resume_takes_one_round_trip() {
    let mut pair = Pair::new();
    pair.cut();
    pair.server_sends("missed 1");
    pair.server_sends("missed 2");
    pair.client_sends("said meanwhile");
    assert_eq!(pair.hello(), Attach::Attached(2));
    // HELLO went one way; the answer comes with all that was missed.
    let passed = pair.pass();
    assert_eq!(transcript(&passed), ["S Welcome", "S Data", "S Data", "C Ack", "C Data"]);
    assert_eq!(texts(&pair.client_events()), ["missed 1", "missed 2"]);
    assert_eq!(texts(&pair.server_events()), ["said meanwhile"]);
}

#[test]
fn a_black_hole_is_suspected_within_three_seconds_while_the_client_sends() {
    let mut pair = Pair::new();
    pair.client_sends("into the void");
    pair.client_says();
    pair.wait(seconds(3));
    assert!(pair.client_events().contains(&Event::Suspected));
    assert!(pair.client.is_suspected() && pair.client.is_attached());
    // The takeover loses nothing, although the server has noticed nothing.
    assert_eq!(pair.hello(), Attach::Attached(2));
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["into the void"]);
}

#[test]
fn a_suspicion_is_over_when_the_socket_speaks() {
    let mut pair = Pair::new();
    pair.client_sends("slow");
    let late = pair.client_says();
    pair.wait(seconds(3));
    pair.server_sends("still here");
    for frame in late {
        pair.server.handle_message(pair.now, pair.epoch, &frame);
    }
    pair.pass();
    assert!(!pair.client.is_suspected());
}

#[test]
fn an_idle_black_hole_is_noticed_by_both_heartbeats() {
    let mut pair = Pair::new();
    pair.wait(seconds(34));
    assert!(pair.client.is_attached());
    pair.wait(seconds(4));
    assert!(!pair.client.is_attached() && !pair.server.is_attached());
    assert!(pair.client_events().contains(&Event::Detached));
    assert!(pair.server_events().contains(&Event::Detached));
}

#[test]
fn heartbeats_keep_an_idle_socket() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        pair.now += seconds(9);
        pair.client.handle_timeout(pair.now);
        pair.server.handle_timeout(pair.now);
        pair.pass();
    }
    assert!(pair.client.is_attached() && pair.server.is_attached());
    assert_eq!(pair.client_events(), []);
    assert!(pair.server.rtt().is_some());
}

#[test]
fn too_many_attaches_are_refused_with_a_code_of_their_own() {
    let busy = everwire_session::Welcome::Busy { after: 1, spread: 1 };
    assert_eq!(busy.close_code(), Some(Code::BUSY));
    assert_eq!(Attach::Refused(busy).close_code(), Some(Code::RATE));
    let stale = Attach::Refused(everwire_session::Welcome::Stale);
    assert_eq!(stale.close_code(), Some(Code::SUPERSEDED));
    assert_eq!(Attach::Attached(1).close_code(), None);
}

#[test]
fn both_ends_may_be_sent_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<ClientSession>();
    check::<everwire_session::ServerSession>();
    check::<everwire_session::Store<(everwire_session::SessionId, std::sync::Arc<str>)>>();
}

#[test]
fn a_hello_in_the_upgrade_is_the_frame_in_base64url() {
    let example = "UAEBAAEBgIAQgIBA4NQDAAZ0aWNrZXQ"; // docs/protocol.md §17
    let hello = Hello::parse_base64(example).expect("it is that of the specification");
    assert_eq!((hello.attempt, hello.ttl, &hello.auth[..]), (1, 60_000, &b"ticket"[..]));
    assert_eq!(Hello::base64(&Frame::Hello(hello).encode()), example);
    for wrong in ["", "UAEB", "UAEBAAEBgIAQgIBA4NQDAAZ0aWNrZXQ=", "+/+/", &"A".repeat(5_000)] {
        assert!(Hello::parse_base64(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nothing_shows_its_secrets() {
    let mut pair = Pair::new();
    pair.client.set_ticket("hunter2");
    pair.cut();
    let attempt = pair.client.hello(pair.now).expect("it has not ended");
    let hello = Hello::parse(&attempt.hello).expect("our own");
    let token = format!("{:?}", hello.token);
    for shown in [
        format!("{:?} {hello:?} {attempt:?}", pair.client),
        format!("{:?} {:?}", pair.server, pair.client.snapshot()),
        format!("{:?}", Frame::AuthTicket(everwire_session::Ticket("hunter2".into()))),
    ] {
        assert!(!shown.contains("hunter2") && !shown.contains(&token), "{shown}");
    }
}
