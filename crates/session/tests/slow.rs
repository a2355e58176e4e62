//! A path that is slow, or silent: what is large arrives all the same, and the application is told.

use std::time::Duration;

use everwire_session::Event;
use everwire_testkit::session::SlowPath;

/// Bytes a second.
const RATE: u64 = 50_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sends a message that takes long, while both applications say something now and then; asserts that
/// it arrives in time, and that little was sent in vain.
#[track_caller]
fn check(size: usize, upwards: bool, within: u64, chatter: [Option<u64>; 2]) {
    let mut path = SlowPath::new(RATE);
    let begun = path.elapsed();
    if upwards {
        path.client_sends(size);
    } else {
        path.server_sends(size);
    }
    let arrived = |path: &SlowPath| {
        let received = if upwards { &path.up } else { &path.down };
        received.contains(&size)
    };
    for tick in 1.. {
        if arrived(&path) {
            break;
        }
        let took = path.elapsed() - begun;
        assert!(took < seconds(within), "not after {took:?}, on {} sockets", path.resumed + 1);
        path.run(millis(100));
        let [client, server] = chatter.map(|every| every.is_some_and(|every| tick % every == 0));
        if client {
            path.client_sends(8);
        }
        if server {
            path.server_sends(8);
        }
    }
    assert!(path.resumed <= 5, "{} more sockets", path.resumed);
    assert!(!path.told.iter().any(|(_, event)| matches!(event, Event::Ended(_) | Event::Gap(..))));
}

#[test]
fn a_large_message_gets_up_a_slow_path() {
    check(200_000, true, 20, [None, None]);
    check(1 << 20, true, 70, [None, None]);
}

#[test]
fn a_large_message_gets_down_a_slow_path_while_the_client_sends() {
    check(200_000, false, 20, [Some(3), None]);
    check(1 << 20, false, 70, [Some(3), None]);
}

/// What comes down says nothing of what is on its way up.
#[test]
fn a_large_message_gets_up_a_slow_path_while_the_server_sends() {
    for every in [11, 23, 31, 52] {
        check(1 << 20, true, 120, [None, Some(every)]);
        check(1 << 20, true, 120, [Some(7), Some(every)]);
    }
}

#[test]
fn large_messages_pass_each_other_on_a_slow_path() {
    let mut path = SlowPath::new(RATE);
    for _ in 0..5 {
        path.client_sends(200_000);
        path.server_sends(200_000);
    }
    path.run(seconds(60));
    assert_eq!((path.up.len(), path.down.len()), (5, 5));
}

/// This takes 52 s, longer than both heartbeats. Bytes that arrive are life to an end that sees them; a
/// server gives its own message time to arrive, with the PING behind it.
#[test]
fn a_message_may_take_longer_than_the_heartbeat_where_bytes_are_seen() {
    let mut path = SlowPath::new(20_000);
    path.client_sees_bytes = true;
    path.server_sends(1 << 20);
    path.run(seconds(55));
    assert_eq!((path.down.len(), path.resumed), (1, 0), "{:?}", path.told);
    path.client_sends(1 << 20);
    path.server_sends(8);
    path.run(seconds(180));
    assert_eq!(path.up.len(), 1, "{:?}", path.told);
    let is_detached = |event: &Event| *event == Event::Detached;
    assert_eq!(path.times(is_detached), []);
}

/// A page of a browser sees whole messages only: it gives up after 35 s, and this takes 33 s.
#[test]
fn a_message_comes_down_to_a_page_if_it_takes_less_than_the_heartbeat_and_its_timeout() {
    let mut path = SlowPath::new(32_000);
    path.server_sends(1 << 20);
    path.run(seconds(34));
    assert_eq!((path.down.len(), &path.told[..]), (1, &[][..]));
}

#[test]
fn each_black_hole_is_suspected_after_two_seconds_if_what_was_sent_arrived_in_between() {
    let mut path = SlowPath::new(RATE);
    for n in 1..=5 {
        path.hold(true);
        let begun = path.elapsed();
        path.client_sends(8);
        path.run(seconds(4));
        assert_eq!(told_since(&path, begun), told(&[(20, "Suspected"), (21, "Resumed")]), "{n}");
        assert_eq!(path.up.len(), n);
    }
}

/// The round trip was long, and may have been with the next message.
#[test]
fn the_first_suspicion_after_a_large_message_is_put_off_by_no_doubt() {
    let mut path = SlowPath::new(RATE);
    path.client_sends(200_000);
    path.run(seconds(30));
    let n_before = path.times(|event| *event == Event::Suspected).len();
    assert_eq!((&path.up[..], n_before), (&[200_000][..], 2));
    path.hold(true);
    path.client_sends(8);
    path.run(seconds(6));
    assert_eq!(path.times(|event| *event == Event::Suspected).len(), n_before + 1);
}

