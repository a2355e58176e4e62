//! A session through its life: resumed, suspected, restored, asked for a ticket.

use std::time::Duration;

use everwire_session::{
    Acks, Attach, ClientSession, Code, Config, Direction, EndedBy, Event, Frame, GapReason, Hello,
    Kind, Prepared, Role, SendError,
};
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

/// A client that says itself what it has dealt with.
fn manual() -> Pair {
    let mut client = Config::client();
    client.acks = Acks::Manual;
    Pair::with(client, Config::server())
}

/// Replaces the client by one that was stored before.
fn restore(pair: &mut Pair, snapshot: everwire_session::Snapshot) {
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
fn too_many_attaches_are_refused_with_a_code_of_their_own() {
    let busy = everwire_session::Welcome::Busy { after: 1, spread: 1 };
    assert_eq!(busy.close_code(), Some(Code::BUSY));
    assert_eq!(Attach::Refused(busy).close_code(), Some(Code::RATE));
    let stale = Attach::Refused(everwire_session::Welcome::Stale);
    assert_eq!(stale.close_code(), Some(Code::SUPERSEDED));
    assert_eq!(Attach::Attached(1).close_code(), None);
}

#[test]
fn a_message_that_the_websocket_refused_ends_the_session() {
    use everwire_session::{Oversize, Violation};
    let limit = Config::client().max_message;
    let violation = EndedBy::Violation(Violation::TooBig { limit, size: 2_000_000 });
    for (oversize, by) in
        [(Oversize::Theirs(2_000_001), violation), (Oversize::Ours, EndedBy::Peer)]
    {
        let mut pair = Pair::new();
        pair.client_sends("unheard");
        pair.client.handle_too_big(pair.attempt - 1, oversize);
        pair.server.handle_too_big(pair.epoch - 1, oversize);
        assert!(!pair.client.is_ended() && !pair.server.is_ended());
        pair.client.handle_too_big(pair.attempt, oversize);
        pair.server.handle_too_big(pair.epoch, oversize);
        pair.cut();
        for events in [pair.client_events(), pair.server_events()] {
            let [Event::Ended(end)] = &events[..] else { panic!("{events:?}") };
            assert_eq!((end.code, end.by), (Code::TOO_BIG, by));
        }
        assert!(pair.client.hello(pair.now).is_none());
        assert!(pair.server.tombstone().is_some());
    }
}

#[test]
fn a_client_is_asked_for_a_ticket_before_its_own_expires() {
    let mut pair = Pair::new();
    pair.server.set_expiry(pair.now, Some(seconds(10)));
    pair.now += seconds(8);
    pair.server.handle_timeout(pair.now);
    pair.pass();
    assert_eq!(pair.client_events(), [Event::TicketWanted(seconds(2))]);
    pair.client.authenticate("fresh");
    pair.pass();
    let events = pair.server_events();
    assert!(matches!(&events[..], [Event::Ticket(ticket)] if ticket.0 == "fresh"));
    let alice = everwire_session::Principal::new("alice");
    pair.server.authenticated(pair.now, &alice, Some(seconds(60)));
    pair.pass();
    assert_eq!(pair.client_events(), [Event::TicketAccepted(Some(seconds(60)))]);
    pair.now += seconds(40);
    pair.server.handle_timeout(pair.now);
    assert!(!pair.server.is_ended());
}

#[test]
fn a_ticket_that_is_not_renewed_ends_the_session() {
    let mut pair = Pair::new();
    pair.server.set_expiry(pair.now, Some(seconds(10)));
    pair.now += seconds(10);
    pair.server.handle_timeout(pair.now);
    pair.pass();
    let events = pair.client_events();
    let Some(Event::Ended(end)) = events.last() else { panic!("{events:?}") };
    assert_eq!((end.code, end.by), (Code::UNAUTHENTICATED, EndedBy::Peer));
}

#[test]
fn a_goodbye_that_nobody_answers_is_given_up_with_what_was_not_acknowledged() {
    let mut pair = Pair::new();
    pair.client_sends("unheard");
    pair.client.close(Code::NORMAL, "", None);
    pair.client_says();
    pair.wait(seconds(5));
    let events = pair.client_events();
    let Some(Event::Ended(end)) = events.last() else { panic!("{events:?}") };
    assert_eq!(end.unacknowledged.len(), 1);
    assert_eq!(end.by, EndedBy::Us);
}

#[test]
fn a_goodbye_without_a_socket_ends_at_its_deadline() {
    let mut pair = Pair::new();
    pair.cut();
    pair.server.close(Code::NORMAL, "", Some(pair.now + seconds(9)));
    pair.wait(seconds(9));
    assert!(pair.server.is_ended());
    assert!(!pair.client.is_ended());
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
