//! The part of a URL that says whom to talk to: `scheme://[user[:password]@]host[:port]`.
//!
//! The general parser of the `url` crate rewrites what it reads (dot segments, backslashes, stray line
//! breaks), and a server must receive the path the user wrote. So we split by RFC 3986 §3.2 ourselves and
//! leave the hard part, the host with its IDNA and number forms, to [`url::Host`].

use std::fmt;
use std::net::IpAddr;

use url::Host;

use super::credentials::Credentials;

/// A URL cut after its authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// As written; compare it without regard to case.
    pub(super) scheme: &'a str,
    pub(super) credentials: Option<Credentials>,
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    /// Path, query and fragment, exactly as written.
    pub(super) rest: &'a str,
}

impl<'a> Authority<'a> {
    /// Splits `url`, which must start with a scheme.
    ///
    /// # Errors
    /// Every part that breaks RFC 3986 has its own [`UrlError`].
    pub(super) fn parse(url: &'a str) -> Result<Self, UrlError> {
        if let Some(found) = url.chars().find(|c| c.is_control() || *c == ' ') {
            return Err(UrlError::Character { found });
        }
        let (scheme, after) = url.split_once("://").ok_or(UrlError::NoScheme)?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo), host_port),
            None => (None, authority),
        };
        let credentials =
            userinfo.filter(|it| !it.is_empty()).map(Credentials::parse).transpose()?;
        let (host, port) = split_port(host_port)?;
        Ok(Self { scheme, credentials, host: parse_host(host)?, port, rest })
    }
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), UrlError> {
    // A colon inside the brackets of an IPv6 literal does not introduce a port.
    let after_host = host_port.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = host_port[after_host..].find(':') else {
        return Ok((host_port, None));
    };
    let (host, port) = (&host_port[..after_host + colon], &host_port[after_host + colon + 1..]);
    // RFC 3986 §3.2.3 allows the colon without a number; it means the default port.
    if port.is_empty() {
        return Ok((host, None));
    }
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err(UrlError::Port { found: port.to_owned() }),
    }
}

fn parse_host(host: &str) -> Result<Host, UrlError> {
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    Host::parse(host)
        .map_err(|source| UrlError::Host { found: host.to_owned(), source: source.to_string() })
}

/// Returns the host without the brackets of an IPv6 literal, as DNS, SNI and sockets want it.
pub(super) fn bare_host(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    }
}

/// Returns the address if the host is a literal one.
pub(super) fn host_ip(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
    }
}

/// A URL that cannot be dialled, with what was expected in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `://`.
    NoScheme,
    /// The scheme is not one this place understands.
    Scheme {
        /// The scheme that was given.
        found: String,
        /// The schemes that would do.
        expected: &'static str,
    },
    /// Nothing stands where the host belongs.
    NoHost,
    /// The host is neither a name nor an address.
    Host {
        /// The host that was given.
        found: String,
        /// What is wrong with it.
        source: String,
    },
    /// The port is not a number from 1 to 65535.
    Port {
        /// The port that was given.
        found: String,
    },
    /// The user name or password cannot be sent as HTTP basic authentication (RFC 7617 §2).
    Userinfo {
        /// What is wrong; never the secret itself.
        problem: &'static str,
    },
    /// The URL has a fragment, which RFC 6455 §3 forbids.
    Fragment,
    /// The URL holds a space, a line break or another control character.
    Character {
        /// The character.
        found: char,
    },
    /// A proxy URL has a path or a query.
    ProxyPath {
        /// What follows the authority.
        found: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => {
                f.write_str("url has no scheme: expected something like wss://example.com/path")
            }
            Self::Scheme { found, expected } => {
                write!(f, "url scheme \"{found}\" is not supported: expected {expected}")
            }
            Self::NoHost => {
                f.write_str("url has no host: expected something like wss://example.com/path")
            }
            Self::Host { found, source } => {
                write!(
                    f,
                    "url host \"{found}\" is invalid ({source}): expected a name, an IPv4 or a [bracketed IPv6] address"
                )
            }
            Self::Port { found } => {
                write!(f, "url port \"{found}\" is invalid: expected a number from 1 to 65535")
            }
            Self::Userinfo { problem } => write!(f, "url credentials are invalid: {problem}"),
            Self::Fragment => f.write_str(
                "url has a fragment, which a websocket url must not have: write # as %23",
            ),
            Self::Character { found } => {
                write!(
                    f,
                    "url contains the character {found:?}: expected it percent-encoded or removed"
                )
            }
            Self::ProxyPath { found } => {
                write!(f, "proxy url ends in \"{found}\": expected nothing after the host and port")
            }
        }
    }
}

impl std::error::Error for UrlError {}
