//! A server with many connections is told to end.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

/// The code that asks clients to come back.
const NOTICE: u16 = 1012;

/// How long a connection may take to open, and the server to end after its deadline.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that are being opened at the same time; more than a server accepts at once.
const OPENING: usize = 500;

/// What is measured.
pub(crate) struct Scenario {
    pub(crate) server: PathBuf,
    pub(crate) n_connections: usize,
    pub(crate) rate: u32,
    pub(crate) deadline: u64,
}

/// What one connection saw.
#[derive(Clone, Copy)]
struct Seen {
    /// The code of the Close, and when it came.
    close: Option<(u16, Instant)>,
    is_reset: bool,
    ended: Instant,
}

/// What all of them saw.
pub(crate) struct Outcome {
    told: usize,
    other_codes: usize,
    resets: usize,
    first: Duration,
    last: Duration,
    ended: Duration,
    exited: Duration,
    said: String,
}

impl Scenario {
    pub(crate) fn run(&self) -> Result<Outcome> {
        raise_limit()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.measure())
    }

    async fn measure(&self) -> Result<Outcome> {
        let mut server = Command::new(&self.server)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .args(["--drain-rate", &self.rate.to_string()])
            .args(["--drain-deadline", &format!("{}s", self.deadline)])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.server.display()))?;
        let mut lines = BufReader::new(server.stdout.take().context("it was asked for")?).lines();
        let first = lines.next_line().await?.context("the server says nothing")?;
        let addr = address(&first).with_context(|| format!("no address in {first:?}"))?;
        let connections = self.open(addr).await?;
        let watching: Vec<_> = connections.into_iter().map(|io| tokio::spawn(watch(io))).collect();
        let start = Instant::now();
        terminate(&server)?;
        let mut seen = Vec::new();
        for watching in watching {
            seen.push(watching.await?);
        }
        timeout(Duration::from_secs(self.deadline) + PATIENCE, server.wait())
            .await
            .context("the server does not end")??;
        let exited = start.elapsed();
        let said = lines.next_line().await?.unwrap_or_default();
        Ok(Outcome::new(&seen, start, exited, said))
    }

    async fn open(&self, addr: SocketAddr) -> Result<Vec<TcpStream>> {
        let mut connections = Vec::with_capacity(self.n_connections);
        while connections.len() < self.n_connections {
            let n = OPENING.min(self.n_connections - connections.len());
            let opening: Vec<_> = (0..n).map(|_| tokio::spawn(open(addr))).collect();
            for opening in opening {
                connections.push(timeout(PATIENCE, opening).await???);
            }
        }
        Ok(connections)
    }
}

async fn open(addr: SocketAddr) -> Result<TcpStream> {
    let mut io = TcpStream::connect(addr).await?;
    io.write_all(
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(io.read_buf(&mut head).await? > 0, "the server refuses connections");
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(io)
}

/// Waits for a Close, answers it, and reads to the end.
async fn watch(mut io: TcpStream) -> Seen {
    let mut seen = Seen { close: None, is_reset: false, ended: Instant::now() };
    let mut bytes = Vec::new();
    loop {
        match io.read_buf(&mut bytes).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => {
                seen.is_reset = true;
                break;
            }
        }
        // Nothing else is sent to a connection on which nothing happens, in so short a time.
        if let (None, [0x88, _, high, low, ..]) = (seen.close, &bytes[..]) {
            let code = u16::from_be_bytes([*high, *low]);
            seen.close = Some((code, Instant::now()));
            // Masked with zeros.
            let answer = [0x88, 0x82, 0, 0, 0, 0, *high, *low];
            seen.is_reset |= io.write_all(&answer).await.is_err();
        }
    }
    seen.ended = Instant::now();
    seen
}

impl Outcome {
    fn new(seen: &[Seen], start: Instant, exited: Duration, said: String) -> Self {
        let closes = || seen.iter().filter_map(|seen| seen.close);
        let told = closes().filter(|(code, _)| *code == NOTICE).count();
        let after = |when: Option<Instant>| when.map_or(Duration::ZERO, |when| when - start);
        Self {
            told,
            other_codes: closes().count() - told,
            resets: seen.iter().filter(|seen| seen.is_reset).count(),
            first: after(closes().map(|(_, when)| when).min()),
            last: after(closes().map(|(_, when)| when).max()),
            ended: after(seen.iter().map(|seen| seen.ended).max()),
            exited,
            said,
        }
    }

    pub(crate) fn table(&self, scenario: &Scenario) -> String {
        let mut table = String::from("| drain | |\n|---|---:|\n");
        let mut row = |what: &str, value: String| {
            writeln!(table, "| {what} | {value} |").expect("a string takes everything");
        };
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        row("connections", scenario.n_connections.to_string());
        row("rate", format!("{} a second", scenario.rate));
        row("deadline", format!("{} s", scenario.deadline));
        row(&format!("saw the close code {NOTICE}"), self.told.to_string());
        row("saw another code", self.other_codes.to_string());
        row("resets", self.resets.to_string());
        row("first Close after", seconds(self.first));
        row("last Close after", seconds(self.last));
        row("last end after", seconds(self.ended));
        row("the server has exited after", seconds(self.exited));
        row("it said", self.said.clone());
        table
    }

    /// Checks what was promised.
    pub(crate) fn check(&self, scenario: &Scenario) -> Result<()> {
        let n = scenario.n_connections;
        ensure!(self.told == n, "{} of {n} saw the close code {NOTICE}", self.told);
        ensure!(self.resets == 0, "{} connections were reset", self.resets);
        let deadline = Duration::from_secs(scenario.deadline);
        ensure!(self.ended <= deadline, "the last end came after {:?}", self.ended);
        let expected = format!("closed {n} connections cleanly, cut 0");
        if self.said != expected {
            bail!("the server said {:?} instead of {expected:?}", self.said);
        }
        Ok(())
    }
}

fn terminate(server: &Child) -> Result<()> {
    let id = server.id().context("the server has ended by itself")?;
    let pid = Pid::from_raw(i32::try_from(id)?).context("a process has an id")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Returns the address in a line with a URL.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("://")?;
    rest.split_once('/')?.0.parse().ok()
}

/// Lets this process have as many descriptors as the system allows it; its children inherit that.
pub(crate) fn raise_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
