//! The proxies whose word counts.

use std::error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use tokio::io::AsyncRead;

use super::client_info::ClientInfo;
use super::proxy_protocol::{ProxyHeader, ProxyProtocolError, read_proxy_header};
use super::{forwarded, x_forwarded};

/// Which headers the proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedSource {
    /// `X-Forwarded-For` if it is there, else `Forwarded`.
    ///
    /// Nearly all proxies write the first and pass the second on as they got it, so the first wins. If yours
    /// write only `Forwarded`, say so: a client could otherwise send an `X-Forwarded-For` of its own.
    #[default]
    Either,
    /// Only `Forwarded` of RFC 7239.
    Forwarded,
    /// Only `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    XForwarded,
}

/// The networks of the proxies in front of the server. Empty by default: then no header is believed.
///
/// # Examples
/// ```
/// # use everwire::trust::TrustedProxies;
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "2001:db8::1"])?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.2.0.1".parse()?);
///
/// let client = proxies.client_info("10.1.0.1:4711".parse()?, &headers);
/// assert_eq!(client.addr.to_string(), "203.0.113.7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    nets: Vec<IpNet>,
    source: ForwardedSource,
}

impl TrustedProxies {
    /// Parses networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    /// [`NetError`] with the first entry that is neither.
    pub fn parse<'a>(nets: impl IntoIterator<Item = &'a str>) -> Result<Self, NetError> {
        let nets: Result<_, _> = nets.into_iter().map(parse_net).collect();
        Ok(Self { nets: nets?, source: ForwardedSource::default() })
    }

    /// Says which headers the proxies write.
    #[must_use]
    pub fn with_source(mut self, source: ForwardedSource) -> Self {
        self.source = source;
        self
    }

    /// Returns whether `addr` is one of the proxies. An IPv4 address counts the same when it is mapped into IPv6.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.nets.iter().any(|net| net.contains(&addr))
    }

    /// Finds out who sent a request that came from `peer` with `headers`.
    ///
    /// If `peer` is not trusted, the answer is `peer` and the headers are not looked at. Otherwise the hops are
    /// walked from the right, past trusted proxies, to the first address that is none of them. A malformed,
    /// hidden or unknown hop ends the walk at the proxy that passed it on; nothing a client writes can make
    /// this fail or name an address that no trusted proxy has seen. If all hops are trusted, the leftmost is
    /// the client.
    pub fn client_info(&self, peer: SocketAddr, headers: &HeaderMap) -> ClientInfo {
        if !self.contains(peer.ip()) {
            return ClientInfo::direct(peer);
        }
        let has_x_forwarded = headers.contains_key(x_forwarded::FOR);
        match self.source {
            ForwardedSource::Forwarded => forwarded::client_info(self, peer, headers),
            ForwardedSource::Either
                if !has_x_forwarded && headers.contains_key(http::header::FORWARDED) =>
            {
                forwarded::client_info(self, peer, headers)
            }
            ForwardedSource::Either | ForwardedSource::XForwarded => {
                x_forwarded::client_info(self, peer, headers)
            }
        }
    }

    /// Reads the PROXY protocol header if `peer` is trusted; otherwise reads nothing and returns `None`.
    ///
    /// Not a byte beyond the header is read. It has no deadline of its own: count it towards that of the
    /// opening handshake.
    ///
    /// # Errors
    /// A trusted peer that sends no header, or a bad one: the specification forbids guessing, so the connection
    /// must be closed.
    ///
    /// # Cancel safety
    /// Not cancel-safe: after a cancelled call, drop the stream.
    pub async fn read_proxy_header<S>(
        &self,
        peer: SocketAddr,
        stream: &mut S,
    ) -> Result<Option<ProxyHeader>, ProxyProtocolError>
    where
        S: AsyncRead + Unpin,
    {
        if self.contains(peer.ip()) { read_proxy_header(stream).await.map(Some) } else { Ok(None) }
    }
}

fn parse_net(text: &str) -> Result<IpNet, NetError> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| NetError { found: text.to_owned() })
}

/// A network that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError {
    found: String,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not a network: expected something like 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32",
            self.found
        )
    }
}

impl error::Error for NetError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::ForwardedProto;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(source: ForwardedSource, lines: &[(&'static str, &str)], expected: &str) {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap().with_source(source);
        let info = proxies.client_info("10.0.0.1:99".parse().unwrap(), &headers(lines));
        assert_eq!(info.addr, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn an_untrusted_peer_speaks_only_for_itself() {
        let headers =
            headers(&[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2;proto=https")]);
        let peer = "203.0.113.1:99".parse().unwrap();
        for proxies in [TrustedProxies::default(), TrustedProxies::parse(["10.0.0.0/8"]).unwrap()] {
            assert_eq!(proxies.client_info(peer, &headers), ClientInfo::direct(peer));
        }
    }

    #[test]
    fn x_forwarded_wins_unless_told_otherwise() {
        let both = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")];
        check(ForwardedSource::Either, &both, "1.1.1.1");
        check(ForwardedSource::Either, &both[1..], "2.2.2.2");
        check(ForwardedSource::Forwarded, &both, "2.2.2.2");
        check(ForwardedSource::XForwarded, &both, "1.1.1.1");
        check(ForwardedSource::XForwarded, &both[1..], "10.0.0.1");
        check(ForwardedSource::Forwarded, &both[..1], "10.0.0.1");
    }

    #[test]
    fn a_peer_mapped_into_ipv6_is_the_same_peer() {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let headers = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")]);
        let info = proxies.client_info("[::ffff:10.0.0.1]:99".parse().unwrap(), &headers);
        assert_eq!(
            (info.addr.to_string().as_str(), info.proto),
            ("1.1.1.1", Some(ForwardedProto::Https))
        );
    }

    #[test]
    fn networks_and_single_addresses_are_accepted() {
        let proxies = TrustedProxies::parse(["192.0.2.1", "2001:db8::/32"]).unwrap();
        let contains = |addr: &str| proxies.contains(addr.parse().unwrap());
        assert!(contains("192.0.2.1") && contains("2001:db8::5"));
        assert!(!contains("192.0.2.2") && !contains("::1"));
        let message = TrustedProxies::parse(["nope/8"]).unwrap_err().to_string();
        assert!(message.starts_with("\"nope/8\" is not a network: expected"), "{message}");
    }

    #[tokio::test]
    async fn the_proxy_header_is_read_only_from_trusted_peers() {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let mut stream = &b"PROXY UNKNOWN\r\nGET"[..];
        let untrusted = proxies.read_proxy_header("11.0.0.1:1".parse().unwrap(), &mut stream).await;
        assert_eq!((untrusted.unwrap(), stream.len()), (None, 18));
        let trusted = proxies.read_proxy_header("10.0.0.1:1".parse().unwrap(), &mut stream).await;
        assert!(trusted.unwrap().is_some());
        assert_eq!(stream, b"GET");
    }
}
