//! From a name to addresses, replaceable by users (DNS over HTTPS, service discovery) and tests.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// The future that [`Resolve::resolve`] returns.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Looks up the addresses of a host.
///
/// # Examples
/// ```
/// # use everwire::dial::{Resolve, Resolving};
/// /// Sends every name to one address.
/// #[derive(Debug)]
/// struct Always(std::net::IpAddr);
///
/// impl Resolve for Always {
///     fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> Resolving<'a> {
///         Box::pin(async move { Ok(vec![(self.0, port).into()]) })
///     }
/// }
/// ```
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// Returns the addresses of `host` with `port`, best first. It is not called for literal addresses.
    ///
    /// # Errors
    /// Any error ends the attempt to connect, and so does an empty list.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The resolver of the operating system, in the order of RFC 6724.
///
/// It runs `getaddrinfo` on a thread of the runtime's blocking pool. That call cannot be interrupted: when a
/// lookup is cancelled, the thread stays busy until the system gives up.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let addrs = SystemResolver.resolve("localhost", 80).await.unwrap();
        assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
        assert!(!addrs.is_empty());
    }
}
