//! Each rule that keeps messages from being lost or doubled, left out of the real code: within
//! 10,000 cuts somebody notices.

#![expect(clippy::disallowed_macros, reason = "what was seen is shown with the seeds")]

use everwire_session::Mutation;
use everwire_testkit::session::{Chaos, Failure, Profile};

/// Returns what goes wrong first without the rule, and after how many cuts in all.
#[track_caller]
fn failure_without(mutation: Mutation) -> Failure {
    let mut cuts = 0;
    for seed in 0.. {
        let chaos = Chaos { seed, cuts: 50, profile: Profile::Roomy, mutation: Some(mutation) };
        match chaos.run() {
            Ok(report) => cuts += report.cuts,
            Err(failure) => {
                println!("without {mutation:?}, after {} cuts: {failure}", cuts + failure.cuts);
                return failure;
            }
        }
        assert!(cuts < 10_000, "nobody misses {mutation:?}");
    }
    unreachable!("the seeds do not end");
}

#[test]
fn without_the_servers_fence_the_session_is_lost() {
    failure_without(Mutation::NoServerFence);
}

#[test]
fn without_the_clients_fence_a_message_comes_twice() {
    failure_without(Mutation::NoClientFence);
}

#[test]
fn with_attaches_in_order_of_arrival_an_abandoned_socket_takes_the_session() {
    let what = failure_without(Mutation::ArrivalOrder).what;
    assert!(!what.is_empty());
}

#[test]
fn without_the_grace_of_the_old_token_a_lost_welcome_locks_the_client_out() {
    let what = failure_without(Mutation::NoTokenGrace).what;
    assert!(what.contains("Superseded"), "{what}");
}
