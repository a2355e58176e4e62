//! What the server costs: its CPU time and its memory, as the system counts them.

use std::{fs, ops::AddAssign, time::Duration};

/// A reading of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) cpu: Duration,
    /// Resident memory in bytes.
    pub(super) memory: u64,
}

impl AddAssign for Reading {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
    }
}

/// Reads what some processes have used together.
///
/// # Errors
/// A process is gone, or the system does not tell; for people.
pub(super) fn read(pids: &[u32]) -> Result<Reading, String> {
    let mut sum = Reading::default();
    for pid in pids {
        let told = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
        };
        let memory = memory(&told("status")?);
        let memory = memory.ok_or_else(|| format!("/proc/{pid}/status tells no VmRSS"))?;
        sum += Reading { cpu: cpu(*pid)?, memory };
    }
    Ok(sum)
}

/// Sums the time of all threads, which is counted in nanoseconds; that of the process is counted in
/// hundredths of a second.
fn cpu(pid: u32) -> Result<Duration, String> {
    let path = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let mut sum = Duration::ZERO;
    for thread in threads.flatten() {
        // A thread may just have ended.
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        sum += nanoseconds(&text).ok_or_else(|| format!("{path} has a schedstat of no numbers"))?;
    }
    Ok(sum)
}

fn nanoseconds(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_read() {
        let status = "Name:\teverwire\nVmHWM:\t   90 kB\nVmRSS:\t    6412 kB\nThreads:\t1\n";
        assert_eq!(memory(status), Some(6412 * 1024));
        assert_eq!(memory("Name:\tkthreadd\n"), None);
        assert_eq!(nanoseconds("1234567890 99 42\n"), Some(Duration::from_nanos(1_234_567_890)));
        assert_eq!(nanoseconds(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_process_costs_something() {
        let (before, mut sum) = (read(&[std::process::id()]).unwrap(), 0_u64);
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(20) {
            sum = std::hint::black_box(sum + 1);
        }
        let after = read(&[std::process::id()]).unwrap();
        assert!(after.cpu > before.cpu && after.memory > 100_000, "{before:?} {after:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_told() {
        assert!(read(&[u32::MAX]).unwrap_err().contains("cannot read /proc/4294967295"));
    }
}
