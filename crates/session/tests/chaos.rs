//! A client and a server whose sockets are cut at random bytes: nothing lost, nothing twice.

#![expect(clippy::disallowed_macros, reason = "what was seen is shown with the seeds")]

use everwire_testkit::session::{Chaos, Profile, Report};

fn runs(profile: Profile, seeds: std::ops::Range<u64>, cuts: u64) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let chaos = Chaos { seed, cuts, profile, mutation: None };
        sum.add(&chaos.run().unwrap_or_else(|failure| panic!("{failure}")));
    }
    println!("{profile:?}: {sum:?}");
    sum
}

#[test]
fn a_thousand_cuts_lose_nothing() {
    let sum = runs(Profile::Roomy, 0..25, 50);
    assert!(sum.cuts >= 1_000 && sum.messages > sum.cuts && sum.missing == 0);
    assert!(sum.restarts > 0, "the client's process was never killed");
}

#[test]
fn what_a_thousand_cuts_make_missing_is_told_to_both() {
    let sum = runs(Profile::Tight, 1_000..1_025, 50);
    assert!(sum.cuts >= 1_000 && sum.missing > 0);
}
