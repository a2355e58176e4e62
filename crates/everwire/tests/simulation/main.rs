//! Whole clients and a whole server in a simulated network (turmoil), in virtual time.
//!
//! Three clients with stored sessions and a server send each other numbered messages, while a plan
//! drawn from a seed drops, holds and delays what is on the network, kills clients and the server,
//! and starts them again. In the end nothing may be missing, doubled or out of order that was not
//! announced. The seed decides on the plan, on what the applications do and on latencies; the
//! library's own jitter is drawn anew in each run.
#![cfg(feature = "json")]

mod book;
mod hosts;
mod plan;

use std::{env, ops::Range, sync::Arc, time::Duration};

use turmoil::{Builder, Sim};

use crate::{
    book::{Book, Tally},
    hosts::Setting,
    plan::{Action, Plan},
};

/// How many clients there are.
const CLIENTS: usize = 3;

/// By when both applications are to be done once the network is well again, in virtual time.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn nothing_is_lost_doubled_or_reordered_unannounced_whatever_the_network_does() {
    let (seeds, is_chosen) = seeds();
    let mut total = Tally::default();
    for seed in seeds {
        // Seen when it fails.
        println!("seed {seed}");
        match simulate(seed) {
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

fn simulate(seed: u64) -> Result<Tally, String> {
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::new(CLIENTS));
    let setting = Setting::of(seed);
    let mut sim = Builder::new()
        .rng_seed(seed)
        .enable_random_order()
        .tick_duration(Duration::from_millis(10))
        .max_message_latency(Duration::from_millis(80))
        .simulation_duration(Duration::from_secs(3600))
        .build();
    let shared = book.clone();
    sim.host("server", move || hosts::serve(shared.clone(), setting));
    for client in 0..CLIENTS {
        let (book, file) = (book.clone(), folder.path().join(format!("{client}.json")));
        let run = move || hosts::connect(book.clone(), client, file.clone(), setting);
        sim.host(name(client), run);
    }
    let plan = Plan::of(seed, CLIENTS);
    let done = run(&mut sim, &plan, &book);
    let checked = done.and_then(|()| book.check(plan.kills_server() || setting.expires()));
    checked.map_err(|error| format!("{error}\n{plan:?}\n{book}"))
}

/// Steps through the plan, then lets the applications finish.
fn run(sim: &mut Sim<'_>, plan: &Plan, book: &Book) -> Result<(), String> {
    for (at, action) in plan.steps() {
        while sim.elapsed() < *at {
            step(sim)?;
        }
        act(sim, action);
    }
    book.stop();
    let limit = sim.elapsed() + LIMIT;
    while !book.is_done() {
        if sim.elapsed() > limit {
            return Err(format!("the applications are not done after {LIMIT:?}"));
        }
        step(sim)?;
    }
    Ok(())
}

fn step(sim: &mut Sim<'_>) -> Result<(), String> {
    sim.step().map(drop).map_err(|error| error.to_string())
}

fn act(sim: &mut Sim<'_>, action: &Action) {
    const SERVER: &str = "server";
    match *action {
        Action::Partition(client) => sim.partition(name(client), SERVER),
        Action::Deafen(client) => sim.partition_oneway(SERVER, name(client)),
        Action::Mute(client) => sim.partition_oneway(name(client), SERVER),
        Action::Repair(client) => sim.repair(name(client), SERVER),
        Action::Hold(client) => sim.hold(name(client), SERVER),
        Action::Release(client) => sim.release(name(client), SERVER),
        Action::Delay(client, latency) => sim.set_link_latency(name(client), SERVER, latency),
        Action::Kill(client) => sim.crash(name(client)),
        Action::Start(client) => sim.bounce(name(client)),
        Action::KillServer => sim.crash(SERVER),
        Action::StartServer => sim.bounce(SERVER),
    }
}

fn name(client: usize) -> String {
    format!("client-{client}")
}
