//! A herd of clients that lost their server together, on the real policy code in virtual time.
//! `bench/lifecycle herd` prints the same for more of them.

#[allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations)]
#[path = "../../../bench/lifecycle/src/herd.rs"]
mod herd;

use herd::Scenario;

#[test]
fn with_advice_all_are_back_in_time_and_never_too_many_at_once() {
    for seed in 1..=3 {
        for scenario in Scenario::all(20_000, 1_000) {
            let outcome = scenario.run(seed);
            assert!(scenario.check(&outcome).is_ok(), "{}: {outcome:?}", scenario.name);
        }
    }
}

#[test]
fn without_advice_all_are_back_in_a_few_times_the_ideal_time() {
    for scenario in Scenario::all(20_000, 1_000).iter().filter(|scenario| !scenario.is_bound) {
        let outcome = scenario.run(1);
        assert!(outcome.all_back < scenario.ideal() * 4, "{}: {outcome:?}", scenario.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let [scenario, ..] = Scenario::all(1_000, 100);
    assert_eq!(scenario.run(7), scenario.run(7));
    assert_ne!(scenario.run(7), scenario.run(8));
}
