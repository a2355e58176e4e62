//! Asking before an interval has passed: probes, and what the system knows of the path.

use std::time::Duration;

use everwire_proto::{
    Cause, Config, Keepalive, Opcode, PathFacts, Role, SendError, State, Tolerance,
};
use everwire_testkit::{Frame, Solo};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn with(policy: impl Into<Option<Keepalive>>) -> Solo {
    let mut config = Config::default();
    config.keepalive = policy.into();
    Solo::new(Role::Server, config)
}

/// Returns a server that has measured this round trip.
fn at_distance(rtt: Duration) -> Solo {
    let mut server = with(None);
    server.connection.ping_numbered(server.now).unwrap();
    let ping = server.sent().remove(0).payload;
    server.advance(rtt).receive([Frame::pong(ping)]);
    server
}

// Probes.

#[track_caller]
fn check_probe(mut server: Solo, patience: Duration) {
    server.connection.probe(server.now).unwrap();
    assert_eq!(server.sent()[0].opcode(), Opcode::Ping);
    server.advance(patience - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert!(matches!(server.finish_cause(), Cause::KeepaliveTimeout { .. }));
}

#[test]
fn a_probe_waits_for_what_the_round_trip_lets_expect() {
    check_probe(with(None), 3 * SECOND);
    check_probe(at_distance(20 * MILLI), SECOND);
    check_probe(at_distance(500 * MILLI), 500 * MILLI + 4 * 250 * MILLI + 200 * MILLI);
    check_probe(at_distance(3 * SECOND), 5 * SECOND);
    check_probe(with(Keepalive::standard()), 3 * SECOND);
}

#[test]
fn any_byte_answers_a_probe() {
    let mut server = with(Keepalive::standard());
    server.connection.probe(server.now).unwrap();
    server.advance(2 * SECOND).receive_bytes(&[0x81]).advance(20 * SECOND);
    assert_eq!((server.sent().len(), server.connection.state()), (1, State::Open));
}

#[test]
fn a_probe_moves_the_deadline_of_a_question_forward_and_never_back() {
    let mut server = with(Keepalive::standard());
    server.advance(26 * SECOND);
    server.connection.probe(server.now).unwrap();
    server.advance(3 * SECOND);
    let silent_for = 29 * SECOND;
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for });
    let mut server = with(Keepalive::standard());
    server.advance(44 * SECOND);
    server.connection.probe(server.now).unwrap();
    server.advance(SECOND);
    assert_ne!(server.connection.state(), State::Open);
}

#[test]
fn the_deadline_of_a_probe_stands_still_while_we_do_not_read() {
    let mut server = with(None);
    server.connection.probe(server.now).unwrap();
    server.advance(SECOND);
    server.connection.pause(server.now);
    server.advance(600 * SECOND);
    server.connection.resume(server.now);
    server.advance(2 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for: 3 * SECOND });
}

