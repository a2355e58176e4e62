//! Keepalive: any byte is life, pings go into silence, RTT is measured on the way.

use std::{sync::Arc, time::Duration};

use everwire_proto::{Cause, Config, Connection, Keepalive, Opcode, PathFacts, Role, State};
use everwire_testkit::{Frame, Pair, Seen, SentFrame, Solo, start};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn trap_06_a_ping_goes_out_after_25_s_of_silence() {
    let mut server = Solo::server();
    server.advance(25 * SECOND - MILLI);
    assert_eq!(server.sent(), []);
    server.advance(MILLI);
    assert_eq!(server.sent()[0].opcode(), Opcode::Ping);
}

#[test]
fn any_byte_is_life() {
    let frame = Frame::text("a slow message").bytes(Role::Client);
    let mut server = Solo::server();
    for &byte in &frame[..3] {
        server.advance(24 * SECOND).receive_bytes(&[byte]);
    }
    assert_eq!(server.sent(), []);
}

#[test]
fn silence_after_the_ping_for_20_s_is_death() {
    let mut server = Solo::server();
    server.advance(45 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert_eq!(server.connection.state(), State::Closed);
    let close = server.sent().pop().expect("best effort");
    assert_eq!(close.close_code(), 1011);
    let silent_for = 45 * SECOND;
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for });
}

#[test]
fn a_dead_peer_is_not_waited_for() {
    let mut server = Solo::server();
    server.advance(48 * SECOND);
    let closure = server.closure();
    assert!(matches!(closure.cause, Cause::KeepaliveTimeout { .. }));
    assert_eq!(closure.duration, 45 * SECOND);
}

#[test]
fn a_byte_after_the_ping_begins_the_silence_anew() {
    let mut server = Solo::server();
    server.advance(44 * SECOND).receive_bytes(&[0x81]);
    server.advance(24 * SECOND);
    assert_eq!(server.sent().len(), 1);
    server.advance(SECOND);
    assert_eq!(server.sent().len(), 1);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn two_ends_keep_each_other_alive_for_days() {
    let mut pair = Pair::new();
    pair.advance(72 * 3600 * SECOND);
    assert_eq!(pair.client.connection.state(), State::Open);
    assert!(pair.client.connection.rtt().is_some() || pair.server.connection.rtt().is_some());
}

#[test]
fn a_cut_wire_is_noticed_by_both_ends() {
    let mut pair = Pair::new();
    pair.to_client.cut();
    pair.to_server.cut();
    pair.advance(60 * SECOND);
    assert!(matches!(pair.client_closure().cause, Cause::KeepaliveTimeout { .. }));
    assert!(matches!(pair.server_closure().cause, Cause::KeepaliveTimeout { .. }));
}

#[test]
fn a_late_timer_asks_before_it_gives_up() {
    // A laptop that slept for a day: nobody was asked yet.
    let mut server = Solo::server();
    server.now += 24 * 3600 * SECOND;
    server.connection.handle_timeout(server.now);
    assert_eq!(server.connection.state(), State::Open);
    assert_eq!(server.sent()[0].opcode(), Opcode::Ping);
}

/// Returns when a connection with this seed first asks, and how long after an answer it asks again.
fn intervals(seed: u8) -> (Duration, Duration) {
    let mut now = start();
    let mut server = Connection::server(Arc::new(Config::default()), now, seed);
    let first = server.poll_timeout().expect("keepalive is on") - now;
    now += first;
    server.handle_timeout(now);
    assert_eq!(server.transmit_to_vec(now).len(), 10, "a ping");
    server.handle_input(now, &mut [0x81]).for_each(drop);
    (first, server.poll_timeout().expect("keepalive is on") - now)
}

#[test]
fn the_interval_is_spread_by_10_percent_and_never_longer_than_the_policy_says() {
    let all: Vec<_> = (0..=255).map(|seed| intervals(seed).1.as_millis()).collect();
    assert_eq!(all[0], 25_000);
    assert!(all.iter().all(|i| (22_500..=25_000).contains(i)));
    assert!(all.iter().min() < Some(&22_600));
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 256);
}

