//! What outlives a client, and what it loses: restored from what it stored, without a token, forgotten.

use std::time::Duration;

use bytes::Bytes;
use everwire_session::{
    Acks, Attach, ClientSession, Code, Config, Direction, Event, GapReason, Hello, MAX_NUMBER,
    Prepared, SendError, Snapshot,
};
use everwire_testkit::{
    session::{Pair, texts},
    start,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A client that says itself what it has dealt with.
fn manual() -> Pair {
    let mut client = Config::client();
    client.acks = Acks::Manual;
    Pair::with(client, Config::server())
}

/// Replaces the client by one that was stored before.
fn restore(pair: &mut Pair, snapshot: Snapshot) {
    pair.server.handle_closed(pair.now, pair.epoch);
    let mut config = Config::client();
    config.acks = Acks::Manual;
    pair.client = ClientSession::restored(pair.now, config.into(), snapshot);
}

#[test]
fn what_a_client_had_not_dealt_with_comes_again_after_its_crash() {
    let mut pair = manual();
    for text in ["1", "2", "3"] {
        pair.server_sends(text);
    }
    pair.pass();
    assert_eq!(texts(&pair.client_events()), ["1", "2", "3"]);
    pair.client.release(pair.now, 1);
    let stored = pair.client.snapshot();
    pair.now += seconds(1);
    pair.client.handle_timeout(pair.now);
    pair.pass();
    restore(&mut pair, stored);
    assert_eq!(pair.hello(), Attach::Attached(2));
    pair.pass();
    assert_eq!(texts(&pair.client_events()), ["2", "3"]);
}

#[test]
fn what_a_client_stored_too_late_is_a_gap() {
    let mut pair = manual();
    let stored = pair.client.snapshot();
    for text in ["1", "2"] {
        pair.server_sends(text);
    }
    pair.pass();
    pair.client_events();
    pair.client.release(pair.now, 2);
    pair.now += seconds(1);
    pair.client.handle_timeout(pair.now);
    pair.pass();
    pair.server_sends("3");
    restore(&mut pair, stored);
    pair.hello();
    pair.pass();
    let events = pair.client_events();
    let Event::Gap(Direction::In, gap) = events[1] else { panic!("{events:?}") };
    assert_eq!((gap.from, gap.to, gap.reason), (1, 2, GapReason::Restart));
    assert_eq!(texts(&events), ["3"]);
}

#[test]
fn a_client_that_forgot_what_it_had_said_loses_the_session() {
    let mut pair = Pair::new();
    let stored = pair.client.snapshot();
    pair.client_sends("forgotten");
    pair.pass();
    restore(&mut pair, stored);
    assert_eq!(pair.hello(), Attach::Unknown);
    pair.pass();
    assert!(matches!(pair.client_events()[..], [Event::Lost { .. }, Event::Opened { .. }]));
}

#[test]
fn a_snapshot_keeps_what_was_not_acknowledged() {
    let mut pair = Pair::new();
    pair.cut();
    pair.client_sends("1");
    pair.client_sends("2");
    let stored = pair.client.snapshot();
    restore(&mut pair, stored);
    pair.hello();
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["1", "2"]);
}

/// Both ends of a session that the server does not keep without a socket, as under pressure: it
/// gives no token.
fn unkept() -> Pair {
    let mut server = Config::server();
    server.terms.ttl_limit = Duration::ZERO;
    Pair::with(Config::client(), server)
}

/// Checks that the client has lost its session with "1" and "2", and that a new one begins.
#[track_caller]
fn check_lost(pair: &mut Pair) {
    assert_eq!(pair.hello(), Attach::Unknown);
    pair.pass();
    let events = pair.client_events();
    let lost = events.iter().position(|event| matches!(event, Event::Lost { .. }));
    let Some([Event::Lost { unacknowledged }, Event::Opened { .. }]) = lost.map(|at| &events[at..])
    else {
        panic!("{events:?}")
    };
    let texts_of: Vec<_> = unacknowledged.iter().filter_map(|it| it.as_text()).collect();
    assert_eq!(texts_of, ["1", "2"]);
    assert_eq!(texts(&pair.server_events()), [""; 0]);
    pair.client_sends("afresh");
    pair.server_sends("afresh");
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["afresh"]);
    assert_eq!(texts(&pair.client_events()), ["afresh"]);
}

