//! One simulation: its machines, its network, and what is done to them.

use std::{sync::Arc, time::Duration};

use turmoil::{Builder, Sim};

use crate::{
    book::{Book, Tally},
    hosts::{self, Setting},
    plan::{Action, Plan},
};

/// How many clients there are.
const CLIENTS: usize = 3;

/// By when both applications are to be done once the network is well again, in virtual time.
const LIMIT: Duration = Duration::from_secs(300);

/// Returns how much happened, or what went wrong.
pub(crate) fn simulate(setting: Setting) -> Result<Tally, String> {
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::new(CLIENTS));
    let mut sim = Builder::new()
        .rng_seed(setting.seed)
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
    let plan = setting.plan(CLIENTS);
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