#[test]
fn connections_that_open_together_do_not_ask_together() {
    let mut per_second = [0; 30];
    for seed in 0..=255 {
        let (first, interval) = intervals(seed);
        assert!(first <= interval && first >= interval / 2, "{first:?} of {interval:?}");
        per_second[first.as_secs() as usize] += 1;
    }
    assert!(per_second.iter().all(|&n| n < 40), "{per_second:?}");
}

#[test]
fn keepalive_can_be_off() {
    let mut config = Config::default();
    config.keepalive = None;
    assert_eq!(Solo::new(Role::Server, config).connection.poll_timeout(), None);
}

#[test]
fn keepalive_can_be_set() {
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(2 * SECOND, SECOND));
    let mut server = Solo::new(Role::Server, config);
    server.advance(3 * SECOND);
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for: 3 * SECOND });
}

// Round trips.

#[test]
fn a_pong_measures_the_round_trip() {
    let mut server = Solo::server();
    server.connection.ping_numbered(server.now).unwrap();
    let ping = server.sent().remove(0).payload;
    server.advance(80 * MILLI).receive([Frame::pong(&ping)]);
    assert_eq!(server.connection.rtt(), Some(80 * MILLI));
    assert_eq!(server.events(), [Seen::Pong(ping)]);
}

#[test]
fn the_round_trip_is_smoothed() {
    let mut server = Solo::server();
    for millis in [80, 160] {
        server.connection.ping_numbered(server.now).unwrap();
        let ping = server.sent().remove(0).payload;
        server.advance(millis * MILLI).receive([Frame::pong(&ping)]);
    }
    // RFC 6298: 7/8 of the old and 1/8 of the new.
    assert_eq!(server.connection.rtt(), Some(90 * MILLI));
}

#[test]
fn a_later_pong_answers_earlier_pings() {
    let mut server = Solo::server();
    let probes: Vec<u32> =
        (0..3).map(|_| server.connection.ping_numbered(server.now).unwrap()).collect();
    let pings = server.sent();
    let answered = |server: &Solo| -> Vec<bool> {
        probes.iter().map(|&probe| server.connection.is_answered(probe)).collect()
    };
    assert_eq!(answered(&server), [false, false, false]);
    server.receive([Frame::pong(&pings[1].payload)]);
    assert_eq!(answered(&server), [true, true, false]);
    server.receive([Frame::pong(&pings[0].payload)]);
    assert_eq!(answered(&server), [true, true, false], "an old pong takes nothing back");
    server.receive([Frame::pong(&pings[2].payload)]);
    assert_eq!(answered(&server), [true, true, true]);
}

#[test]
fn a_pong_that_answers_nothing_measures_nothing() {
    let mut server = Solo::server();
    let probe = server.connection.ping_numbered(server.now).unwrap();
    for stray in [&b""[..], b"abcd", b"\0\0\0\x02", b"\0\0\0\0", b"\0\0\0\x01x"] {
        server.receive([Frame::pong(stray)]);
    }
    assert!(!server.connection.is_answered(probe));
    assert_eq!(server.connection.rtt(), None);
}

#[test]
fn the_closure_knows_the_round_trip() {
    let mut server = Solo::server();
    server.connection.ping_numbered(server.now).unwrap();
    let ping = server.sent().remove(0).payload;
    server.advance(SECOND).receive([Frame::pong(&ping), Frame::close(1000, "")]);
    assert_eq!(server.finish().rtt, Some(SECOND));
}

// Not reading.

