//! Which server, and how it is reached: as `connect` is told.

use std::{net::IpAddr, path::PathBuf};

use clap::{ArgAction, builder::FalseyValueParser};
use everwire::dial::ProxyUrl;
use http::HeaderValue;

use crate::{
    connect::Header,
    deflate::DeflateArg,
    period::{KeepaliveArg, Period},
};

/// The server and the way to it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connections")]
pub(in crate::bench) struct TargetArgs {
    /// What to load, such as `ws://127.0.0.1:8080/echo`.
    #[arg(env = "EVERWIRE_URL", hide_env_values = true)]
    pub(in crate::bench) url: String,

    /// Sends a header with the opening handshake; may be repeated.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        env = "EVERWIRE_HEADER",
        hide_env_values = true
    )]
    pub(in crate::bench) headers: Vec<Header>,

    /// Offers a subprotocol; may be repeated, the preferred one first.
    #[arg(long = "subprotocol", value_name = "NAME", env = "EVERWIRE_SUBPROTOCOL")]
    pub(in crate::bench) subprotocols: Vec<String>,

    /// Connects as if from a page of this origin.
    #[arg(long, value_name = "ORIGIN", env = "EVERWIRE_CONNECT_ORIGIN")]
    pub(in crate::bench) origin: Option<HeaderValue>,

    /// Accepts every certificate. The connection is then secret from nobody.
    #[arg(
        short = 'k',
        long,
        alias = "insecure",
        env = "EVERWIRE_DANGER_ACCEPT_ANY_CERTIFICATE",
        value_parser = FalseyValueParser::new(),
        action = ArgAction::SetTrue,
        conflicts_with = "ca"
    )]
    pub(in crate::bench) danger_accept_any_certificate: bool,

    /// Trusts the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CA")]
    pub(in crate::bench) ca: Option<PathBuf>,

    /// Shows the certificate in this PEM file to the server.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_CERT", requires = "key")]
    pub(in crate::bench) cert: Option<PathBuf>,

    /// The key of --cert, a PEM file.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_KEY", requires = "cert")]
    pub(in crate::bench) key: Option<PathBuf>,

    /// Connects through this proxy (http, https, socks5, socks5h) instead of the environment's.
    #[arg(long, value_name = "URL", env = "EVERWIRE_PROXY", hide_env_values = true)]
    pub(in crate::bench) proxy: Option<ProxyUrl>,

    /// Connects directly, whatever the environment says.
    #[arg(
        long,
        env = "EVERWIRE_NO_PROXY",
        value_parser = FalseyValueParser::new(),
        action = ArgAction::SetTrue,
        conflicts_with = "proxy"
    )]
    pub(in crate::bench) no_proxy: bool,

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
