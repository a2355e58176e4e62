//! What became of a run of [`Chaos`](super::Chaos).

use std::fmt;

use super::Fault;

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sockets that were cut.
    pub cuts: u64,
    /// Sockets that were attached.
    pub attaches: u64,
    /// Messages that were delivered.
    pub messages: u64,
    /// Messages that were told to be missing.
    pub missing: u64,
    /// Times that the client's process was killed.
    pub restarts: u64,
    /// Seconds of virtual time.
    pub seconds: u64,
    /// Things that happened.
    pub steps: u64,
}

impl Report {
    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.attaches += other.attaches;
        self.messages += other.messages;
        self.missing += other.missing;
        self.restarts += other.restarts;
        self.seconds += other.seconds;
        self.steps += other.steps;
    }
}

/// What went wrong, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// How many cuts had been made.
    pub cuts: u64,
    /// How many messages had been accepted and neither heard nor told to be missing.
    pub unheard: u64,
    /// What went wrong.
    pub fault: Fault,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {:#x}, after {} cuts: {}", self.seed, self.cuts, self.fault)
    }
}
