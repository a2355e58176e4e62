//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;

use crate::driver::Until;
use crate::template::{Carrier, Kind, STAMP_LEN};

const USAGE: &str = "\
usage: load --url ws://127.0.0.1:PORT/path [options]
  --connections N   connections (64)
  --at-a-time W     so many of them at a time, all in turn (all)
  --depth D         messages a connection has in flight, sent in one write (1)
  --size S          payload bytes of a message, at least 16 (16)
  --kind K          binary, or text: multi-byte UTF-8 (binary)
  --messages N      stop after exactly N messages in all
  --seconds S       or: stop after S seconds, echoes in flight counted (3)
  --idle N          or: open N connections and hold them until standard input ends
    --warm W        before the first memory reading, W connections do the same (0)
    --first S[,S]   each connection exchanges one message of each size, then idles
  --fan-out         the first connection speaks to all, who receive its messages; a message received counts as one
  --session         through sessions: messages are frames of everwire.v1, acknowledged by the 64 and not by time
  --raw             no WebSocket: the same bytes to a TCP echo, and the same back
  --pid P           read the server's CPU clock and resident memory";

/// What to do, and how much of it.
#[derive(Debug)]
pub struct Options {
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
    pub connections: usize,
    pub at_a_time: usize,
    pub depth: u64,
    pub size: usize,
    pub kind: Kind,
    pub carrier: Carrier,
    pub fan_out: bool,
    pub pid: Option<i32>,
    pub mode: Mode,
}

#[derive(Debug)]
pub enum Mode {
    Echo(Until),
    Idle { connections: usize, warm: usize, first: Vec<usize> },
}

impl Options {
    pub fn from_args() -> Result<Self> {
        let mut args = Arguments::from_env();
        if args.contains(["-h", "--help"]) {
            println!("{USAGE}");
            std::process::exit(0);
        }
        let url: String = args.value_from_str("--url").context("try --help")?;
        let rest = url.strip_prefix("ws://").context("the URL must start with ws://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = host.to_socket_addrs()?.next().context("the host has no address")?;

        let first: Option<String> = args.opt_value_from_str("--first")?;
        let first = first
            .iter()
            .flat_map(|list| list.split(','))
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let warm = args.opt_value_from_str("--warm")?.unwrap_or(0);
        let idle: Option<usize> = args.opt_value_from_str("--idle")?;
        let messages: Option<u64> = args.opt_value_from_str("--messages")?;
        let seconds: Option<f64> = args.opt_value_from_str("--seconds")?;
        let mode = match (idle, messages, seconds) {
            (Some(connections), None, None) => Mode::Idle { connections, warm, first },
            (None, Some(n), None) => Mode::Echo(Until::Messages(n)),
            (None, None, seconds) => {
                Mode::Echo(Until::Elapsed(Duration::try_from_secs_f64(seconds.unwrap_or(3.0))?))
            }
            _ => bail!("--messages, --seconds and --idle exclude each other"),
        };

        let connections = args.opt_value_from_str("--connections")?.unwrap_or(64);
        let options = Self {
            address,
            host: host.to_owned(),
            path: format!("/{path}"),
            connections,
            at_a_time: args.opt_value_from_str("--at-a-time")?.unwrap_or(connections),
            depth: args.opt_value_from_str("--depth")?.unwrap_or(1),
            size: args.opt_value_from_str("--size")?.unwrap_or(STAMP_LEN),
            kind: args.opt_value_from_str("--kind")?.unwrap_or(Kind::Binary),
            carrier: match (args.contains("--raw"), args.contains("--session")) {
                (false, false) => Carrier::WebSocket,
                (true, false) => Carrier::Raw,
                (false, true) => Carrier::Session,
                (true, true) => bail!("--raw and --session exclude each other"),
            },
            fan_out: args.contains("--fan-out"),
            pid: args.opt_value_from_str("--pid")?,
            mode,
        };
        let left = args.finish();
        if !left.is_empty() {
            bail!("unknown arguments {left:?}\n{USAGE}");
        }
        options.check()
    }

    fn check(self) -> Result<Self> {
        let first: &[usize] = if let Mode::Idle { first, .. } = &self.mode { first } else { &[] };
        if first.iter().chain([&self.size]).any(|&size| size < STAMP_LEN) {
            bail!(
                "a message needs at least {STAMP_LEN} bytes for its connection and sequence number"
            );
        }
        if self.connections == 0 || self.at_a_time == 0 || self.depth == 0 {
            bail!("--connections, --at-a-time and --depth must be at least 1");
        }
        Ok(self)
    }
}
