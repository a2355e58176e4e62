//! The way through a proxy: which one to take, and how to ask it for a tunnel.

mod environment;
mod http_connect;
mod no_proxy;
mod socks5;
mod url;

use std::{error, fmt, io};

pub(super) use self::http_connect::connect as http_connect;
pub(super) use self::socks5::{Destination, connect as socks5_connect};

pub use self::environment::ProxyEnvironment;
pub use self::http_connect::ConnectRefused;
pub use self::url::{ProxyScheme, ProxyUrl};

use super::authority::UrlError;
use super::error::{ConnectFailure, DialError};
use super::target::Target;
use crate::tls::TlsError;

/// Which proxy to use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyConfig {
    /// None: connect directly.
    Direct,
    /// What the environment says, for each target.
    Environment(ProxyEnvironment),
    /// This one, for every target, loopback included.
    Url(ProxyUrl),
}

impl ProxyConfig {
    /// Returns the proxy for `target`, or `None` if it is to be reached directly.
    ///
    /// # Errors
    /// See [`ProxyEnvironment::proxy_for`].
    pub fn proxy_for(&self, target: &Target) -> Result<Option<&ProxyUrl>, DialError> {
        match self {
            Self::Direct => Ok(None),
            Self::Environment(environment) => environment.proxy_for(target),
            Self::Url(url) => Ok(Some(url)),
        }
    }
}

/// Why there is no tunnel through the proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The variable of the environment holds no proxy URL.
    Url(UrlError),
    /// The proxy's own name could not be resolved.
    Resolve(io::Error),
    /// No address of the proxy accepted a connection.
    Connect(ConnectFailure),
    /// TLS could not be set up with the proxy.
    Tls(TlsError),
    /// The proxy answered CONNECT with something else than 2xx.
    Refused(Box<ConnectRefused>),
    /// The proxy's answer is longer than we accept.
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The proxy answered with something that is not its protocol.
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The SOCKS5 proxy accepts none of the ways to log in that we offered.
    NoAcceptableAuth {
        /// Whether a user name and a password were among them.
        offered_credentials: bool,
    },
    /// The SOCKS5 proxy refused the user name and password.
    AuthRefused,
    /// The user name, the password or the host is too long for SOCKS5.
    TooLong {
        /// Which of them.
        what: &'static str,
    },
    /// The SOCKS5 proxy refused the connection. See RFC 1928 §6.
    Socks5Refused {
        /// The reply field.
        reply: u8,
    },
    /// The connection to the proxy broke.
    Io(io::Error),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(source) => source.fmt(f),
            Self::Resolve(source) => write!(f, "could not be resolved: {source}"),
            Self::Connect(source) => source.fmt(f),
            Self::Tls(source) => source.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::HeadTooLarge { limit } => {
                write!(f, "response head exceeds the limit of {limit} bytes")
            }
            Self::Malformed { problem } => write!(f, "malformed response: {problem}"),
            Self::NoAcceptableAuth { offered_credentials: true } => {
                f.write_str("accepts no user name and password")
            }
            Self::NoAcceptableAuth { offered_credentials: false } => {
                f.write_str("asks for a user name and password")
            }
            Self::AuthRefused => f.write_str("refused the user name and password"),
            Self::TooLong { what } => write!(f, "{what} exceeds the limit of 255 bytes in socks5"),
            Self::Socks5Refused { reply } => {
                write!(f, "refused the connection: {} (reply {reply})", socks5::reply_text(*reply))
            }
            Self::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("closed the connection in the middle of its answer")
            }
            Self::Io(source) => write!(f, "connection failed: {source}"),
        }
    }
}

impl error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Resolve(source) | Self::Io(source) => error::Error::source(source),
            Self::Tls(source) => error::Error::source(source),
            _ => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}
