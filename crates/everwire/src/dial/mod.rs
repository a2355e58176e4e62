//! From a URL to a byte stream: everything a client does before it may send the opening handshake.
//!
//! ```text
//!   "wss://…" ── Target ──► resolve ──► race addresses ──► proxy (CONNECT, SOCKS5) ──► TLS ──► DialStream
//!                 §3 RFC 6455             RFC 8305          RFC 9110, RFC 1928         RFC 8446
//! ```
//!
//! [`Dialer`] runs the whole path; a [connector](Dialer::with_connector) takes the place of its first half, up
//! to the socket. It owns no clock: put one deadline around it with
//! [`PhaseTracker::within`], which also says in which [`Phase`] the time ran out. Cancelling is dropping:
//! every future here closes its sockets when it is dropped.

mod authority;
mod connector;
mod credentials;
mod dialer;
mod error;
mod happy_eyeballs;
mod phase;
mod proxy;
mod resolve;
mod socket;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod tunnel;

pub use authority::UrlError;
pub use credentials::Credentials;
pub use dialer::Dialer;
pub use error::{ConnectFailure, DialError};
pub use phase::{Phase, PhaseTracker};
pub use proxy::{ConnectRefused, ProxyConfig, ProxyEnvironment, ProxyError, ProxyScheme, ProxyUrl};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use socket::SocketConfig;
pub use stream::{ConnectorStream, DialStream};
pub use target::{Scheme, Target};
