//! What `bench` can be told.

mod target;

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::{ArgAction, Subcommand};

pub(super) use self::target::TargetArgs;
use super::{expectation::Expectations, plan::Pace};
use crate::{flag::yes_or_no, period::Period, size::Size};

const AFTER_HELP: &str = "\
The report goes to stdout, progress to stderr if that is a terminal. docs/bench.md says how to read it.

Exit status:
  0  done, and every expectation was held
  1  an expectation (--fail) was not held, or --compare found something worse
  2  wrong usage
  3  no connection: the server refused or could not be reached

Examples:
  everwire bench echo ws://127.0.0.1:8080/echo
  everwire bench echo --rate 5000 --connections 200 --fail 'p99<20ms' --fail 'lost==0' wss://example.com/echo
  everwire bench broadcast --connections 1000 --rate 50 ws://127.0.0.1:8080/chat
  everwire bench --compare before.json after.json";

/// What `bench` was told.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) scenario: Option<Scenario>,

    /// Compares two reports that --json wrote, and says what became better or worse.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    pub(super) compare: Vec<PathBuf>,

    /// Changes up to so many per cent are no changes.
    #[arg(long, value_name = "PERCENT", default_value = "10", requires = "compare")]
    pub(super) tolerance: Percent,

    /// Prints the comparison as JSON.
    #[arg(long, requires = "compare")]
    pub(super) json: bool,
}

/// What is done to the server.
#[derive(Debug, Subcommand)]
pub(super) enum Scenario {
    /// Sends messages to a path that sends them back, and looks at every byte that comes.
    Echo(EchoArgs),
    /// Sends messages to a path that passes them on to everybody, and looks at what everybody has.
    Broadcast(BroadcastArgs),
    /// Opens connections and holds them.
    Idle(IdleArgs),
    /// Opens connections and closes them, again and again.
    Connect(ConnectArgs),
    /// Cuts all connections at once, and lets them come back at once.
    Storm(StormArgs),
    /// A broadcast to which, when half of the time is over, consumers come that do not read.
    Slow(SlowArgs),
}

impl Scenario {
    /// Returns what can be told to each.
    pub(super) fn common(&self) -> &CommonArgs {
        match self {
            Self::Echo(args) => &args.common,
            Self::Broadcast(args) => &args.common,
            Self::Idle(args) => &args.common,
            Self::Connect(args) => &args.common,
            Self::Storm(args) => &args.common,
            Self::Slow(args) => &args.common,
        }
    }
}

/// What `bench echo` was told.
#[derive(Debug, clap::Args)]
pub(super) struct EchoArgs {
    /// How many connections.
    #[arg(short, long, value_name = "N", env = "EVERWIRE_BENCH_CONNECTIONS", default_value = "64")]
    pub(super) connections: NonZeroUsize,

    /// Sends them through sessions (everwire.v1), one for each connection, to compare with an echo
    /// without. The server must offer sessions on the path.
    #[arg(long, env = "EVERWIRE_BENCH_SESSION", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) session: bool,

    #[command(flatten)]
    pub(super) pace: PaceArgs,

    #[command(flatten)]
    pub(super) message: MessageArgs,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What `bench broadcast` was told.
#[derive(Debug, clap::Args)]
pub(super) struct BroadcastArgs {
    /// How many receive. Another connection sends.
    #[arg(
        short,
        long,
        value_name = "N",
        env = "EVERWIRE_BENCH_CONNECTIONS",
        default_value = "100"
    )]
    pub(super) connections: NonZeroUsize,

    #[command(flatten)]
    pub(super) pace: PaceArgs,

    #[command(flatten)]
    pub(super) message: MessageArgs,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What `bench idle` was told.
#[derive(Debug, clap::Args)]
pub(super) struct IdleArgs {
    /// How many connections.
    #[arg(
        short,
        long,
        value_name = "N",
        env = "EVERWIRE_BENCH_CONNECTIONS",
        default_value = "1000"
    )]
    pub(super) connections: NonZeroUsize,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What `bench connect` was told.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// How many are under way at the same time, if there is no --rate.
    #[arg(short, long, value_name = "N", env = "EVERWIRE_BENCH_CONNECTIONS", default_value = "32")]
    pub(super) connections: NonZeroUsize,

    /// Opens so many a second, whatever becomes of those before. Times count from when a connection
    /// was due.
    #[arg(
        short,
        long,
        value_name = "PER_SECOND",
        env = "EVERWIRE_BENCH_RATE",
        conflicts_with = "connections"
    )]
    pub(super) rate: Option<Rate>,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What `bench storm` was told.
#[derive(Debug, clap::Args)]
pub(super) struct StormArgs {
    /// How many connections.
    #[arg(
        short,
        long,
        value_name = "N",
        env = "EVERWIRE_BENCH_CONNECTIONS",
        default_value = "1000"
    )]
    pub(super) connections: NonZeroUsize,

    /// Spreads the first attempts evenly over this time.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_BENCH_SPREAD", default_value = "0s")]
    pub(super) spread: Period,

    /// The pause behind an attempt that failed.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_BENCH_RETRY", default_value = "1s")]
    pub(super) retry: Period,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What `bench slow` was told.