#[test]
fn suspicions_that_nothing_confirms_come_ever_later() {
    let mut path = SlowPath::new(10_000);
    path.client_sends(1 << 20); // It would take 105 s.
    path.run(seconds(60));
    let mut begun = seconds(1);
    let mut waited = Vec::new();
    for (at, event) in &path.told {
        match event {
            Event::Suspected => waited.push((*at - begun).as_secs()),
            Event::Resumed { .. } => begun = *at,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waited, [2, 3, 5, 9, 17]);
}

/// Returns what the application was told, and after how many tenths of a second since `begun`.
fn told_since(path: &SlowPath, begun: Duration) -> Vec<(u128, String)> {
    let name =
        |event: &Event| format!("{event:?}").split(' ').next().unwrap_or_default().to_owned();
    let told = path.told.iter().filter(|(at, _)| *at >= begun);
    told.map(|(at, event)| ((*at - begun).as_millis() / 100, name(event))).collect()
}

fn told(told: &[(u128, &str)]) -> Vec<(u128, String)> {
    told.iter().map(|(at, name)| (*at, (*name).to_owned())).collect()
}

#[test]
fn where_nothing_answers_the_application_is_told_that_it_is_detached_and_that_it_is_not() {
    let mut path = SlowPath::new(RATE);
    (path.is_closed, path.client_sees_bytes) = (true, true);
    path.hold(true);
    let begun = path.elapsed();
    path.client_sends(8);
    path.run(seconds(6));
    assert_eq!(told_since(&path, begun), told(&[(20, "Suspected"), (27, "Detached")]));
    assert!(path.client.is_told_detached() && path.client.is_attached());
    // What is sent goes out on the socket that is there, which speaks after all.
    path.client_sends(9);
    path.server_sends(10);
    path.hold(false);
    path.run(seconds(6));
    assert_eq!(
        told_since(&path, begun),
        told(&[(20, "Suspected"), (27, "Detached"), (60, "Resumed")])
    );
    assert!(matches!(path.told.last(), Some((_, Event::Resumed { epoch: 1 }))), "{:?}", path.told);
    assert!(!path.client.is_told_detached() && !path.client.is_suspected());
    assert_eq!((&path.up[..], &path.down[..]), (&[8, 9][..], &[10][..]));
}

#[test]
fn where_only_a_new_connection_gets_through_the_session_is_resumed_there() {
    let mut path = SlowPath::new(RATE);
    path.is_closed = true;
    path.hold(true);
    let begun = path.elapsed();
    path.client_sends(8);
    path.run(seconds(6));
    path.is_closed = false;
    path.run(seconds(6));
    assert_eq!(
        told_since(&path, begun),
        told(&[(20, "Suspected"), (27, "Detached"), (60, "Resumed")])
    );
    assert!(matches!(path.told.last(), Some((_, Event::Resumed { epoch: 2 }))), "{:?}", path.told);
    assert_eq!(path.up, [8]);
}

/// The heartbeat gives the socket up in the end; the application knows already.
#[test]
fn who_was_told_of_silence_is_not_told_again_when_the_socket_is_given_up() {
    let mut path = SlowPath::new(RATE);
    path.is_closed = true;
    path.hold(true);
    let begun = path.elapsed();
    path.client_sends(8);
    path.run(seconds(40));
    assert!(!path.client.is_attached());
    assert_eq!(told_since(&path, begun), told(&[(20, "Suspected"), (27, "Detached")]));
    path.is_closed = false;
    path.run(seconds(6));
    let last = told_since(&path, begun).pop().map(|(_, name)| name);
    assert_eq!((last.as_deref(), path.told.len()), (Some("Resumed"), 3), "{:?}", path.told);
}

#[test]
fn who_hears_of_a_suspected_socket_within_a_second_is_told_nothing() {
    let mut path = SlowPath::new(RATE);
    path.is_closed = true;
    path.hold(true);
    let begun = path.elapsed();
    path.client_sends(8);
    path.run(millis(2_500));
    path.hold(false);
    path.run(seconds(5));
    assert_eq!(told_since(&path, begun), told(&[(20, "Suspected")]));
    assert_eq!(path.up, [8]);
}

/// A takeover that succeeds in time tells only that.
#[test]
fn who_is_raced_in_time_is_not_told_that_it_is_detached() {
    let mut path = SlowPath::new(RATE);
    path.hold(true);
    path.client_sends(8);
    path.run(seconds(60));
    let names: Vec<_> = told_since(&path, seconds(0)).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["Suspected", "Resumed"]);
}