#[test]
fn behind_a_full_socket_a_probe_adds_nothing_and_any_progress_answers_it() {
    let mut server = with(None);
    server.connection.send(vec![0; 2 << 20]).unwrap();
    server.connection.handle_blocked(server.now);
    let before = server.connection.transmit_len();
    server.connection.probe(server.now).unwrap();
    assert_eq!(server.connection.transmit_len(), before);
    server.advance_blocked(SECOND);
    server.connection.handle_transmitted(server.now, 1000);
    server.flush().advance(10 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn there_is_no_probe_after_closing_has_begun() {
    let mut server = with(None);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(server.connection.probe(server.now), Err(SendError::Closed));
}

#[test]
fn a_question_that_was_slept_through_is_asked_again() {
    // Asked at 25 s; the thread is held up from 30 s to 90 s, and the answer lies unread.
    let mut server = with(Keepalive::standard());
    server.advance(30 * SECOND);
    server.now += 60 * SECOND;
    server.connection.handle_timeout(server.now);
    assert_eq!((server.connection.state(), server.sent().len()), (State::Open, 2));
    server.advance(20 * SECOND);
    assert_ne!(server.connection.state(), State::Open, "the peer is dead after all");
}

// Policies.

#[test]
fn the_fast_policy_notices_a_dead_peer_within_5_s() {
    let tick = 250 * MILLI;
    let mut server = with(Keepalive::fast());
    server.advance(2 * SECOND);
    assert_eq!(server.sent().len(), 1);
    server.advance(2 * SECOND);
    let closure = server.finish();
    assert!(closure.duration + 2 * tick <= 5 * SECOND, "{closure}");
}

#[test]
fn off_asks_nobody() {
    let mut server = with(Keepalive::off_i_have_my_own());
    server.advance(86_400 * SECOND);
    assert_eq!((server.sent(), server.connection.state()), (vec![], State::Open));
}

#[test]
fn the_policy_of_a_live_connection_can_be_changed() {
    let mut server = with(Keepalive::standard());
    server.connection.set_keepalive(Keepalive::new(4 * SECOND, SECOND));
    server.advance(5 * SECOND);
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for: 5 * SECOND });
    let mut server = with(Keepalive::standard());
    server.advance(30 * SECOND);
    server.connection.set_keepalive(None);
    server.advance(86_400 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
}

// What the system knows of the path.

/// Returns what an engine sees that looks at a path where nothing is acknowledged since `since`:
/// the system sends again after 200 ms, 600 ms, 1,400 ms and so on.
fn dead_path(since: Duration) -> PathFacts {
    let retransmits = (1..).take_while(|n| 200 * MILLI * ((1 << n) - 1) <= since).count();
    PathFacts::new(100, retransmits as u32, since)
}

/// Moves the clock as an engine does that knows the path, with a tick of 250 ms; returns when the
/// connection left its open state.
fn advance_looking(
    server: &mut Solo,
    limit: Duration,
    facts: impl Fn(Duration) -> PathFacts,
) -> Option<Duration> {
    let from = server.now;
    while server.now < from + limit {
        server.flush();
        server.now += 250 * MILLI;
        if server.connection.poll_timeout().is_some_and(|due| due <= server.now) {
            if server.connection.wants_path(server.now) {
                server.connection.handle_path(server.now, facts(server.now - from));
            }
            server.connection.handle_timeout(server.now);
        }
        if server.connection.state() != State::Open {
            return Some(server.now - from);
        }
    }
    None
}

#[test]
fn with_data_in_flight_the_fast_policy_notices_within_3_s() {
    for quiet_before in [0, 300, 700, 1900] {
        let mut server = with(Keepalive::fast());
        server.advance(quiet_before * MILLI);
        server.connection.send("into the void").unwrap();
        let noticed = advance_looking(&mut server, 10 * SECOND, dead_path);
        assert!(noticed.is_some_and(|noticed| noticed <= 3 * SECOND), "{noticed:?}");
        assert!(matches!(server.finish_cause(), Cause::KeepaliveTimeout { .. }));
    }
}

#[test]
fn a_suspicion_that_is_not_confirmed_leaves_the_peer_its_time() {
    // Two packets were lost; then the path is as it was, and the peer takes 1.9 s to answer.
    let mut server = with(Keepalive::fast());
    server.connection.send("lost twice").unwrap();
    let facts = |now: Duration| match now {
        now if now < 1200 * MILLI => dead_path(now),
        _ => PathFacts::new(0, 0, 100 * MILLI),
    };
    assert_eq!(advance_looking(&mut server, 2500 * MILLI, facts), None);
    let pings = server.sent();
    let ping = pings.last().expect("it was asked early");
    server.receive([Frame::pong(&ping.payload)]);
    assert_eq!(advance_looking(&mut server, 2 * SECOND, |_| PathFacts::default()), None);
}

#[test]
fn a_path_without_data_in_flight_is_not_looked_at() {
    let mut server = with(Keepalive::fast());
    server.advance(SECOND);
    assert!(!server.connection.wants_path(server.now));
    server.connection.send("x").unwrap();
    server.flush();
    assert!(server.connection.wants_path(server.now));
    server.connection.handle_path(server.now, PathFacts::new(0, 0, Duration::ZERO));
    server.connection.handle_timeout(server.now);
    server.advance(900 * MILLI);
    assert!(!server.connection.wants_path(server.now), "all was acknowledged");
}

#[test]
fn an_engine_without_facts_is_not_asked_in_a_loop() {
    let mut server = with(Keepalive::fast());
    server.connection.send("x").unwrap();
    let mut n_timeouts = 0;
    server.flush();
    while let Some(due) = server.connection.poll_timeout().filter(|&t| t < server.now + SECOND) {
        n_timeouts += 1;
        server.connection.handle_timeout(due);
    }
    assert_eq!(n_timeouts, 1);
}

#[test]
fn a_ping_that_waits_behind_a_transfer_that_moves_kills_nobody() {
    // The system's buffer holds minutes of output; the peer reads it, and our ping comes last.
    let moving = |_| PathFacts::new(4_000_000, 0, 30 * MILLI);
    let mut server = with(Keepalive::standard());
    server.connection.send(vec![0; 500_000]).unwrap();
    assert_eq!(advance_looking(&mut server, 600 * SECOND, moving), None);
    // Then the path dies.
    let noticed = advance_looking(&mut server, 600 * SECOND, dead_path);
    assert!(noticed.is_some_and(|noticed| noticed <= 46 * SECOND), "{noticed:?}");
}

#[test]
fn a_peer_that_took_the_ping_and_says_nothing_is_dead_whatever_its_system_says() {
    let mut server = with(Keepalive::standard());
    let noticed = advance_looking(&mut server, 600 * SECOND, |_| PathFacts::new(0, 0, 10 * MILLI));
    assert_eq!(noticed, Some(45 * SECOND));
}

// Which silences a path tolerates.

fn answer(server: &mut Solo) {
    let ping = server.sent().pop().expect("it was asked").payload;
    server.receive([Frame::pong(ping)]);
}

#[test]
fn a_policy_that_learns_tells_which_silences_were_survived_and_which_killed() {
    let mut server = with(Keepalive::new(50 * SECOND, 20 * SECOND).learning());
    server.advance(50 * SECOND);
    answer(&mut server);
    assert_eq!(server.connection.tolerance(), Tolerance::default(), "there was none before it");
    server.advance(50 * SECOND);
    answer(&mut server);
    let tolerance = server.connection.tolerance();
    assert_eq!((tolerance.survived, tolerance.n_survived), (Some(50 * SECOND), 1));
    server.connection.set_keepalive(Keepalive::new(75 * SECOND, 20 * SECOND).learning());
    server.advance(95 * SECOND);
    let tolerance = server.finish().tolerance;
    assert_eq!((tolerance.survived, tolerance.failed), (Some(50 * SECOND), Some(75 * SECOND)));
}

#[test]
fn a_silence_in_which_we_sent_something_proves_nothing() {
    let mut server = with(Keepalive::new(50 * SECOND, 20 * SECOND).learning());
    server.advance(50 * SECOND);
    answer(&mut server);
    server.advance(25 * SECOND);
    server.connection.send("not silent").unwrap();
    server.advance(25 * SECOND);
    answer(&mut server);
    assert_eq!(server.connection.tolerance(), Tolerance::default());
    server.advance(70 * SECOND);
    assert_eq!(server.finish().tolerance.failed, Some(50 * SECOND));
}

#[test]
fn a_suspicion_gives_a_peer_no_more_time_than_the_policy() {
    // The round trip is long, and so is the probe's deadline, but the policy's is shorter.
    let mut server = with(Keepalive::fast());
    server.connection.ping_numbered(server.now).unwrap();
    let ping = server.sent().remove(0).payload;
    server.advance(1500 * MILLI).receive([Frame::pong(ping)]);
    server.connection.send("lost twice").unwrap();
    let facts = |now: Duration| match now {
        now if now < 1200 * MILLI => dead_path(now),
        _ => PathFacts::new(0, 0, 100 * MILLI),
    };
    let noticed = advance_looking(&mut server, 10 * SECOND, facts);
    assert!(noticed.is_some_and(|noticed| noticed <= 3500 * MILLI), "{noticed:?}");
}
