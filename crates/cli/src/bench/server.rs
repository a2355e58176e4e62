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

/// The processes of a server, as they were when they were first looked at.
#[derive(Debug)]
pub(super) struct Processes(Vec<Process>);

#[derive(Debug)]
struct Process {
    pid: u32,
    /// When it began, in ticks of the system: another one with its number is not it.
    began: u64,
}

impl Processes {
    /// Finds processes.
    ///
    /// # Errors
    /// One is not there, or the system does not tell; for people.
    pub(super) fn find(pids: &[u32]) -> Result<Self, String> {
        let found = pids.iter().map(|pid| Ok(Process { pid: *pid, began: began(*pid)? }));
        found.collect::<Result<_, String>>().map(Self)
    }

    /// Reads what they have used together.
    ///
    /// # Errors
    /// One is gone, was restarted, or the system does not tell; for people.
    pub(super) fn read(&self) -> Result<Reading, String> {
        let mut sum = Reading::default();
        for Process { pid, began: then } in &self.0 {
            let memory = memory(&told(*pid, "status")?);
            let memory = memory.ok_or_else(|| format!("process {pid} has ended"))?;
            sum += Reading { cpu: cpu(*pid)?, memory };
            if began(*pid)? != *then {
                return Err(format!("process {pid} is not the one that it was at first"));
            }
        }
        Ok(sum)
    }
}

fn told(pid: u32, file: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn began(pid: u32) -> Result<u64, String> {
    starttime(&told(pid, "stat")?).ok_or_else(|| format!("/proc/{pid}/stat tells no start"))
}

/// Reads the 22nd field. The second is a name, in brackets, with anything in it.
fn starttime(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
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
        let processes = Processes::find(&[std::process::id()]).unwrap();
        let before = processes.read().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(30);
        // Reading takes time as well.
        let mut after = processes.read().unwrap();
        while after.cpu == before.cpu && std::time::Instant::now() < until {
            after = processes.read().unwrap();
        }
        assert!(after.cpu > before.cpu && after.memory > 100_000, "{before:?} {after:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_told() {
        let error = Processes::find(&[u32::MAX]).unwrap_err();
        assert!(error.contains("cannot read /proc/4294967295"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_has_ended_is_not_read_whether_or_not_somebody_waits_for_it() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let processes = Processes::find(&[child.id()]).unwrap();
        processes.read().unwrap();
        child.kill().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while processes.read().is_ok() {
            assert!(std::time::Instant::now() < until, "a zombie is read");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        processes.read().unwrap_err();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_process_with_the_number_of_one_before_is_not_read() {
        let mut processes = Processes::find(&[std::process::id()]).unwrap();
        processes.0[0].began -= 1;
        assert!(processes.read().unwrap_err().contains("not the one"));
    }

    #[test]
    fn a_start_is_found_behind_any_name() {
        let fields: Vec<_> = (3..=52).map(|n| n.to_string()).collect();
        let stat = format!("7 (a) b (c)) {}", fields.join(" "));
        assert_eq!(starttime(&stat), Some(22));
        assert_eq!(starttime("7 (a) S 1"), None);
    }
}