#[test]
fn a_session_without_a_token_is_lost_with_its_socket_and_nothing_comes_again() {
    let mut pair = unkept();
    pair.server_sends("heard");
    pair.client_sends("1");
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["1"]);
    assert_eq!(texts(&pair.client_events()), ["heard"]);
    pair.cut();
    pair.client_sends("2");
    check_lost(&mut pair);
}

#[test]
fn a_session_without_a_token_is_lost_to_a_socket_beside_its_own() {
    let mut pair = unkept();
    pair.client_sends("1");
    pair.pass();
    pair.server_events();
    pair.client_sends("2");
    check_lost(&mut pair);
}

#[test]
fn a_client_restored_without_a_token_is_told_of_the_loss() {
    let mut pair = unkept();
    pair.client_sends("1");
    pair.client_sends("2");
    let stored = pair.client.snapshot();
    restore(&mut pair, stored);
    check_lost(&mut pair);
}

#[test]
fn a_session_that_another_socket_would_cost_is_not_suspected() {
    let mut pair = unkept();
    pair.client_sends("into the void");
    pair.client_says();
    pair.wait(seconds(30));
    assert_eq!(pair.client_events(), []);
    pair.wait(seconds(8));
    assert!(!pair.client.is_attached());
}

#[test]
fn who_waits_for_room_has_it_when_the_session_is_lost() {
    let mut client = Config::client();
    client.buffer.entries = 1;
    let mut server = Config::server();
    server.terms.ttl_limit = Duration::ZERO;
    let mut pair = Pair::with(client, server);
    pair.cut();
    pair.client_sends("kept");
    assert!(pair.client.send(pair.now, Prepared::text("refused")).is_err());
    pair.hello();
    assert!(pair.client_events().contains(&Event::Writable));
}

#[test]
fn who_has_used_up_its_numbers_is_told_and_ends_by_itself() {
    let last = MAX_NUMBER - 1;
    let stored = Snapshot::new(Bytes::new(), 0, 0, 0, last);
    let mut client = ClientSession::restored(start(), Config::client().into(), stored);
    assert_eq!(client.send(start(), Prepared::text("the last")), Ok(last));
    assert_eq!(client.send(start(), Prepared::text("no more")), Err(SendError::Exhausted));
    assert!(!client.is_ended());
    // It can still be said what its next would be.
    let hello = client.hello(start()).expect("it has not ended").hello;
    assert_eq!(Hello::parse(&hello).expect("our own").next, MAX_NUMBER);
}

/// Returns whether a client takes a WELCOME to a new session with these counts.
fn takes(recv: u64, done: u64, sent: u64) -> bool {
    let mut pair = Pair::new();
    pair.client = ClientSession::new(pair.now, Config::client().into());
    let attempt = pair.client.hello(pair.now).expect("it has not ended").number;
    let mut welcome = bytes::BytesMut::from(&b"\x60\0\x01"[..]);
    welcome.extend([recv, done, sent].map(|n| u8::try_from(n).expect("small")));
    welcome.extend_from_slice(b"\x10\x80\x08\x64\x01\x01\x01\0\0");
    pair.client.handle_message(pair.now, attempt, &welcome.freeze());
    match pair.client_events().last() {
        Some(Event::Opened { .. }) => true,
        Some(Event::Ended(end)) if end.code == Code::COUNTERS => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_session_begins_with_nothing_sent_or_received() {
    assert!(takes(0, 0, 0));
    assert!(!takes(1, 0, 0) && !takes(1, 1, 0) && !takes(0, 0, 1));
}
