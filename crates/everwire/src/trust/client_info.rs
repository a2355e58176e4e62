//! What is known about a client behind proxies, and how the hops are walked to find it.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;

use super::TrustedProxies;

/// The protocol the client spoke to the outermost trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardedProto {
    /// Without TLS: `http` or `ws`.
    Http,
    /// With TLS: `https` or `wss`.
    Https,
}

impl ForwardedProto {
    /// Parses a scheme without regard to case. Anything else is `None`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some(Self::Http),
            "https" | "wss" => Some(Self::Https),
            _ => None,
        }
    }
}

/// The client, as far as trusted proxies vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The address of the client: the last one on the way back that no untrusted party could invent.
    pub addr: IpAddr,
    /// The port of the client, if it is known. It belongs to `addr`.
    pub port: Option<u16>,
    /// The host the client asked for, `host` or `host:port`, where a proxy says it rewrote `Host`.
    pub host: Option<String>,
    /// The protocol the client used, where a proxy says so.
    pub proto: Option<ForwardedProto>,
}

impl ClientInfo {
    /// Describes a client that connected directly.
    pub(super) fn direct(peer: SocketAddr) -> Self {
        Self { addr: peer.ip().to_canonical(), port: Some(peer.port()), host: None, proto: None }
    }
}

/// One hop as a header names it. `None` if it is hidden (`unknown`, `_gateway`) or not an address at all.
pub(super) type Node = Option<(IpAddr, Option<u16>)>;

/// Walks from the nearest hop outwards, past trusted proxies, and returns the client with the number of nodes
/// it took.
///
/// `nodes` begins with the rightmost. The walk ends at the first address that is not a trusted proxy. It also
/// ends before a node that is not an address: who wrote what lies behind it cannot be known, so the proxy that
/// passed it on stands for the client.
pub(super) fn walk(
    proxies: &TrustedProxies,
    peer: SocketAddr,
    nodes: impl IntoIterator<Item = Node>,
) -> (ClientInfo, usize) {
    let mut client = ClientInfo::direct(peer);
    let mut taken = 0;
    for node in nodes {
        let Some((addr, port)) = node.filter(|_| proxies.contains(client.addr)) else {
            break;
        };
        client.addr = addr;
        client.port = port;
        taken += 1;
    }
    (client, taken)
}

/// Parses an address with an optional port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
pub(super) fn parse_node(text: &str) -> Node {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some((addr.to_canonical(), None));
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some((addr.ip().to_canonical(), Some(addr.port())));
    }
    let addr: IpAddr = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    addr.is_ipv6().then(|| (addr.to_canonical(), None))
}

/// Accepts what may stand in a `Host` header and nothing else.
pub(super) fn parse_host(text: &str) -> Option<String> {
    let is_host =
        !text.contains('@') && text.parse::<Authority>().is_ok_and(|it| !it.host().is_empty());
    is_host.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
        assert_eq!(
            parse_node(text),
            expected.map(|(addr, port)| (addr.parse().unwrap(), port)),
            "{text}"
        );
    }

    #[test]
    fn nodes_are_addresses_with_an_optional_port() {
        check("192.0.2.1", Some(("192.0.2.1", None)));
        check("192.0.2.1:8080", Some(("192.0.2.1", Some(8080))));
        check("2001:db8::1", Some(("2001:db8::1", None)));
        check("[2001:db8::1]", Some(("2001:db8::1", None)));
        check("[2001:db8::1]:1", Some(("2001:db8::1", Some(1))));
        check("::ffff:192.0.2.1", Some(("192.0.2.1", None)));
    }

    #[test]
    fn what_is_no_address_is_no_node() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "192.0.2",
            "[192.0.2.1]",
            "[::1",
            "1.2.3.4:",
            "1.2.3.4:99999",
            "a.test",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn hosts_are_hosts() {
        for host in ["example.com", "example.com:8443", "[::1]:80"] {
            assert_eq!(parse_host(host).as_deref(), Some(host));
        }
        for host in ["", "a b", "user@example.com", "a/b", "a,b\r\n", ":80"] {
            assert_eq!(parse_host(host), None, "{host}");
        }
    }
}
