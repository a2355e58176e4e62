//! Runs the threads of a run through its phases.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::mpsc,
    time::{interval, sleep_until},
};

use super::{
    broadcast, connect, echo, idle,
    plan::{Plan, Scenario},
    server::{Processes, Reading},
    stage::{Phase, Post, Run, Stage},
    storm,
    tally::Tally,
};
use crate::progress::Progress;

/// How long threads have to hear of the beginning.
const NOTICE: Duration = Duration::from_millis(20);

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// How long was measured.
    pub(super) ran: Duration,
    pub(super) server: Option<ServerCost>,
    pub(super) was_interrupted: bool,
}

/// The server before there were connections, with the first of them, when the measurement began,
/// and at its end; as far as it was there.
#[derive(Clone, Debug)]
pub(super) struct ServerCost {
    pub(super) before: Snapshot,
    pub(super) first: Option<Snapshot>,
    pub(super) opened: Option<Snapshot>,
    /// Or why it could not be looked at.
    pub(super) end: Result<Snapshot, String>,
}

/// What the server has used up, and how many connections are open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) n_open: u64,
    pub(super) reading: Reading,
}

/// Runs a plan to its end.
///
/// # Errors
/// It could not be started, or the server's process cannot be looked at; for people.
pub(super) async fn conduct(plan: Arc<Plan>) -> Result<Outcome, String> {
    let processes = Processes::find(&plan.pids)?;
    let before = Snapshot { n_open: 0, reading: processes.read()? };
    let mut crew = Crew::hire(&plan)?;
    crew.arrivals(None).await;
    let first = processes.read().ok().map(|reading| crew.snapshot(reading));
    if plan.scenario.opens_first() && crew.n_open() == 0 {
        // What refuses the first tenth is not asked for the rest.
        crew.is_over = true;
    }
    crew.enter(Phase::Rest, None).await;
    let opened = processes.read().ok().map(|reading| crew.snapshot(reading));
    let start = Instant::now() + NOTICE;
    let run = Run { start, opened: crew.n_open() as usize };
    crew.enter(Phase::Run(run), Some(start + plan.duration)).await;
    let ran = start.elapsed();
    crew.stop().await;
    let end = processes.read().map(|reading| crew.snapshot(reading));
    crew.stage.enter(Phase::Close);
    crew.progress.clear();
    let server = (!plan.pids.is_empty()).then_some(ServerCost { before, first, opened, end });
    let was_interrupted = crew.was_interrupted;
    Ok(Outcome { tally: crew.dismiss(), ran, server, was_interrupted })
}

/// The threads, and what they have in common with whom they work for.
struct Crew {
    stage: Arc<Stage>,
    plan: Arc<Plan>,
    threads: Vec<thread::JoinHandle<Tally>>,
    arrived: mpsc::UnboundedReceiver<()>,
    /// Threads that are not done with the phase.
    n_missing: usize,
    progress: Progress,
    was_interrupted: bool,
    /// There is nothing left to do but to stop.
    is_over: bool,
}

impl Crew {
    fn hire(plan: &Arc<Plan>) -> Result<Self, String> {
        let stage = Arc::new(Stage::new(plan.threads));
        let (sender, arrived) = mpsc::unbounded_channel();
        let mut threads = Vec::with_capacity(plan.threads);
        for idx in 0..plan.threads {
            let post = Post::new(idx, plan.clone(), stage.clone(), sender.clone());
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
            let thread = thread::Builder::new().name(format!("bench-{idx}")).spawn(move || {
                let tally = runtime.block_on(work(post));
                // A look-up of a name may hang in a thread for long.
                runtime.shutdown_background();
                tally
            });
            threads.push(thread.map_err(|error| format!("cannot start a thread: {error}"))?);
        }
        Ok(Self {
            stage,
            plan: plan.clone(),
            n_missing: threads.len(),
            threads,
            arrived,
            progress: Progress::new(),
            was_interrupted: false,
            is_over: false,
        })
    }

    /// Goes on to a phase, unless it is over, and waits until it is done or its time is up.
    async fn enter(&mut self, phase: Phase, until: Option<Instant>) {
        if !self.is_over {
            self.stage.enter(phase);
            self.n_missing = self.threads.len();
            self.arrivals(until).await;
        }
    }

    /// Lets nothing new begin, and waits for what is under way.
    async fn stop(&mut self) {
        self.stage.enter(Phase::Stop);
        self.arrivals(None).await;
    }

