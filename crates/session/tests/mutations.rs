//! Each rule that keeps messages from being lost or doubled, left out of the real code: within
//! 10,000 cuts an application notices, and what it notices is what the rule is there for.
//!
//! The invariants are those of the model, `crates/models/tests/session.rs`.

#![expect(clippy::disallowed_macros, reason = "what was seen is shown with the seeds")]

use std::collections::BTreeMap;

use everwire_session::Mutation;
use everwire_testkit::session::{Chaos, Failure, Fault, Profile};

/// Returns the first failure of the kind that is looked for without the rule; others are passed over, and
/// their cuts count.
#[track_caller]
fn failure_without(mutation: Mutation, is_wanted: fn(&Fault) -> bool) -> Failure {
    let (mut cuts, mut others) = (0, BTreeMap::<String, u32>::new());
    for seed in 0.. {
        let chaos = Chaos { seed, cuts: 50, profile: Profile::Roomy, mutation: Some(mutation) };
        match chaos.run() {
            Ok(report) => cuts += report.cuts,
            Err(failure) => {
                cuts += failure.cuts;
                if is_wanted(&failure.fault) {
                    println!("without {mutation:?}, after {cuts} cuts in all: {failure}");
                    return failure;
                }
                *others.entry(failure.fault.to_string()).or_default() += 1;
            }
        }
        assert!(cuts < 10_000, "nobody misses {mutation:?}; what happened instead: {others:#?}");
    }
    unreachable!("the seeds do not end");
}

/// Each message once: an application heard one twice, or never.
fn is_twice_or_never(fault: &Fault) -> bool {
    matches!(fault, Fault::Doubled { .. } | Fault::Lost { .. })
}

/// Nobody is locked out: a client without a rival is told to stay away. Messages are lost with its session.
#[track_caller]
fn locks_out(mutation: Mutation) {
    let failure = failure_without(mutation, |fault| *fault == Fault::LockedOut);
    assert!(failure.unheard > 0, "nothing is lost: {failure}");
}

#[test]
fn without_the_servers_fence_a_message_comes_twice() {
    failure_without(Mutation::NoServerFence, is_twice_or_never);
}

#[test]
fn without_the_clients_fence_a_message_comes_twice() {
    failure_without(Mutation::NoClientFence, is_twice_or_never);
}

#[test]
fn with_attaches_in_order_of_arrival_an_abandoned_socket_takes_the_session() {
    locks_out(Mutation::ArrivalOrder);
}

#[test]
fn without_the_grace_of_the_old_token_a_lost_welcome_locks_the_client_out() {
    locks_out(Mutation::NoTokenGrace);
}