#[derive(Debug, clap::Args)]
pub(super) struct SlowArgs {
    /// How many receive and read at once. Another connection sends.
    #[arg(
        short,
        long,
        value_name = "N",
        env = "EVERWIRE_BENCH_CONNECTIONS",
        default_value = "100"
    )]
    pub(super) connections: NonZeroUsize,

    /// How many receive and read slowly.
    #[arg(long, value_name = "N", env = "EVERWIRE_BENCH_SLOW", default_value = "10")]
    pub(super) slow: NonZeroUsize,

    /// The pause of a slow consumer behind each message [default: it never reads].
    #[arg(long, value_name = "TIME", env = "EVERWIRE_BENCH_PAUSE")]
    pub(super) pause: Option<Period>,

    /// Messages a second.
    #[arg(
        short,
        long,
        value_name = "PER_SECOND",
        env = "EVERWIRE_BENCH_RATE",
        default_value = "100"
    )]
    pub(super) rate: Rate,

    #[command(flatten)]
    pub(super) message: MessageArgs,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

// What can be told to every scenario.
#[derive(Debug, clap::Args)]
pub(super) struct CommonArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    #[command(flatten)]
    pub(super) run: RunArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

// Who sets the pace.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PaceArgs {
    /// How many messages (of a connection, or of the one who sends to all) are under way at the
    /// same time; the next is sent when one is answered. The server then sets the pace, and few
    /// messages see it stall.
    #[arg(long, value_name = "N", env = "EVERWIRE_BENCH_DEPTH", default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=32_768))]
    depth: u32,

    /// Messages a second in all, whether or not answers come, instead of --depth. Latencies count
    /// from when a message was due.
    #[arg(
        short,
        long,
        value_name = "PER_SECOND",
        env = "EVERWIRE_BENCH_RATE",
        conflicts_with = "depth"
    )]
    rate: Option<Rate>,
}

impl PaceArgs {
    pub(super) fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Depth(self.depth), |rate| Pace::Rate(rate.0))
    }
}

// What messages look like.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct MessageArgs {
    /// The size of a message: at least 16 bytes, 32 with --text [default: 32; of slow: 16KiB].
    #[arg(short, long, value_name = "SIZE", env = "EVERWIRE_BENCH_SIZE")]
    pub(super) size: Option<Size>,

    /// Sends texts, which look like JSON and compress as such, instead of random bytes.
    #[arg(long, env = "EVERWIRE_BENCH_TEXT", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) text: bool,
}

// How long, from where, and with what.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunArgs {
    /// How long to measure, once all connections are open.
    #[arg(
        short,
        long,
        value_name = "TIME",
        env = "EVERWIRE_BENCH_DURATION",
        default_value = "10s"
    )]
    pub(super) duration: Period,

    /// Opens the connections evenly over this time [default: as fast as the server takes them].
    #[arg(
        long,
        value_name = "TIME",
        env = "EVERWIRE_BENCH_RAMP",
        default_value = "0s",
        hide_default_value = true
    )]
    pub(super) ramp: Period,

    /// How long to wait for an answer before it is given up.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_BENCH_PATIENCE", default_value = "5s")]
    pub(super) patience: Period,

    /// Threads that make the load. Leave the server a core of its own.
    #[arg(long, value_name = "N", env = "EVERWIRE_BENCH_THREADS", default_value = "1")]
    pub(super) threads: NonZeroUsize,

    /// The server's process, if it runs on this machine: adds its CPU time for a message and its
    /// memory for a connection; may be repeated for a server of several processes.
    #[arg(long = "pid", value_name = "PID", env = "EVERWIRE_BENCH_PID", value_delimiter = ',')]
    pub(super) pids: Vec<u32>,
}

// What is said about it, and what is expected.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(super) struct OutputArgs {
    /// Exits with 1 unless this holds, such as 'p99<20ms', 'lost==0' or 'rate>=5000'; may be
    /// repeated, or several with commas or ends of lines between them.
    #[arg(long = "fail", value_name = "EXPECTATION", env = "EVERWIRE_BENCH_FAIL")]
    pub(super) expectations: Vec<Expectations>,

    /// Reports latencies even if the generator itself was too late for them to be true.
    #[arg(long, env = "EVERWIRE_BENCH_ALLOW_LATE", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) allow_late: bool,

    /// Prints the report as JSON.
    #[arg(long, env = "EVERWIRE_BENCH_JSON", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) json: bool,
}

/// So many a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate(pub(super) f64);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected a number a second such as 5000 or 0.5, at most 100000000";
        let rate: f64 = text.parse().map_err(|_| expected)?;
        if rate > 1e-6 && rate <= 1e8 { Ok(Self(rate)) } else { Err(expected) }
    }
}

/// A share, in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Percent(pub(super) f64);

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim_end_matches('%').trim_end().parse().ok();
        let percent = number.filter(|percent: &f64| *percent >= 0.0 && percent.is_finite());
        percent.map(Self).ok_or("expected a number of per cent such as 10")
    }
}
