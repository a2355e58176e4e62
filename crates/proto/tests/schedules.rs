//! Keepalive under random schedules, on the real code in virtual time: never a false alarm, and a
//! dead path is always noticed.
//!
//! `EVERWIRE_VIRTUAL_HOURS=10000` makes the long walk that long for each policy.

use std::time::Duration;

use everwire_proto::{Cause, Closure, Config, Keepalive, Role, State};
use everwire_testkit::{Pair, Rng};
use proptest::{collection::vec, prelude::*};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// What happens next; a failing schedule is printed as a list of these.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing, for so many milliseconds.
    Wait(u32),
    /// This end sends a message of so many bytes, if its queue has room.
    Sends(Role, usize),
    /// The application of this end stops reading for so many seconds.
    Stalls(Role, u16),
    /// This end's user wants to know whether the peer lives.
    Probes(Role),
}

/// The path between two ends: how long each direction may take, and how much is on its way at most.
#[derive(Clone, Debug)]
struct Path {
    policy: Keepalive,
    /// Of what the policy's timeout lets a direction take, in percent. There and back must be less
    /// than 100, less what passes before an end that stalls shows life.
    slowness: u32,
    room: Option<usize>,
    seed: u64,
}

impl Path {
    fn pair(&self) -> Pair {
        let mut config = Config::default();
        config.keepalive = Some(self.policy);
        // A reader that stalls for 10 minutes is no dead path: that is what is tested here.
        config.write_timeout = 1200 * SECOND;
        config.limits.message_time = 86_400 * SECOND;
        let mut pair = Pair::with(config.clone(), config);
        let delay = Duration::ZERO..self.policy.timeout * self.slowness / 100;
        pair.to_client.delay(delay.clone(), self.seed);
        pair.to_server.delay(delay, !self.seed);
        pair.to_client.limit(self.room);
        pair.to_server.limit(self.room);
        pair.to_client.forget_history();
        pair.to_server.forget_history();
        if self.policy.watches_path {
            pair.know_path();
        }
        pair
    }
}

fn act(pair: &mut Pair, step: &Step) {
    let now = pair.now();
    match *step {
        Step::Wait(millis) => pair.advance(MILLI * millis),
        // It may be full: nothing is lost then that this looks for.
        Step::Sends(role, len) => drop(pair.end(role).connection.send(vec![b'x'; len])),
        Step::Stalls(role, seconds) => {
            pair.end(role).connection.pause(now);
            pair.advance(SECOND * u32::from(seconds));
            let now = pair.now();
            pair.end(role).connection.resume(now);
        }
        Step::Probes(role) => drop(pair.end(role).connection.probe(now)),
    }
    pair.drive();
    pair.client_events();
    pair.server_events();
}

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

fn path() -> impl Strategy<Value = Path> {
    let room = prop_oneof![Just(None), (16_000usize..100_000).prop_map(Some)];
    (policy(), 0u32..=43, room, any::<u64>()).prop_map(|(policy, slowness, room, seed)| Path {
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
            act(&mut pair, step);
            prop_assert!(is_open(&pair), "{step:?} at {:?}: {:?}", pair.elapsed(), ends(&pair));
        }
    }

    #[test]
    fn a_path_that_died_is_always_noticed(
        path in path(), steps in vec(step(), 0..8), after in vec(0u32..20_000, 0..4), both: bool,
    ) {
        let path = Path { room: None, ..path };
        let mut pair = path.pair();
        steps.iter().for_each(|step| act(&mut pair, step));
        pair.to_server.cut();
        if both {
            pair.to_client.cut();
        }
        let bound = path.policy.interval + path.policy.timeout + SECOND;
        let cut = pair.elapsed();
        for wait in after {
            // Talking into the void is no life.
            act(&mut pair, &Step::Sends(Role::Server, 100));
            act(&mut pair, &Step::Wait(wait));
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

/// Walks at random for so long; returns how often somebody was probed.
fn walk_for(hours: u32, path: &Path) -> u32 {
    let mut pair = path.pair();
    let mut rng = Rng::new(path.seed);
    let mut n_probes = 0;
    while pair.elapsed() < 3600 * SECOND * hours {
        let role = if rng.below(2) == 0 { Role::Client } else { Role::Server };
        let step = match rng.below(20) {
            0 => Step::Stalls(role, rng.below(601) as u16),
            1..4 => Step::Sends(role, rng.below(2000)),
            4 => Step::Sends(role, rng.below(200_000)),
            // A probe waits for 1 s to 5 s only, so it is for paths that are not slower.
            5 if path.slowness < 5 => {
                n_probes += 1;
                Step::Probes(role)
            }
            _ => Step::Wait(rng.below(600_000) as u32),
        };
        act(&mut pair, &step);
        assert!(is_open(&pair), "{path:?}: {step:?} at {:?}: {:?}", pair.elapsed(), ends(&pair));
    }
    n_probes
}

#[test]
#[allow(clippy::disallowed_methods)] // How long it walks is the caller's wish.
fn for_thousands_of_hours_there_is_no_false_alarm() {
    let hours = std::env::var("EVERWIRE_VIRTUAL_HOURS").ok().and_then(|hours| hours.parse().ok());
    let hours = hours.unwrap_or(40) / 4;
    for policy in [Keepalive::standard(), Keepalive::fast()] {
        for (slowness, room) in [(43, None), (43, Some(64 << 10)), (20, Some(32 << 10))] {
            walk_for(hours, &Path { policy, slowness, room, seed: slowness.into() });
        }
        let near = Path { policy, slowness: 4, room: Some(64 << 10), seed: 4 };
        assert!(walk_for(hours, &near) > 0);
    }
}