#[test]
fn while_paused_the_peer_is_not_given_up() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.advance(3600 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    server.connection.resume(server.now);
    server.advance(25 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn while_paused_we_show_life_more_often_than_a_peer_can_lose_patience() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    let mut shown = Vec::new();
    for second in 1..=60 {
        server.advance(SECOND);
        shown.extend(server.sent().iter().map(|frame| (second, frame.opcode())));
    }
    let pongs = [1, 9, 17, 25, 33, 41, 49, 50, 58].map(|second| (second, Opcode::Pong));
    let pings = [25, 50].map(|second| (second, Opcode::Ping));
    let mut expected = [&pongs[..], &pings[..]].concat();
    expected.sort_by_key(|&(second, opcode)| (second, opcode == Opcode::Pong));
    assert_eq!(shown, expected);
}

#[test]
fn a_short_pause_costs_nothing() {
    let mut server = Solo::server();
    for _ in 0..100 {
        server.connection.pause(server.now);
        server.advance(900 * MILLI);
        server.connection.resume(server.now);
    }
    assert_eq!(server.sent(), []);
}

#[test]
fn a_pause_is_not_silence_of_the_peer() {
    let mut server = Solo::server();
    server.advance(30 * SECOND); // Asked at 25 s.
    assert_eq!(server.sent().len(), 1);
    server.connection.pause(server.now);
    server.advance(10 * SECOND);
    server.connection.resume(server.now);
    server.sent();
    server.advance(15 * SECOND - MILLI);
    assert_eq!(server.connection.state(), State::Open);
    server.advance(MILLI);
    assert_ne!(server.connection.state(), State::Open);
}

#[test]
fn pausing_twice_is_pausing_once() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.advance(20 * SECOND);
    server.connection.pause(server.now);
    server.advance(5 * SECOND);
    let opcodes: Vec<_> = server.sent().iter().map(SentFrame::opcode).collect();
    assert_eq!(opcodes, [Opcode::Pong, Opcode::Pong, Opcode::Pong, Opcode::Ping, Opcode::Pong]);
    server.connection.resume(server.now);
    server.connection.resume(server.now);
    assert!(!server.connection.is_paused());
}

#[test]
fn closing_ends_a_pause() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    let code = everwire_proto::CloseCode::NORMAL_CLOSURE;
    server.connection.close(server.now, code, "").unwrap();
    assert!(!server.connection.is_paused());
}

#[test]
fn a_download_in_progress_is_life() {
    let mut server = Solo::server();
    server.connection.send(vec![0; 1000]).unwrap();
    for _ in 0..10 {
        server.advance_blocked(20 * SECOND);
        server.connection.handle_transmitted(server.now, 10);
    }
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn a_peer_that_was_not_asked_is_not_given_up() {
    // Much is queued at the moment when the ping is due; the socket takes it all at once.
    let mut server = Solo::server();
    server.advance(25 * SECOND - MILLI);
    server.connection.send(vec![0; 100_000]).unwrap();
    server.now += MILLI;
    server.connection.handle_timeout(server.now);
    let opcodes: Vec<_> = server.sent().iter().map(SentFrame::opcode).collect();
    assert_eq!(opcodes, [Opcode::Binary, Opcode::Ping]);
}

#[test]
fn behind_a_full_socket_the_write_timeout_decides() {
    let mut config = Config::default();
    config.write_timeout = 300 * SECOND;
    let mut server = Solo::new(Role::Server, config);
    server.connection.send(vec![0; 100_000]).unwrap();
    server.advance_blocked(299 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
    assert_eq!(server.connection.transmit_len(), 100_010, "no ping waits behind it");
    server.advance_blocked(SECOND);
    assert_eq!(server.closure().cause, Cause::WriteTimeout);
}

/// Fills the socket and lets 45 s go by in which it takes nothing.
fn full_for_45_s(facts: PathFacts) -> Solo {
    let mut config = Config::default();
    config.write_timeout = 300 * SECOND;
    let mut server = Solo::new(Role::Server, config);
    server.connection.send(vec![0; 100_000]).unwrap();
    server.advance_blocked(45 * SECOND - MILLI);
    server.now += MILLI;
    assert!(server.connection.wants_path(server.now));
    server.connection.handle_path(server.now, facts);
    server.connection.handle_timeout(server.now);
    server
}

#[test]
fn behind_a_full_socket_a_path_that_acknowledges_nothing_is_dead() {
    let mut server = full_for_45_s(PathFacts::new(100_000, 7, 45 * SECOND));
    assert_eq!(server.connection.state(), State::Finishing);
    let silent_for = 45 * SECOND;
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for });
}

#[test]
fn behind_a_full_socket_a_peer_whose_window_is_closed_is_not() {
    let mut server = full_for_45_s(PathFacts::new(100_000, 0, SECOND));
    assert_eq!(server.connection.state(), State::Open);
    server.advance_blocked(200 * SECOND);
    assert_eq!(server.connection.state(), State::Open);
}

