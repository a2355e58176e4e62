//! Which server, and how it is reached.

use std::net::IpAddr;

use crate::{
    deflate::DeflateArg,
    destination::Destination,
    period::{KeepaliveArg, Period},
};

// The server and the way to it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connections")]
pub(in crate::bench) struct TargetArgs {
    #[command(flatten)]
    pub(in crate::bench) destination: Destination,

    /// Connects from these addresses in turn: one has some 28,000 ports for one server.
    #[arg(
        long = "source",
        value_name = "ADDR",
        env = "EVERWIRE_BENCH_SOURCE",
        value_delimiter = ','
    )]
    pub(in crate::bench) sources: Vec<IpAddr>,

    /// Time until a connection is open.
    #[arg(long, value_name = "TIME", env = "EVERWIRE_CONNECT_TIMEOUT", default_value = "10s")]
    pub(in crate::bench) connect_timeout: Period,

    /// After how much silence the server is pinged and how long it then has to show life. Off by
    /// default, so that nothing is sent but what was asked for; the server's own Pings are answered.
    #[arg(
        long,
        value_name = "INTERVAL/TIMEOUT|fast|standard|off",
        env = "EVERWIRE_BENCH_KEEPALIVE",
        default_value = "off"
    )]
    pub(in crate::bench) keepalive: KeepaliveArg,

    /// Offers to compress messages (permessage-deflate), each by itself (shared) or with what went
    /// before it (dedicated), and compresses all it sends. Of --text, which compresses as JSON does.
    #[arg(
        long,
        value_name = "shared|dedicated|off",
        env = "EVERWIRE_BENCH_DEFLATE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "off",
        default_missing_value = "dedicated"
    )]
    pub(in crate::bench) deflate: DeflateArg,
}
