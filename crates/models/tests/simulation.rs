//! The simulation of whole clients and a whole server, with rules left out of the protocol: within a bounded
//! number of simulations an application loses a message, hears one twice, or is locked out. With all rules,
//! nothing happens in as many.
//!
//! The simulation is that of `everwire`, in a setting without rest: attempts are given up and connections
//! left while what was said on them is under way. Of the four rules of `crates/session/tests/mutations.rs` one
//! cannot be missed here: the client's fence. A client drops what receives from its old connection before
//! it says anything on the new one, so that its session could not hear the old one if it wanted.

#[path = "../../everwire/tests/simulation/book.rs"]
mod book;
#[path = "../../everwire/tests/simulation/hosts.rs"]
mod hosts;
#[path = "../../everwire/tests/simulation/plan.rs"]
mod plan;
#[path = "../../everwire/tests/simulation/run.rs"]
mod run;

use std::{collections::BTreeMap, ops::Range};

use everwire::session::SessionConfig;
use everwire_session::Mutation;

use crate::{hosts::Setting, run::simulate};

/// Odd ones, in which the server lives.
fn seeds(range: Range<u64>) -> impl Iterator<Item = u64> {
    range.map(|n| 2 * n + 1)
}

/// Simulations without a rule, until one shows what is looked for.
#[track_caller]
fn fails_without(change: fn(&mut SessionConfig), is_wanted: fn(&str) -> bool) {
    let mut others = BTreeMap::<String, u32>::new();
    for seed in seeds(0..60) {
        let Err(error) = simulate(Setting::restless(seed, change)) else { continue };
        let first = error.lines().next().unwrap_or_default().to_owned();
        if is_wanted(&first) {
            println!("seed {seed}: {first}");
            return;
        }
        *others.entry(first).or_default() += 1;
    }
    panic!("nobody misses it; what happened instead: {others:#?}");
}

/// A message came to an application twice, or never.
fn is_twice_or_never(error: &str) -> bool {
    error.contains(" came after ")
        || error.contains(" never came")
        || error.contains("out of place")
}

/// A client without a rival was told that another has its session.
fn is_locked_out(error: &str) -> bool {
    error.contains("taken over by another client")
}

#[test]
fn with_all_rules_nothing_is_lost_however_restless_everybody_is() {
    for seed in seeds(0..4) {
        let tally = simulate(Setting::restless(seed, |_| {}));
        let tally = tally.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(tally.resumed > 20, "{tally:?}");
    }
}

#[test]
fn without_the_servers_fence_a_message_comes_twice() {
    fails_without(|config| config.mutation = Some(Mutation::NoServerFence), is_twice_or_never);
}

#[test]
fn with_attaches_in_order_of_arrival_an_abandoned_connection_takes_the_session() {
    fails_without(|config| config.mutation = Some(Mutation::ArrivalOrder), is_locked_out);
}

#[test]
fn without_the_grace_of_the_old_token_a_lost_welcome_locks_the_client_out() {
    fails_without(|config| config.mutation = Some(Mutation::NoTokenGrace), is_locked_out);
}

/// It stands twice in the whole client; the pure one has need of it.
#[test]
fn without_the_clients_fence_in_the_session_its_connections_keep_it() {
    for seed in seeds(0..3) {
        let change: fn(&mut SessionConfig) =
            |config| config.mutation = Some(Mutation::NoClientFence);
        if let Err(error) = simulate(Setting::restless(seed, change)) {
            panic!("seed {seed}: {error}");
        }
    }
}
