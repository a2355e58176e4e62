//! Who the client really is, when proxies stand in front of the server.
//!
//! Three ways in which a proxy passes on what it saw, and all are lies if a client can write them itself.
//! So nothing is believed unless the TCP peer is one of the [`TrustedProxies`]:
//!
//! - `Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Host`, `-Proto`: [`TrustedProxies::client_info`].
//! - The PROXY protocol, before the first byte of HTTP or TLS: [`TrustedProxies::read_proxy_header`].
//!
//! All but the last is pure: values in, values out.

mod client_info;
mod forwarded;
mod proxy_protocol;
mod trusted_proxies;
mod x_forwarded;

pub use client_info::{ClientInfo, ForwardedProto};
pub use proxy_protocol::{
    ProxiedAddrs, ProxyHeader, ProxyParse, ProxyProtocolError, parse_proxy_header,
};
pub use trusted_proxies::{ForwardedSource, NetError, TrustedProxies};
