//! The part of dialling that goes through a proxy.

use super::dialer::Dialer;
use super::error::DialError;
use super::phase::{Phase, PhaseTracker};
use super::proxy::{Destination, ProxyError, ProxyScheme, ProxyUrl, http_connect, socks5_connect};
use super::stream::DialStream;
use super::target::Target;

impl Dialer {
    /// Connects to `proxy` and asks it for a tunnel to `target`.
    pub(super) async fn tunnel(
        &self,
        proxy: &ProxyUrl,
        target: &Target,
        phase: &PhaseTracker,
    ) -> Result<DialStream, DialError> {
        // Without remote DNS, the proxy is asked for one address after the other until one works.
        let destinations = match proxy.scheme() {
            ProxyScheme::Socks5 => {
                let addrs = self.lookup_target(target, phase).await?;
                addrs.into_iter().map(Destination::Addr).collect()
            }
            _ => match target.ip() {
                Some(ip) => vec![Destination::Addr((ip, target.port()).into())],
                None => vec![Destination::Name(target.host(), target.port())],
            },
        };
        let mut last = ProxyError::Malformed { problem: "no destination" };
        for destination in destinations {
            match self.tunnel_to(proxy, target, destination, phase).await {
                Ok(stream) => return Ok(stream),
                Err(error @ ProxyError::Socks5Refused { .. }) => last = error,
                Err(error) => return Err(via(proxy, error)),
            }
        }
        Err(via(proxy, last))
    }

    async fn tunnel_to(
        &self,
        proxy: &ProxyUrl,
        target: &Target,
        destination: Destination<'_>,
        phase: &PhaseTracker,
    ) -> Result<DialStream, ProxyError> {
        let mut stream = self.connect_proxy(proxy, phase).await?;
        phase.enter(Phase::Proxy);
        if proxy.scheme() == ProxyScheme::Https {
            stream = self.secure_proxy(stream, proxy.host()).await.map_err(ProxyError::Tls)?;
        }
        match proxy.scheme() {
            ProxyScheme::Http | ProxyScheme::Https => {
                http_connect(&mut stream, proxy, &target.host_and_port()).await?;
            }
            ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
                socks5_connect(&mut stream, proxy.credentials(), destination).await?;
            }
        }
        Ok(stream)
    }

    async fn connect_proxy(
        &self,
        proxy: &ProxyUrl,
        phase: &PhaseTracker,
    ) -> Result<DialStream, ProxyError> {
        let (host, port) = (proxy.host(), proxy.port());
        if let Some(connector) = &self.connector {
            return connector.connect(host, port, phase).await.map_err(ProxyError::Io);
        }
        let addrs =
            self.lookup(host, proxy.ip(), port, phase).await.map_err(ProxyError::Resolve)?;
        Ok(DialStream::Tcp(self.race(addrs, phase).await.map_err(ProxyError::Connect)?))
    }
}

fn via(proxy: &ProxyUrl, source: ProxyError) -> DialError {
    DialError::Proxy { proxy: proxy.to_string(), source }
}
