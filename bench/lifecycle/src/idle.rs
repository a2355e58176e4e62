//! What it costs to keep many idle connections alive.
//!
//! The measure is a bare loop that sends the same pings and reads the same pongs, in the same run;
//! see [`bare`]. Each server has a client process of its own, which answers pings; see [`pinged`].

pub(crate) mod bare;
pub(crate) mod pinged;
mod process;

use std::{fmt::Write as _, path::PathBuf, thread::sleep, time::Duration};

use anyhow::{Result, ensure};

use self::process::Serving;

/// What is measured.
pub(crate) struct Scenario {
    pub(crate) server: PathBuf,
    pub(crate) n_connections: usize,
    /// The interval of the keepalive. Standard is 25 s: a shorter one is the same work in less time.
    pub(crate) interval: Duration,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

/// The interval of the standard policy.
const STANDARD: Duration = Duration::from_secs(25);

/// Connections that are in both readings of memory.
const WARM: usize = 1_000;

/// What a server did in one round.
#[derive(Clone, Copy)]
struct Round {
    pings: u64,
    nanos_per_ping: f64,
}

/// What all rounds came to.
pub(crate) struct Outcome {
    everwire: Vec<Round>,
    bare: Vec<Round>,
    /// Bytes for each connection with the standard policy, and with none.
    bytes_with: f64,
    bytes_without: f64,
}

impl Scenario {
    pub(crate) fn run(&self) -> Result<Outcome> {
        let (mut everwire, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            bare.push(self.round(Serving::bare(self.interval, self.n_connections)?)?);
            let serving = Serving::everwire(&self.server, Some(self.interval), self.n_connections)?;
            everwire.push(self.round(serving)?);
        }
        // A shorter interval would have more connections ask at the same time than the standard has.
        let [bytes_with, bytes_without] = [Some(STANDARD), None].map(|interval| {
            self.memory(Serving::everwire(&self.server, interval, self.n_connections)?)
        });
        Ok(Outcome { everwire, bare, bytes_with: bytes_with?, bytes_without: bytes_without? })
    }

    fn round(&self, mut serving: Serving) -> Result<Round> {
        serving.connect(self.n_connections)?;
        // The first intervals are shorter: they are let go by.
        sleep(self.interval * 2);
        let (pings, nanos) = (serving.pings()?, serving.cpu_nanos()?);
        sleep(Duration::from_secs(self.seconds));
        let (pings, nanos) = (serving.pings()? - pings, serving.cpu_nanos()? - nanos);
        ensure!(pings > 0, "nobody was pinged");
        Ok(Round { pings, nanos_per_ping: nanos as f64 / pings as f64 })
    }

    /// Opens all connections and returns what each of them takes of the server's memory, when all
    /// have been pinged if they ever are.
    fn memory(&self, mut serving: Serving) -> Result<f64> {
        serving.connect(WARM)?;
        sleep(Duration::from_secs(1));
        let warm = serving.resident()?;
        serving.connect(self.n_connections - WARM)?;
        sleep(STANDARD * 11 / 5);
        let all = serving.resident()?;
        Ok((all as f64 - warm as f64) / (self.n_connections - WARM) as f64)
    }
}

fn best(rounds: &[Round]) -> f64 {
    rounds.iter().map(|round| round.nanos_per_ping).fold(f64::INFINITY, f64::min)
}

impl Outcome {
    fn ratio(&self) -> f64 {
        best(&self.everwire) / best(&self.bare)
    }

    fn bytes_more(&self) -> f64 {
        self.bytes_with - self.bytes_without
    }

    pub(crate) fn table(&self, scenario: &Scenario) -> String {
        let Scenario { n_connections, interval, rounds, seconds, .. } = scenario;
        let mut table = format!(
            "{n_connections} connections, interval {interval:?} instead of 25 s, {rounds} rounds of {seconds} s\n\n\
             | server | CPU per ping and pong, best | of all rounds | pings in a round |\n\
             |---|---:|---|---:|\n"
        );
        for (name, rounds) in [("bare loop", &self.bare), ("`everwire serve`", &self.everwire)] {
            let all: Vec<_> = rounds.iter().map(|r| format!("{:.0}", r.nanos_per_ping)).collect();
            let pings = rounds.iter().map(|round| round.pings).max().unwrap_or_default();
            let best = best(rounds);
            writeln!(table, "| {name} | {best:.0} ns | {} | {pings} |", all.join(", "))
                .expect("a string takes everything");
        }
        writeln!(
            table,
            "\neverwire ÷ bare: {:.2}. Bytes per connection: {:.0} with `--keepalive 25s/20s`, {:.0} with \
             `--keepalive off`: {:.1} more",
            self.ratio(),
            self.bytes_with,
            self.bytes_without,
            self.bytes_more(),
        )
        .expect("a string takes everything");
        table
    }

    /// Checks what was promised.
    pub(crate) fn check(&self) -> Result<()> {
        let ratio = self.ratio();
        ensure!(ratio <= 1.3, "keepalive costs {ratio:.2} times the bare send and recv");
        let more = self.bytes_more();
        ensure!(more <= 16.0, "keepalive costs {more:.1} bytes for each connection");
        Ok(())
    }
}
