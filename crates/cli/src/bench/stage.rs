//! What the threads of a run have in common: which phase it is in, and how far they are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{mpsc, watch};

use super::plan::Plan;

/// What a run does one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// The first connections are opened: what the server sets up for whoever comes first is not
    /// counted as what a connection costs.
    Open,
    /// All the others are opened.
    Rest,
    /// What is measured happens.
    Run(Run),
    /// Nothing new is begun; what is under way is waited for.
    Stop,
    /// Connections are closed.
    Close,
}

/// How the measurement began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) start: Instant,
    /// Connections that are open, of all threads.
    pub(super) opened: usize,
}

impl Phase {
    fn rank(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Rest => 1,
            Self::Run(_) => 2,
            Self::Stop => 3,
            Self::Close => 4,
        }
    }
}

/// The phase, set by one and awaited by all, and what is shown of the progress.
#[derive(Debug)]
pub(super) struct Stage {
    phase: watch::Sender<Phase>,
    pub(super) opened: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Answers so far, by thread.
    answered: Box<[AtomicU64]>,
}

impl Stage {
    pub(super) fn new(n_threads: usize) -> Self {
        let answered = (0..n_threads).map(|_| AtomicU64::new(0)).collect();
        let phase = watch::Sender::new(Phase::Open);
        Self { phase, opened: AtomicU64::new(0), failed: AtomicU64::new(0), answered }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

/// One thread's view of the run.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) idx: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) stage: Arc<Stage>,
    arrived: mpsc::UnboundedSender<()>,
}

impl Post {
    pub(super) fn new(
        idx: usize,
        plan: Arc<Plan>,
        stage: Arc<Stage>,
        arrived: mpsc::UnboundedSender<()>,
    ) -> Self {
        Self { idx, plan, stage, arrived }
    }

    /// Tells that this thread is done with the measurement, and waits until connections are to be
    /// closed.
    pub(super) async fn close(&self) {
        self.arrive();
        self.closing().await;
    }

    /// Waits until connections are to be closed.
    pub(super) async fn closing(&self) {
        self.reached(4).await;
    }

    /// Returns whether connections are to be closed.
    pub(super) fn is_closing(&self) -> bool {
        *self.stage.phase.borrow() == Phase::Close
    }

    fn arrive(&self) {
        // Nobody waits any more when the run was given up.
        self.arrived.send(()).ok();
    }

    /// Tells that the first connections are open. Returns whether the others shall be, too.
    pub(super) async fn rest(&self) -> bool {
        self.arrive();
        self.reached(1).await == Phase::Rest
    }

    /// Tells that all connections are open, and waits for the measurement to begin.
    pub(super) async fn run(&self) -> Option<Run> {
        self.arrive();
        match self.reached(2).await {
            Phase::Run(run) => Some(run),
            // It was given up before it began.
            _ => None,
        }
    }

    /// Waits until nothing new shall be begun.
    pub(super) async fn stop(&self) {
        self.reached(3).await;
    }

    /// Shows how many answers this thread has.
    pub(super) fn show_answered(&self, n: u64) {
        self.stage.answered[self.idx].store(n, Ordering::Relaxed);
    }

    async fn reached(&self, rank: u8) -> Phase {
        let mut phase = self.stage.phase.subscribe();
        let reached = phase.wait_for(|phase| phase.rank() >= rank).await;
        *reached.expect("the stage outlives those who wait, because they share it")
    }
}
