//! Keepalive under random schedules, on the real code in virtual time: never a false alarm, and a
//! dead path is always noticed.
//!
//! `EVERWIRE_VIRTUAL_HOURS=10000` makes the long walk that long for each policy.

use std::time::Duration;

use everwire_proto::{Cause, Closure, Keepalive, Role, State};
use everwire_testkit::{Pair, SlowPath, Step};
use proptest::{collection::vec, prelude::*};

const SECOND: Duration = Duration::from_secs(1);

fn ends(pair: &Pair) -> [Option<Closure>; 2] {
    [pair.client.connection.closure(), pair.server.connection.closure()]
}

fn is_open(pair: &Pair) -> bool {
    [&pair.client, &pair.server].iter().all(|end| end.connection.state() == State::Open)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0u32..3000, 0u32..60_000, 0u32..600_000].prop_map(Step::Wait),
        3 => (role(), prop_oneof![0usize..200, 0usize..300_000])
            .prop_map(|(role, len)| Step::Sends(role, len)),
        2 => (role(), 0u16..=600).prop_map(|(role, seconds)| Step::Stalls(role, seconds)),
    ]
}

fn policy() -> impl Strategy<Value = Keepalive> {
    prop_oneof![
        Just(Keepalive::standard()),
        Just(Keepalive::fast()),
        (1u32..600, 1u32..60)
            .prop_map(|(interval, timeout)| Keepalive::new(SECOND * interval, SECOND * timeout)),
    ]
}

fn path() -> impl Strategy<Value = SlowPath> {
    let room = prop_oneof![Just(None), (16_000usize..100_000).prop_map(Some)];
    (policy(), 0u32..=43, room, any::<u64>()).prop_map(|(policy, slowness, room, seed)| SlowPath {
        policy,
        slowness,
        room,
        seed,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_peer_that_lives_is_never_given_up(path in path(), steps in vec(step(), 0..24)) {
        let mut pair = path.pair();
        for step in &steps {
            step.act(&mut pair);
            prop_assert!(is_open(&pair), "{step:?} at {:?}: {:?}", pair.elapsed(), ends(&pair));
        }
    }

    #[test]
    fn a_path_that_died_is_always_noticed(
        path in path(), steps in vec(step(), 0..8), after in vec(0u32..20_000, 0..4), both: bool,
    ) {
        let path = SlowPath { room: None, ..path };
        let mut pair = path.pair();
        for step in &steps {
            step.act(&mut pair);
        }
        pair.to_server.cut();
        if both {
            pair.to_client.cut();
        }
        let bound = path.policy.interval + path.policy.timeout + SECOND;
        let cut = pair.elapsed();
        for wait in after {
            // Talking into the void is no life.
            Step::Sends(Role::Server, 100).act(&mut pair);
            Step::Wait(wait).act(&mut pair);
        }
        pair.advance((cut + bound).saturating_sub(pair.elapsed()));
        prop_assert_ne!(pair.server.connection.state(), State::Open, "{:?}", pair.elapsed() - cut);
        pair.advance(10 * SECOND);
        let is_timeout = |closure: &Closure| matches!(closure.cause, Cause::KeepaliveTimeout { .. });
        prop_assert!(is_timeout(&pair.server_closure()), "{}", pair.server_closure());
        if both {
            prop_assert!(is_timeout(&pair.client_closure()), "{}", pair.client_closure());
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // How long it walks is the caller's wish.
fn for_thousands_of_hours_there_is_no_false_alarm() {
    let hours = std::env::var("EVERWIRE_VIRTUAL_HOURS").ok().and_then(|hours| hours.parse().ok());
    let hours = hours.unwrap_or(40) / 4;
    for policy in [Keepalive::standard(), Keepalive::fast()] {
        for (slowness, room) in [(43, None), (43, Some(64 << 10)), (20, Some(32 << 10))] {
            let path = SlowPath { policy, slowness, room, seed: slowness.into() };
            let walked = path.walk(hours).unwrap_or_else(|alarm| panic!("{alarm}"));
            assert!(walked.pings > 0 && walked.stalls > 0, "{walked:?}");
        }
        let near = SlowPath { policy, slowness: 2, room: Some(64 << 10), seed: 4 };
        let walked = near.walk(hours).unwrap_or_else(|alarm| panic!("{alarm}"));
        assert!(walked.probes > 0, "{walked:?}");
    }
}
