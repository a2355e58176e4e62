//! Ends of a session: goodbyes, tickets that run out, messages that were refused.

use std::time::Duration;

use everwire_session::{Code, Config, Counts, EndedBy, Event, Frame, Transmit, Welcome};
use everwire_testkit::session::Pair;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns what an end says in answer to a goodbye that came after this was accepted, and what it is told.
fn answered(window: u64) -> (Vec<u8>, usize) {
    let mut client = Config::client();
    client.window = window;
    let mut pair = Pair::with(client, Config::server());
    pair.client_sends("last words");
    pair.client.close(Code::NORMAL, "", None);
    for frame in pair.client_says() {
        pair.server.handle_message(pair.now, pair.epoch, &frame);
        if frame[0] == 0x11 {
            pair.server_sends("an answer");
            pair.server_sends("another");
        }
    }
    let said = pair.server_says().iter().map(|frame| frame[0]).collect();
    let events = pair.server_events();
    let Some(Event::Ended(end)) = events.last() else { panic!("{events:?}") };
    (said, end.unacknowledged.len())
}

#[test]
fn what_was_accepted_before_a_goodbye_came_goes_out_before_its_answer() {
    assert_eq!(answered(1000), (vec![0x11, 0x11, 0x91], 2));
    // What there is no credit for stays behind.
    assert_eq!(answered(1), (vec![0x11, 0x91], 2));
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

/// Waits for the peer to close, in vain; returns what the ends then close with.
fn closes(pair: &mut Pair) -> [Option<Transmit>; 2] {
    pair.wait(seconds(4));
    let is_patient = pair.client.poll_transmit(pair.now, pair.attempt).is_none();
    assert!(is_patient && pair.server.poll_transmit(pair.now, pair.epoch).is_none());
    pair.now += seconds(1);
    pair.client.handle_timeout(pair.now);
    pair.server.handle_timeout(pair.now);
    let client = pair.client.poll_transmit(pair.now, pair.attempt);
    [client, pair.server.poll_transmit(pair.now, pair.epoch)]
}

#[test]
fn who_answered_a_goodbye_closes_if_the_other_does_not_within_5_s() {
    let mut pair = Pair::new();
    pair.client.close(Code::NORMAL, "", None);
    for frame in pair.client_says() {
        pair.server.handle_message(pair.now, pair.epoch, &frame);
    }
    assert_eq!(pair.server_says().len(), 1); // The reply, which nobody hears.
    let close = Some(Transmit::Close(Code::NORMAL));
    assert_eq!(closes(&mut pair), [close.clone(), close]);
}

#[test]
fn who_have_both_said_goodbye_close_as_soon_as_each_has_its_answer() {
    let mut pair = Pair::new();
    pair.client.close(Code::NORMAL, "", None);
    pair.server.close(Code::NORMAL, "", None);
    for is_answered in [false, true] {
        let (client, server) = (pair.client_says(), pair.server_says());
        assert_eq!((client.len(), server.len()), (1, 1));
        pair.client.handle_message(pair.now, pair.attempt, &server[0]);
        pair.server.handle_message(pair.now, pair.epoch, &client[0]);
        assert_eq!(client[0][0], 0x90 + u8::from(is_answered));
    }
    let close = Some(Transmit::Close(Code::NORMAL));
    assert_eq!(pair.client.poll_transmit(pair.now, pair.attempt), close);
    assert_eq!(pair.server.poll_transmit(pair.now, pair.epoch), close);
    for events in [pair.client_events(), pair.server_events()] {
        let [Event::Ended(end)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(end.by, EndedBy::Peer);
    }
}

#[test]
fn a_client_closes_a_socket_that_was_refused_if_the_server_does_not_within_5_s() {
    let mut pair = Pair::new();
    let attempt = pair.client.hello(pair.now).expect("it has not ended").number;
    pair.attempt = attempt;
    let busy = Frame::Welcome(Welcome::Busy { after: 1, spread: 1 }).encode();
    pair.client.handle_message(pair.now, attempt, &busy);
    assert_eq!(closes(&mut pair)[0], Some(Transmit::Close(Code::NORMAL)));
}

#[test]
fn a_socket_that_is_given_up_on_purpose_acknowledges_first() {
    let mut pair = Pair::new();
    pair.client_sends("heard");
    for frame in pair.client_says() {
        pair.server.handle_message(pair.now, pair.epoch, &frame);
    }
    pair.server.detach(pair.now, Code::SLOW_CONSUMER);
    let next = || pair.server.poll_transmit(pair.now, pair.epoch);
    let said: Vec<_> = std::iter::from_fn(next).take(2).collect();
    let [Transmit::Frame(ack), Transmit::Close(Code::SLOW_CONSUMER)] = &said[..] else {
        panic!("{said:?}")
    };
    assert!(ack.starts_with(&[0x20, 1, 1]));
}

#[test]
fn a_client_whose_path_is_silent_is_closed_with_4408() {
    let mut pair = Pair::new();
    let mut said = Vec::new();
    for _ in 0..38 {
        pair.now += seconds(1);
        pair.server.handle_timeout(pair.now);
        while pair.server.is_attached() || said.is_empty() {
            let Some(transmit) = pair.server.poll_transmit(pair.now, pair.epoch) else { break };
            said.push(transmit);
        }
    }
    let [Transmit::Frame(ping)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ping[0], 0x30);
    let close = pair.server.poll_transmit(pair.now, pair.epoch);
    assert_eq!(close, Some(Transmit::Close(Code::TIMEOUT)));
}

#[test]
fn what_comes_after_the_end_is_ignored_whatever_it_is() {
    let mut pair = Pair::new();
    pair.server.end(Code::ENDED, "kicked");
    pair.server_events();
    for late in [&b"\x11late"[..], b"\x20\x09\x09\0\0", b"\xff", b"\x90\xe8\x07\0\0\0\0\0"] {
        pair.server.handle_message(pair.now, pair.epoch, &bytes::Bytes::from_static(late));
    }
    assert_eq!(pair.server_events(), []);
    let next = || pair.server.poll_transmit(pair.now, pair.epoch);
    let said: Vec<_> = std::iter::from_fn(next).take(2).collect();
    let [Transmit::Frame(bye), Transmit::Close(Code::ENDED)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(bye[0], 0x90);
}

#[test]
fn who_is_sent_elsewhere_knows_what_has_been_received() {
    let mut pair = Pair::new();
    pair.client_sends("1");
    pair.pass();
    pair.server.goaway(Duration::ZERO, Duration::ZERO, "");
    let said: Vec<_> = pair.pass().into_iter().map(|(_, frame)| frame).collect();
    assert!(matches!(said[..], [Frame::Ack(Counts { recv: 1, .. }), Frame::Goaway(_)]), "{said:?}");
    assert_eq!(pair.client.buffered(), (0, 0));
}
