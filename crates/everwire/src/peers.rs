//! Where a connection comes from and goes to.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

/// The addresses of a connection. Small for the usual case of IPv4 without a proxy, because every
/// idle connection keeps them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Addrs);

#[derive(Clone, Debug, Default)]
enum Addrs {
    #[default]
    Unknown,
    V4(SocketAddrV4, SocketAddrV4),
    Any(Box<Any>),
}

#[derive(Clone, Debug)]
struct Any {
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    client: Option<IpAddr>,
}

impl Peers {
    /// Notes the addresses of both ends of the socket, and that of the client behind a trusted
    /// proxy, if there is one.
    pub(crate) fn new(
        remote: Option<SocketAddr>,
        local: Option<SocketAddr>,
        client: Option<IpAddr>,
    ) -> Self {
        Self(match (remote, local, client) {
            (None, None, None) => Addrs::Unknown,
            (Some(SocketAddr::V4(remote)), Some(SocketAddr::V4(local)), None) => {
                Addrs::V4(remote, local)
            }
            _ => Addrs::Any(Box::new(Any { remote, local, client })),
        })
    }

    /// Returns the address that the socket is connected to.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match &self.0 {
            Addrs::Unknown => None,
            Addrs::V4(remote, _) => Some(SocketAddr::V4(*remote)),
            Addrs::Any(any) => any.remote,
        }
    }

    /// Returns the address of the socket on this side.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match &self.0 {
            Addrs::Unknown => None,
            Addrs::V4(_, local) => Some(SocketAddr::V4(*local)),
            Addrs::Any(any) => any.local,
        }
    }

    /// Returns the address of the client: what a trusted proxy told, or that of the socket.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        match &self.0 {
            Addrs::Any(any) if any.client.is_some() => any.client,
            _ => self.remote().map(|addr| addr.ip()),
        }
    }
}
