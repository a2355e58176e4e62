//! Whole clients and a whole server in a simulated network (turmoil), in virtual time.
//!
//! Three clients with stored sessions and a server send each other numbered messages, while a plan
//! drawn from a seed drops, holds and delays what is on the network, kills clients and the server,
//! and starts them again. In the end nothing may be missing, doubled or out of order that was not
//! announced. The seed decides on the plan, on what the applications do and on latencies; the
//! library's own jitter is drawn anew in each run. `crates/models/tests/simulation.rs` runs the same with rules left
//! out of the protocol.
#![cfg(feature = "json")]

mod book;
mod hosts;
mod plan;
mod run;

use std::{env, ops::Range};

use crate::{book::Tally, hosts::Setting, run::simulate};

#[test]
fn nothing_is_lost_doubled_or_reordered_unannounced_whatever_the_network_does() {
    let (seeds, is_chosen) = seeds();
    let mut total = Tally::default();
    for seed in seeds {
        // Seen when it fails.
        println!("seed {seed}");
        match simulate(Setting::of(seed)) {
            Ok(tally) => total += tally,
            Err(error) => panic!("seed {seed}: {error}\nagain: EVERWIRE_SIMULATION={seed}"),
        }
    }
    println!("{total:?}");
    // Simulations in which nothing happened would prove nothing.
    let Tally { heard, told, resumed, gaps, lost } = total;
    let is_much = heard > 500 && told > 500 && resumed > 10 && gaps > 0 && lost > 0;
    assert!(is_chosen || is_much, "{total:?}");
}

/// Returns the seeds of `EVERWIRE_SIMULATION`, one or `FIRST..END`, else a handful; and whether they
/// were chosen so.
fn seeds() -> (Range<u64>, bool) {
    let Ok(text) = env::var("EVERWIRE_SIMULATION") else { return (1..6, false) };
    let parse = |text: &str| text.parse().expect("EVERWIRE_SIMULATION is SEED or FIRST..END");
    let seeds = match text.split_once("..") {
        Some((first, end)) => parse(first)..parse(end),
        None => parse(&text)..parse(&text) + 1,
    };
    (seeds, true)
}
