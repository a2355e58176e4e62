//! What `serve` can be told. Every option is also a variable of the environment.

mod admin;
mod session;
mod shutdown;
mod tls;
mod trust;

use std::num::NonZeroUsize;

use anyhow::ensure;
use everwire::{
    Config, MaxAge,
    session::{SessionConfig, SessionsBuilder},
};

pub(super) use self::admin::{AdminAddr, AdminArgs};
use self::{session::SessionArgs, shutdown::ShutdownArgs, tls::TlsArgs, trust::TrustArgs};
use super::{listen::ListenAddr, log::LogFilter};
use crate::{
    deflate::DeflateArg,
    number::whole,
    period::{KeepaliveArg, Period, some_time},
    size::Size,
};

/// What `serve` was told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen: ADDR:PORT or unix:/path; may be given several times, or several with
    /// commas between them. Sockets that systemd passes on are used as well [default:
    /// 127.0.0.1:8080, unless systemd passed one on].
    #[arg(long, value_name = "ADDR:PORT", env = "EVERWIRE_LISTEN", value_delimiter = ',')]
    pub(super) listen: Vec<ListenAddr>,

    /// Threads that serve connections [default: the number of cores].
    #[arg(
        long,
        value_name = "N",
        env = "EVERWIRE_THREADS",
        value_parser = whole(1_usize..=1024)
    )]
    threads: Option<usize>,

    /// The lowest level that is logged to stderr: error, warn, info, debug or trace; or a filter
    /// such as everwire=debug.
    #[arg(long, value_name = "LEVEL", env = "EVERWIRE_LOG", default_value = "warn")]
    pub(super) log: LogFilter,

    #[command(flatten)]
    pub(super) admin: AdminArgs,

    #[command(flatten)]
    pub(super) tls: TlsArgs,

    #[command(flatten)]
    pub(super) trust: TrustArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    deflate: DeflateArgs,

    #[command(flatten)]
    sessions: SessionArgs,

    #[command(flatten)]
    pub(super) shutdown: ShutdownArgs,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// The largest message that a client may send.
    #[arg(long, value_name = "SIZE", env = "EVERWIRE_MAX_MESSAGE", default_value = "1MiB")]
    max_message: Size,

    /// How many connections there may be [default: 90 % of the descriptors].
    #[arg(
        long,
        value_name = "N",
        env = "EVERWIRE_MAX_CONNECTIONS",
        value_parser = whole(1_usize..)
    )]
    max_connections: Option<usize>,

    /// How many connections one address may have [default: any number].
    #[arg(
        long,
        value_name = "N",
        env = "EVERWIRE_MAX_CONNECTIONS_PER_ADDRESS",
        value_parser = whole(1_usize..)
    )]
    max_connections_per_address: Option<usize>,

    /// At what age connections are closed, give or take a tenth, and clients asked to come back
    /// within 5s, each at a moment of its own [default: never].
    #[arg(
        long,
        value_name = "DURATION",
        env = "EVERWIRE_MAX_AGE",
        value_parser = some_time
    )]
    max_age: Option<Period>,

    /// After how much silence a client is pinged and how long it then has to show life; fast
    /// notices a dead client within 5s, standard is 25s/20s.
    #[arg(
        long,
        value_name = "INTERVAL/TIMEOUT|fast|standard|off",
        env = "EVERWIRE_KEEPALIVE",
        default_value = "25s/20s"
    )]
    keepalive: KeepaliveArg,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Compression")]
struct DeflateArgs {
    /// Compresses messages for clients that offer permessage-deflate. Shared: each message by itself,
    /// at no cost in memory. Dedicated: with what went before it, for up to 8 or 36 KiB a
    /// connection. Not for messages that hold a secret beside text of somebody else's: their length
    /// tells.
    #[arg(
        long,
        value_name = "shared|dedicated|off",
        env = "EVERWIRE_DEFLATE",
        default_value = "off"
    )]
    deflate: DeflateArg,

    /// The smallest message that is compressed.
    #[arg(
        long,
        value_name = "SIZE",
        env = "EVERWIRE_DEFLATE_THRESHOLD",
        default_value = "512",
        requires = "deflate"
    )]
    deflate_threshold: Size,
}

impl Args {
    /// Checks what single options cannot know; the most descriptors are `descriptors`, if there is a
    /// limit.
    ///
    /// # Errors
    /// Two contradict each other, or what is asked for cannot be had.
    pub(super) fn check(&self, descriptors: Option<u64>) -> anyhow::Result<()> {
        self.admin.check()?;
        self.sessions.check()?;
        if let (Some(connections), Some(limit)) = (self.limits.max_connections, descriptors) {
            ensure!(
                connections as u64 <= limit,
                "{connections} connections need as many descriptors, and the limit is {limit}: raise it \
                 (ulimit -Hn, or LimitNOFILE= of systemd), or lower --max-connections"
            );
        }
        Ok(())
    }

    pub(super) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.unwrap_or_else(cores)
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::default();
        config.limits.message = self.limits.max_message.0;
        config.keepalive = self.limits.keepalive.0;
        config.deflate = self.deflate.deflate.config(self.deflate.deflate_threshold.0);
        config.max_age = self.limits.max_age.map(|Period(age)| MaxAge::new(age));
        config
    }

    /// Begins to describe the sessions of a path that has these needs; `None` if there are to be none.
    pub(super) fn sessions(&self, config: SessionConfig) -> Option<SessionsBuilder> {
        self.sessions.builder(self.limits.max_message.0, config)
    }

    pub(super) fn has_sessions(&self) -> bool {
        !self.sessions.no_sessions
    }

    pub(super) fn max_connections(&self) -> [Option<usize>; 2] {
        [self.limits.max_connections, self.limits.max_connections_per_address]
    }
}
