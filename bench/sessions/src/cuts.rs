//! Cuts at random bytes in virtual time, on the real code of both ends.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow};
use everwire_testkit::session::{Chaos, Profile, Report};
use pico_args::Arguments;

/// Cuts in one life of a session.
const CUTS_PER_SESSION: u64 = 1_000;

/// `cuts [--count N] [--seed N] [--threads N]`
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let count: u64 = arguments.opt_value_from_str("--count")?.unwrap_or(1_000_000);
    let seed: u64 = arguments.opt_value_from_str("--seed")?.unwrap_or(1);
    let threads: usize = arguments.opt_value_from_str("--threads")?.unwrap_or(1);
    crate::finish(arguments)?;
    println!(
        "| buffers | seeds | cuts | sessions | attached | client killed | delivered | missing, told to both | lost, doubled, reordered | virtual time | time |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (profile, name) in [(Profile::Roomy, "roomy"), (Profile::Tight, "tight")] {
        let began = Instant::now();
        let first = seed + if profile == Profile::Tight { 1 << 32 } else { 0 };
        let (report, sessions) = many(profile, first, count / 2, threads)?;
        println!(
            "| {name} | {first:#x}–{:#x} | {} | {sessions} | {} | {} | {} | {} | 0 | {} h | {} s |",
            first + sessions - 1,
            report.cuts,
            report.attaches,
            report.restarts,
            report.messages,
            report.missing,
            report.seconds / 3600,
            began.elapsed().as_secs(),
        );
    }
    Ok(())
}

/// Runs sessions until there were as many cuts.
fn many(profile: Profile, first: u64, count: u64, threads: usize) -> Result<(Report, u64)> {
    let sessions = count.div_ceil(CUTS_PER_SESSION);
    let next = AtomicU64::new(0);
    let work = || -> Result<Report> {
        let mut sum = Report::default();
        loop {
            let session = next.fetch_add(1, Ordering::Relaxed);
            if session >= sessions {
                return Ok(sum);
            }
            let cuts = CUTS_PER_SESSION.min(count - session * CUTS_PER_SESSION);
            let chaos = Chaos { seed: first + session, cuts, profile, mutation: None };
            sum.add(&chaos.run().map_err(|failure| anyhow!("{profile:?}: {failure}"))?);
        }
    };
    let mut sum = Report::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            sum.add(&worker.join().map_err(|_| anyhow!("a run panicked"))??);
        }
        Ok((sum, sessions))
    })
}