    /// Waits until every thread is done with the phase, its time is up, or Ctrl-C comes.
    async fn arrivals(&mut self, until: Option<Instant>) {
        let mut tick = interval(Duration::from_millis(500));
        while self.n_missing > 0 {
            let time_up = async {
                match until {
                    Some(until) => sleep_until(until.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                arrived = self.arrived.recv() => match arrived {
                    Some(()) => self.n_missing -= 1,
                    // A thread panicked, which is told when it is joined.
                    None => return,
                },
                () = time_up => return,
                _ = tick.tick() => self.show(until),
                _ = tokio::signal::ctrl_c() => {
                    (self.was_interrupted, self.is_over) = (true, true);
                    return;
                }
            }
        }
    }

    fn snapshot(&self, reading: Reading) -> Snapshot {
        Snapshot { n_open: self.n_open(), reading }
    }

    fn n_open(&self) -> u64 {
        self.stage.opened.load(Ordering::Relaxed)
    }

    fn show(&self, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        self.progress.show(&progress(&self.plan, &self.stage, left));
    }

    fn dismiss(self) -> Tally {
        let mut sum = Tally::default();
        for thread in self.threads {
            match thread.join() {
                Ok(tally) => sum += tally,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sum
    }
}

/// Says how far a run is, of which so much time is left, if it has one.
fn progress(plan: &Plan, stage: &Stage, left: Option<Duration>) -> String {
    let [opened, failed] =
        [&stage.opened, &stage.failed].map(|count| count.load(Ordering::Relaxed));
    let mut parts = Vec::new();
    if plan.scenario.opens_first() {
        parts.push(format!("{opened} of {} connections open", plan.connections));
    } else {
        parts.push(format!("{} connections made", stage.answered()));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if let Some(left) = left {
        let answered = stage.answered();
        match plan.scenario {
            Scenario::Echo(_) | Scenario::SessionEcho(_) => {
                parts.push(format!("{answered} messages answered"));
            }
            Scenario::Broadcast(_) => parts.push(format!("{answered} messages delivered")),
            Scenario::Storm(_) => parts.push(format!("{answered} back")),
            Scenario::Idle | Scenario::Connect(_) => {}
        }
        parts.push(format!("{} s left", left.as_secs_f64().ceil()));
    }
    parts.join(", ")
}

/// What one thread does.
async fn work(post: Post) -> Tally {
    match post.plan.scenario.clone() {
        Scenario::Echo(pace) => echo::run(post, pace).await,
        Scenario::SessionEcho(pace) => echo::run_sessions(post, pace).await,
        Scenario::Broadcast(channel) => broadcast::run(post, channel).await,
        Scenario::Idle => idle::run(post).await,
        Scenario::Connect(rate) => connect::run(post, rate).await,
        Scenario::Storm(storm) => storm::run(post, storm).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::args::Args;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check(scenario: &str, left: Option<Duration>, expected: &str) {
        let args = ["bench", scenario, "-c", "4", "ws://127.0.0.1:1/"];
        let args = Cli::try_parse_from(args).unwrap().args;
        let plan = Arc::new(Plan::new(&args.scenario.unwrap()).unwrap());
        let stage = Arc::new(Stage::new(2));
        stage.opened.store(3, Ordering::Relaxed);
        let post = |idx| Post::new(idx, plan.clone(), stage.clone(), mpsc::unbounded_channel().0);
        for post in [post(0), post(1)] {
            post.show_answered(7);
        }
        assert_eq!(progress(&plan, &stage, left), expected);
    }

    #[test]
    fn each_scenario_says_how_far_it_is_in_its_own_words() {
        let left = Some(Duration::from_millis(1500));
        check("echo", None, "3 of 4 connections open");
        check("echo", left, "3 of 4 connections open, 14 messages answered, 2 s left");
        check("broadcast", left, "3 of 4 connections open, 14 messages delivered, 2 s left");
        check("slow", left, "3 of 4 connections open, 14 messages delivered, 2 s left");
        check("idle", left, "3 of 4 connections open, 2 s left");
        check("storm", left, "3 of 4 connections open, 14 back, 2 s left");
        check("connect", left, "14 connections made, 2 s left");
    }

    #[test]
    fn what_failed_is_shown() {
        let args = Cli::try_parse_from(["bench", "idle", "-c", "4", "ws://127.0.0.1:1/"]).unwrap();
        let plan = Plan::new(&args.args.scenario.unwrap()).unwrap();
        let stage = Stage::new(1);
        stage.failed.store(2, Ordering::Relaxed);
        assert_eq!(progress(&plan, &stage, None), "0 of 4 connections open, 2 failed");
    }
}
