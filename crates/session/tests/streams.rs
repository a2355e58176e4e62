//! The two streams of a session: their windows, their buffers, their gaps, and what has no number.

use std::time::Duration;

use everwire_session::{
    Acks, Config, Direction, Event, GapReason, Kind, Overflow, Prepared, SendError,
};
use everwire_testkit::session::{Pair, texts};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn messages_that_became_too_old_are_a_gap_to_both() {
    let mut server = Config::server();
    server.buffer.age = Some(seconds(10));
    let mut pair = Pair::with(Config::client(), server);
    pair.cut();
    pair.server_sends("old");
    pair.now += seconds(11);
    pair.server_sends("new");
    pair.hello();
    pair.pass();
    let events = pair.client_events();
    let Event::Gap(Direction::In, gap) = events[2] else { panic!("{events:?}") };
    assert_eq!((gap.from, gap.to, gap.reason), (1, 1, GapReason::EvictedAge));
    assert_eq!(texts(&events), ["new"]);
    let told = |event: &Event| *event == Event::Gap(Direction::Out, gap);
    assert!(pair.server_events().iter().any(told));
}

/// More than a server counts of what a HELLO says will not come (protocol §5.3, 12).
#[test]
fn seventy_thousand_messages_that_were_evicted_are_one_gap_to_both() {
    let mut client = Config::client();
    (client.buffer.entries, client.buffer.overflow) = (2, Overflow::Evict);
    let mut pair = Pair::with(client, Config::server());
    pair.cut();
    for n in 1..=70_002 {
        pair.client_sends(&n.to_string());
    }
    pair.hello();
    pair.pass();
    let is_gap = |event: &Event, told| {
        matches!(event, Event::Gap(direction, gap)
            if *direction == told && (gap.from, gap.to) == (1, 70_000))
    };
    let events = pair.server_events();
    assert_eq!(events.iter().filter(|event| is_gap(event, Direction::In)).count(), 1);
    assert_eq!(texts(&events), ["70001", "70002"]);
    let told = pair.client_events();
    assert_eq!(told.iter().filter(|event| is_gap(event, Direction::Out)).count(), 1);
    pair.now += seconds(1);
    pair.server.handle_timeout(pair.now); // They are acknowledged.
    pair.pass();
    pair.client_sends("and on");
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["and on"]);
}

#[test]
fn an_application_that_releases_nothing_stops_its_peer_and_nobody_else() {
    let mut client = Config::client();
    client.acks = Acks::Released;
    client.window = 100;
    let mut pair = Pair::with(client, Config::server());
    for text in ["1", "2", "3", "4", "5", "6"] {
        pair.server_sends(text);
    }
    pair.pass();
    // Each costs 33: the fourth is begun at 99.
    assert_eq!(texts(&pair.client_events()).len(), 4);
    pair.client_sends("the other way is open");
    pair.pass();
    assert_eq!(texts(&pair.server_events()).len(), 1);
    pair.client.release(pair.now, 4);
    pair.pass();
    assert_eq!(texts(&pair.client_events()), ["5", "6"]);
}

#[test]
fn a_refused_sender_is_told_when_there_is_room() {
    let mut client = Config::client();
    client.buffer.entries = 2;
    let mut pair = Pair::with(client, Config::server());
    pair.client_sends("1");
    pair.client_sends("2");
    let refused = pair.client.send(pair.now, Prepared::text("3"));
    assert_eq!(refused, Err(SendError::Full { bytes: 2, entries: 2 }));
    pair.pass();
    pair.server_events();
    pair.now += seconds(1);
    pair.server.handle_timeout(pair.now);
    pair.pass();
    assert_eq!(pair.client_events(), [Event::Writable]);
    pair.client_sends("3");
}

#[test]
fn volatile_messages_keep_their_place_and_wait_for_nobody() {
    let mut client = Config::client();
    client.window = 1;
    let mut pair = Pair::with(client, Config::server());
    pair.server_sends("1");
    pair.server_sends("2, without credit yet");
    assert!(pair.server.send_volatile(Kind::Text, b"now"));
    let said = pair.server_says();
    assert_eq!(said.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [0x11, 0x13]);
    pair.cut();
    assert!(!pair.server.send_volatile(Kind::Text, b"dropped"));
}

#[test]
fn a_volatile_message_that_the_peer_does_not_take_is_not_sent() {
    let mut client = Config::client();
    client.max_message = 4;
    let mut pair = Pair::with(client, Config::server());
    assert!(!pair.server.send_volatile(Kind::Text, b"12345"));
    let refused = pair.server.send(pair.now, Prepared::text("12345"));
    assert_eq!(refused, Err(SendError::TooBig { limit: 4, size: 5 }));
}

#[test]
fn a_message_that_may_be_a_gap_is_one_for_a_peer_that_does_not_take_it() {
    for attached in [true, false] {
        let mut client = Config::client();
        client.max_message = 4;
        let mut pair = Pair::with(client, Config::server());
        if !attached {
            pair.cut();
            pair.client_events();
        }
        pair.server_sends("1");
        assert_eq!(pair.server.send_or_gap(pair.now, Prepared::text("12345")), Ok(2));
        pair.server_sends("3");
        if !attached {
            pair.hello();
        }
        pair.pass();
        let events = pair.client_events();
        let [.., Event::Message(_), Event::Gap(Direction::In, gap), Event::Message(_)] = events[..]
        else {
            panic!("{attached}: {events:?}")
        };
        assert_eq!((gap.from, gap.to, gap.reason), (2, 2, GapReason::Oversize));
        assert_eq!(texts(&events), ["1", "3"]);
        assert!(pair.server_events().contains(&Event::Gap(Direction::Out, gap)));
        pair.now += seconds(1);
        pair.client.handle_timeout(pair.now);
        pair.pass();
        assert_eq!(pair.server.buffered(), (0, 0));
    }
}

#[test]
fn credit_that_was_used_up_comes_back_within_200_ms_however_little_it_is() {
    let mut client = Config::client();
    client.acks = Acks::Released;
    client.window = 330;
    let mut pair = Pair::with(client, Config::server());
    for _ in 0..11 {
        pair.server_sends("x"); // 33 each: ten use up what was granted.
    }
    pair.pass();
    assert_eq!(texts(&pair.client_events()).len(), 10);
    pair.client.release(pair.now, 1);
    pair.pass();
    assert_eq!(texts(&pair.client_events()).len(), 0); // A tenth is not worth a frame of its own yet.
    pair.now += Duration::from_millis(200);
    pair.client.handle_timeout(pair.now);
    pair.pass();
    assert_eq!(texts(&pair.client_events()).len(), 1);
}