#[test]
fn a_socket_that_is_free_again_is_life_and_the_peer_is_asked_anew() {
    let mut config = Config::default();
    config.write_timeout = 300 * SECOND;
    let mut server = Solo::new(Role::Server, config);
    server.connection.send(vec![0; 100_000]).unwrap();
    server.advance_blocked(100 * SECOND);
    server.advance(25 * SECOND - MILLI);
    assert_eq!(server.sent().len(), 1);
    server.advance(MILLI);
    assert_eq!(server.sent()[0].opcode(), Opcode::Ping);
}

#[test]
fn a_pause_with_output_in_it_hides_no_death() {
    // For an hour we read nothing, and the peer takes what we send.
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.connection.send(vec![0; 100]).unwrap();
    server.advance_blocked(SECOND);
    server.advance(3600 * SECOND);
    server.connection.send(vec![0; 100]).unwrap();
    server.advance_blocked(SECOND);
    server.connection.handle_transmitted(server.now, 1);
    server.connection.resume(server.now);
    assert!(server.connection.last_received() <= server.now);
    server.advance(46 * SECOND);
    assert!(matches!(server.finish_cause(), Cause::KeepaliveTimeout { .. }));
}

#[test]
fn a_pong_that_waited_for_us_measures_nothing() {
    let mut server = Solo::server();
    let probe = server.connection.ping_numbered(server.now).unwrap();
    server.connection.pause(server.now);
    server.advance(30 * SECOND);
    let sent = server.sent();
    let ping = sent.iter().rfind(|frame| frame.opcode() == Opcode::Ping).expect("at 25 s");
    server.connection.resume(server.now);
    server.receive([Frame::pong(&ping.payload)]);
    assert!(server.connection.is_answered(probe));
    assert_eq!(server.connection.rtt(), None);
}

#[test]
fn the_farewell_to_a_dead_peer_waits_1_s_at_most() {
    let mut server = Solo::server();
    server.advance(45 * SECOND - MILLI);
    server.now += MILLI;
    server.connection.handle_timeout(server.now);
    assert_eq!(server.connection.state(), State::Finishing);
    server.advance_blocked(SECOND);
    assert_eq!(server.closure().duration, 46 * SECOND);
}

#[test]
fn the_pong_of_a_users_ping_answers_no_probe() {
    let mut server = Solo::server();
    server.connection.ping(&1u32.to_be_bytes()).unwrap();
    let probe = server.connection.ping_numbered(server.now).unwrap();
    server.receive([Frame::pong(1u32.to_be_bytes())]);
    assert!(!server.connection.is_answered(probe));
}

// What is silence, and what is life.

#[test]
fn last_received_means_bytes_that_were_received() {
    let mut server = Solo::server();
    let opened = server.now;
    server.connection.send(vec![0; 1000]).unwrap();
    server.advance_blocked(20 * SECOND);
    server.connection.handle_transmitted(server.now, 10);
    assert_eq!(server.connection.last_received(), opened, "progress is life, not input");
    server.connection.pause(server.now);
    server.advance(10 * SECOND);
    server.connection.resume(server.now);
    assert_eq!(server.connection.last_received(), opened, "nor is a pause");
    server.receive_bytes(&[0x81]);
    assert_eq!(server.connection.last_received(), server.now);
}

#[test]
fn the_silence_that_killed_counts_from_the_last_byte_and_leaves_pauses_out() {
    let mut server = Solo::server();
    server.advance(10 * SECOND).receive_bytes(&[0x82]);
    server.connection.send(vec![0; 100]).unwrap();
    server.advance_blocked(4 * SECOND);
    server.connection.handle_transmitted(server.now, 10);
    server.flush();
    server.connection.pause(server.now);
    server.advance(600 * SECOND);
    server.connection.resume(server.now);
    server.advance(45 * SECOND);
    let silent_for = 49 * SECOND;
    assert_eq!(server.finish_cause(), Cause::KeepaliveTimeout { silent_for });
}
