//! What the server process costs: its CPU clock and its resident memory.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Memory counts once two readings this far apart are equal.
const SETTLE: Duration = Duration::from_millis(600);

#[derive(Debug)]
pub struct Server {
    pid: i32,
    clock: ClockId,
}

impl Server {
    pub fn new(pid: i32) -> Result<Self> {
        let clock = clock_getcpuclockid(Pid::from_raw(pid)).context("the server's CPU clock")?;
        Ok(Self { pid, clock })
    }

    /// Returns the CPU time of all its threads, user and system, exact to the nanosecond.
    ///
    /// `utime` and `stime` are sampled at the kernel's tick; their sum is scaled to this clock, so this is the better one.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Returns its resident set in bytes.
    ///
    /// `smaps_rollup` walks the page tables; `statm` may be off by 64 pages per thread.
    pub fn rss(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))
            .context("reading smaps_rollup")?;
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .context("smaps_rollup has no Rss")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Returns the resident set once it stands still, five seconds at most.
    pub fn settled_rss(&self) -> Result<u64> {
        let mut last = self.rss()?;
        for _ in 0..8 {
            thread::sleep(SETTLE);
            let now = self.rss()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}
