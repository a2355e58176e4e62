//! Why no connection came about, before any WebSocket byte was sent.

use std::net::SocketAddr;
use std::time::Duration;
use std::{error, fmt, io};

use super::authority::UrlError;
use super::phase::Phase;
use super::proxy::ProxyError;
use crate::tls::TlsError;

/// The reason a [`Dialer`](super::Dialer) has no stream to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The URL cannot be dialled. Trying again is pointless.
    Url(UrlError),
    /// The server's name could not be resolved.
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the server accepted a connection.
    Connect(ConnectFailure),
    /// The [connector](super::Dialer::with_connector) had no stream to give.
    Connector {
        /// The host that it was asked for.
        host: String,
        /// The port that it was asked for.
        port: u16,
        /// What it said.
        source: io::Error,
    },
    /// The way through the proxy failed.
    Proxy {
        /// The proxy without its credentials, or the environment variable that names it.
        proxy: String,
        /// What went wrong.
        source: ProxyError,
    },
    /// TLS could not be set up with the server.
    Tls(TlsError),
    /// The deadline over all phases passed.
    Timeout {
        /// What was going on.
        phase: Phase,
        /// The time that was allowed.
        after: Duration,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(source) => source.fmt(f),
            Self::Resolve { host, source } => write!(f, "could not resolve {host}: {source}"),
            Self::Connect(source) => source.fmt(f),
            Self::Connector { host, port, source } => {
                write!(f, "the connector opened no stream to {host} port {port}: {source}")
            }
            Self::Proxy { proxy, source } => write!(f, "proxy {proxy}: {source}"),
            Self::Tls(source) => source.fmt(f),
            Self::Timeout { phase, after } => write!(f, "timed out after {after:?} in the {phase}"),
        }
    }
}

impl error::Error for DialError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // Where the message repeats the inner error, the chain goes on below it, so that no text appears twice.
        match self {
            Self::Url(_) | Self::Timeout { .. } => None,
            Self::Resolve { source, .. } | Self::Connector { source, .. } => {
                error::Error::source(source)
            }
            Self::Connect(source) => error::Error::source(source),
            Self::Proxy { source, .. } => error::Error::source(source),
            Self::Tls(source) => error::Error::source(source),
        }
    }
}

impl From<UrlError> for DialError {
    fn from(source: UrlError) -> Self {
        Self::Url(source)
    }
}

impl From<TlsError> for DialError {
    fn from(source: TlsError) -> Self {
        Self::Tls(source)
    }
}

/// Every address that was tried, and why it failed.
#[derive(Debug)]
pub struct ConnectFailure {
    /// The attempts in the order in which they failed; never empty.
    pub attempts: Vec<(SocketAddr, io::Error)>,
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not connect")?;
        for (idx, (addr, source)) in self.attempts.iter().enumerate() {
            write!(f, "{} {addr}: {source}", if idx == 0 { " to" } else { ", to" })?;
        }
        Ok(())
    }
}

impl error::Error for ConnectFailure {}
