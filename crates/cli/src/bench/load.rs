//! Runs the threads of a run through its phases.

use std::{
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
    echo,
    plan::{Plan, Scenario},
    server::{self, Reading},
    stage::{Phase, Post, Run, Stage},
    tally::Tally,
};
use crate::progress::Progress;

/// How long threads have to hear of the beginning.
const NOTICE: Duration = Duration::from_millis(20);

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// How long it took to open all connections.
    pub(super) opening: Duration,
    /// How long was measured.
    pub(super) ran: Duration,
    pub(super) server: Option<ServerCost>,
    pub(super) was_interrupted: bool,
}

/// The server before there were connections, when the measurement began, and at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerCost {
    pub(super) before: Reading,
    pub(super) opened: Reading,
    pub(super) end: Reading,
}

/// Runs a plan to its end.
///
/// # Errors
/// It could not be started, or the server's process cannot be looked at; for people.
pub(super) async fn conduct(plan: Arc<Plan>) -> Result<Outcome, String> {
    let read = || server::read(&plan.pids);
    let before = read()?;
    let mut crew = Crew::hire(&plan)?;
    let began = Instant::now();
    let mut was_interrupted = crew.arrivals(&plan).await;
    let (opening, opened) = (began.elapsed(), read()?);
    let start = Instant::now() + NOTICE;
    let n_opened = crew.stage.opened.load(Ordering::Relaxed) as usize;
    if n_opened > 0 && !was_interrupted {
        crew.stage.enter(Phase::Run(Run { start, opened: n_opened }));
        was_interrupted = crew.wait(&plan, start + plan.duration).await;
    }
    let ran = start.elapsed();
    crew.stage.enter(Phase::Stop);
    was_interrupted |= crew.arrivals(&plan).await;
    // A server that is gone by now has told all it can.
    let end = read().unwrap_or(opened);
    crew.stage.enter(Phase::Close);
    crew.progress.clear();
    let server = (!plan.pids.is_empty()).then_some(ServerCost { before, opened, end });
    Ok(Outcome { tally: crew.dismiss(), opening, ran, server, was_interrupted })
}

/// The threads, and what they have in common with whom they work for.
struct Crew {
    stage: Arc<Stage>,
    threads: Vec<thread::JoinHandle<Tally>>,
    arrived: mpsc::UnboundedReceiver<()>,
    progress: Progress,
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
        Ok(Self { stage, threads, arrived, progress: Progress::new() })
    }

    /// Waits until every thread is done with the phase. Returns whether Ctrl-C came before.
    async fn arrivals(&mut self, plan: &Plan) -> bool {
        let mut tick = interval(Duration::from_millis(500));
        let mut missing = self.threads.len();
        while missing > 0 {
            tokio::select! {
                arrived = self.arrived.recv() => match arrived {
                    Some(()) => missing -= 1,
                    None => return true,
                },
                _ = tick.tick() => self.show(plan, None),
                _ = tokio::signal::ctrl_c() => return true,
            }
        }
        false
    }

    /// Waits until a time. Returns whether Ctrl-C came before.
    async fn wait(&self, plan: &Plan, until: Instant) -> bool {
        let mut tick = interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = sleep_until(until.into()) => return false,
                _ = tick.tick() => self.show(plan, Some(until)),
                _ = tokio::signal::ctrl_c() => return true,
            }
        }
    }

    fn show(&self, plan: &Plan, until: Option<Instant>) {
        let stage = &self.stage;
        let opened = stage.opened.load(Ordering::Relaxed);
        let mut line = format!("{opened} of {} connections open", plan.connections);
        match stage.failed.load(Ordering::Relaxed) {
            0 => {}
            failed => line += &format!(", {failed} failed"),
        }
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now()).as_secs_f64().ceil();
            line += &format!(", {} messages answered, {left} s left", stage.answered());
        }
        self.progress.show(&line);
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

/// What one thread does.
async fn work(post: Post) -> Tally {
    match post.plan.scenario {
        Scenario::Echo(pace) => echo::run(post, pace).await,
    }
}
