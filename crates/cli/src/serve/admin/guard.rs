//! Who may use the admin API.
//!
//! It has no password by default, and every page in a browser on this machine can send requests to
//! it. What a page cannot do is choose the `Host`, `Origin` and `Sec-Fetch-Site` of its requests.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use http::{HeaderMap, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq;

/// The rules of the admin API.
pub(super) struct Guard {
    /// The address that it listens on, which is a name for it too.
    bound: IpAddr,
    hosts: Vec<String>,
    token: Option<String>,
}

impl Guard {
    pub(super) fn new(bound: IpAddr, hosts: Vec<String>, token: Option<String>) -> Self {
        Self { bound, hosts, token }
    }

    /// Checks a request that came in at the address `local`.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn check(&self, request: &Parts, local: Option<IpAddr>) -> Result<(), Refusal> {
        let host = single(&request.headers, header::HOST)?.ok_or(Refusal::Host)?;
        // The target of a request may name a host as well; it counts as much.
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        if ![Some(host), authority].into_iter().flatten().all(|host| self.is_known(host, local)) {
            return Err(Refusal::Host);
        }
        if let Some(origin) = single(&request.headers, header::ORIGIN)?
            && !is_same(origin, host)
        {
            return Err(Refusal::Origin);
        }
        let site = single(&request.headers, header::HeaderName::from_static("sec-fetch-site"))?;
        if matches!(site, Some("cross-site" | "same-site")) {
            return Err(Refusal::Origin);
        }
        self.check_token(single(&request.headers, header::AUTHORIZATION)?)
    }

    /// Returns whether the API may be called by this name. A page under another name, which its
    /// owner lets point to this machine (DNS rebinding), must not reach it.
    fn is_known(&self, host: &str, local: Option<IpAddr>) -> bool {
        if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return true;
        }
        let Some(name) = without_port(host) else { return false };
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let ip = match bracketed {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => name.parse().ok().filter(IpAddr::is_ipv4),
        };
        match ip {
            // Who is bound to every address is called by the one that was connected to.
            Some(ip) if ip.is_loopback() || ip == self.bound || is_local(ip, local) => true,
            _ => {
                name.eq_ignore_ascii_case("localhost")
                    || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }

    fn check_token(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let (scheme, given) = authorization.and_then(|a| a.split_once(' ')).unwrap_or_default();
        let is_right = given.trim().as_bytes().ct_eq(token.as_bytes());
        if scheme.eq_ignore_ascii_case("bearer") && bool::from(is_right) {
            Ok(())
        } else {
            Err(Refusal::Token)
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Returns whether an address is the one that was connected to.
fn is_local(ip: IpAddr, local: Option<IpAddr>) -> bool {
    local.is_some_and(|local| local.to_canonical() == ip.to_canonical())
}

/// Returns the value of a header field that may be there once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| Refusal::Malformed));
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    value.transpose()
}

/// Returns the name in `name:port`; none if the port is not a number.
fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            port.bytes().all(|digit| digit.is_ascii_digit()).then_some(name)
        }
        _ => Some(host),
    }
}

/// Returns whether a page of this origin was served by this host.
fn is_same(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Why a request to the admin API is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A header field is there twice or is not text.
    Malformed,
    /// It was called by a name that is not known.
    Host,
    /// It comes from another site's page.
    Origin,
    /// The token is missing or wrong.
    Token,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "a header field is there twice or is not text",
            Self::Host => "not known by this Host: allow it with --admin-host",
            Self::Origin => "not for pages of other sites",
            Self::Token => "expected the --admin-token as Authorization: Bearer",
        })
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests;
