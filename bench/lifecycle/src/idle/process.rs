//! A server and the client that holds its connections, each a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// A running server with its client. Dropped, both end.
pub(super) struct Serving {
    server: Child,
    client: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Serving {
    /// Starts the bare loop.
    pub(super) fn bare(interval: Duration, n: usize) -> Result<Self> {
        let mut server = Command::new(std::env::current_exe()?);
        server.args(["idle-bare", &interval.as_millis().to_string(), &n.to_string()]);
        Self::start(server)
    }

    /// Starts `everwire serve` with its defaults, but for the keepalive and the limit on
    /// connections, on one thread.
    pub(super) fn everwire(program: &Path, interval: Option<Duration>, n: usize) -> Result<Self> {
        let keepalive = match interval {
            // As the standard policy has 25 s and 20 s.
            Some(interval) => {
                format!("{}ms/{}ms", interval.as_millis(), interval.as_millis() * 4 / 5)
            }
            None => String::from("off"),
        };
        let mut server = Command::new(program);
        server
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--threads", "1"])
            .args(["--keepalive", &keepalive, "--max-connections", &(n + 100).to_string()]);
        Self::start(server)
    }

    fn start(mut server: Command) -> Result<Self> {
        let program = server.get_program().to_owned();
        let mut server = server
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(server.stdout.take().context("it was asked for")?).read_line(&mut line)?;
        let addr = line.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let (addr, _) = addr.with_context(|| format!("no address in {line:?}"))?;
        let mut client = Command::new(std::env::current_exe()?)
            .args(["idle-pinged", addr])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = client.stdin.take().context("it was asked for")?;
        let answers = BufReader::new(client.stdout.take().context("it was asked for")?);
        Ok(Self { server, client, asks, answers })
    }

    /// Opens so many connections more.
    pub(super) fn connect(&mut self, n: usize) -> Result<()> {
        let opened = self.ask(&n.to_string())?;
        ensure!(opened == n as u64, "{opened} of {n} connections open");
        Ok(())
    }

    /// Returns how many pings were answered so far.
    pub(super) fn pings(&mut self) -> Result<u64> {
        self.ask("pings")
    }

    fn ask(&mut self, question: &str) -> Result<u64> {
        writeln!(self.asks, "{question}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("the client answers {answer:?}"))
    }

    /// Returns how long the server's threads have run, by the scheduler's own clock.
    pub(super) fn cpu_nanos(&self) -> Result<u64> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.server.id()))? {
            let stat = fs::read_to_string(task?.path().join("schedstat"))?;
            nanos += stat.split(' ').next().context("it has three fields")?.parse::<u64>()?;
        }
        Ok(nanos)
    }

    /// Returns the server's resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.client] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
