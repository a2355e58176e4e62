//! The whole way from a [`Target`] to a stream, in one place.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::sync::OnceLock;
use std::{fmt, io};

use tokio::net::TcpStream;

use super::connector::Connector;
use super::error::{ConnectFailure, DialError};
use super::happy_eyeballs::{ATTEMPT_DELAY, interleave, race};
use super::phase::{Phase, PhaseTracker};
use super::proxy::{ProxyConfig, ProxyEnvironment};
use super::resolve::{Resolve, SystemResolver};
use super::socket::SocketConfig;
use super::stream::DialStream;
use super::target::{Scheme, Target};
#[cfg(feature = "tls")]
use crate::tls::ClientTls;
use crate::tls::TlsError;

/// Opens byte streams to servers: resolves, races addresses, goes through a proxy, sets up TLS. A
/// [connector](Self::with_connector) of the user's may stand in for the first two.
///
/// One value serves all connections of a program; clones are cheap and share the TLS session cache.
///
/// # Examples
/// ```no_run
/// # use std::time::Duration;
/// # use everwire::dial::{DialError, Dialer, PhaseTracker, Target};
/// # async fn example() -> Result<(), DialError> {
/// let (dialer, phase) = (Dialer::new(), PhaseTracker::default());
/// let target = Target::parse("wss://example.com/live")?;
/// let stream = phase.within(Duration::from_secs(10), dialer.dial(&target, &phase)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Dialer {
    resolver: Arc<dyn Resolve>,
    pub(super) connector: Option<Connector>,
    socket: SocketConfig,
    proxy: ProxyConfig,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
    #[cfg(feature = "tls")]
    proxy_tls: Option<ClientTls>,
    #[cfg(feature = "tls")]
    default_tls: Arc<OnceLock<ClientTls>>,
}

impl Dialer {
    /// Makes a dialer with the system's resolver, the proxy of the environment as it is now, and the
    /// platform's trusted roots, which are loaded when TLS is first needed.
    pub fn new() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            connector: None,
            socket: SocketConfig::default(),
            proxy: ProxyConfig::Environment(ProxyEnvironment::read()),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            proxy_tls: None,
            #[cfg(feature = "tls")]
            default_tls: Arc::default(),
        }
    }

    /// Sets who looks names up.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets the options of the socket.
    #[must_use]
    pub fn with_socket(mut self, socket: SocketConfig) -> Self {
        self.socket = socket;
        self
    }

    /// Sets which proxy to use.
    #[must_use]
    pub fn with_proxy(mut self, proxy: ProxyConfig) -> Self {
        self.proxy = proxy;
        self
    }

    /// Sets how `wss` servers are verified. Proxies keep the platform's roots.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how `https` proxies are verified.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_proxy_tls(mut self, tls: ClientTls) -> Self {
        self.proxy_tls = Some(tls);
        self
    }

    /// Opens a stream on which the opening handshake may be sent.
    ///
    /// It has no deadline of its own; see [`PhaseTracker::within`]. When it returns, `phase` stands at
    /// [`Phase::Handshake`].
    ///
    /// # Errors
    /// [`DialError`] says which part failed, with every address that was tried.
    ///
    /// # Cancel safety
    /// Dropping the future closes all sockets. Nothing was sent to the server but TLS.
    pub async fn dial(
        &self,
        target: &Target,
        phase: &PhaseTracker,
    ) -> Result<DialStream, DialError> {
        let mut stream = match self.proxy.proxy_for(target)? {
            None => self.direct(target, phase).await?,
            Some(proxy) => self.tunnel(proxy, target, phase).await?,
        };
        if target.scheme() == Scheme::Wss {
            phase.enter(Phase::Tls);
            stream = self.secure(stream, target.host()).await?;
        }
        phase.enter(Phase::Handshake);
        Ok(stream)
    }

    async fn direct(&self, target: &Target, phase: &PhaseTracker) -> Result<DialStream, DialError> {
        if let Some(connector) = &self.connector {
            let (host, port) = (target.host(), target.port());
            let result = connector.connect(host, port, phase).await;
            return result.map_err(|source| DialError::Connector {
                host: host.to_owned(),
                port,
                source,
            });
        }
        let addrs = self.lookup_target(target, phase).await?;
        Ok(DialStream::Tcp(self.race(addrs, phase).await.map_err(DialError::Connect)?))
    }

    /// Returns the addresses of a host in the order in which to try them; never none.
    pub(super) async fn lookup(
        &self,
        host: &str,
        ip: Option<IpAddr>,
        port: u16,
        phase: &PhaseTracker,
    ) -> io::Result<Vec<SocketAddr>> {
        phase.enter(Phase::Resolve);
        let addrs = match ip {
            Some(ip) => vec![(ip, port).into()],
            None => interleave(self.resolver.resolve(host, port).await?),
        };
        if addrs.is_empty() {
            Err(io::Error::other("the name has no addresses"))
        } else {
            Ok(addrs)
        }
    }

    pub(super) async fn lookup_target(
        &self,
        target: &Target,
        phase: &PhaseTracker,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let result = self.lookup(target.host(), target.ip(), target.port(), phase).await;
        result.map_err(|source| DialError::Resolve { host: target.host().to_owned(), source })
    }

    pub(super) async fn race(
        &self,
        addrs: Vec<SocketAddr>,
        phase: &PhaseTracker,
    ) -> Result<TcpStream, ConnectFailure> {
        phase.enter(Phase::Connect);
        race(addrs, ATTEMPT_DELAY, |addr| self.socket.connect(addr)).await
    }
}

#[cfg(feature = "tls")]
impl Dialer {
    async fn secure(&self, stream: DialStream, host: &str) -> Result<DialStream, TlsError> {
        let tls = self.or_default(self.tls.as_ref()).await?;
        Ok(DialStream::Tls(Box::new(tls.connect(stream, host).await?)))
    }

    pub(super) async fn secure_proxy(
        &self,
        stream: DialStream,
        host: &str,
    ) -> Result<DialStream, TlsError> {
        let tls = self.or_default(self.proxy_tls.as_ref()).await?;
        Ok(DialStream::Tls(Box::new(tls.connect(stream, host).await?)))
    }

    /// Returns `tls`, or one with the platform's roots, which are read from the disk once.
    async fn or_default(&self, tls: Option<&ClientTls>) -> Result<ClientTls, TlsError> {
        if let Some(tls) = tls.or(self.default_tls.get()) {
            return Ok(tls.clone());
        }
        // Two tasks may get here at once; the first to finish is kept, so that they share its session cache.
        let made = tokio::task::spawn_blocking(ClientTls::new).await;
        let made = made.map_err(|error| TlsError::Config(Box::new(error)))??;
        Ok(self.default_tls.get_or_init(|| made).clone())
    }
}

#[cfg(not(feature = "tls"))]
impl Dialer {
    async fn secure(&self, _: DialStream, _: &str) -> Result<DialStream, TlsError> {
        Err(TlsError::NotCompiledIn)
    }

    pub(super) async fn secure_proxy(
        &self,
        _: DialStream,
        _: &str,
    ) -> Result<DialStream, TlsError> {
        Err(TlsError::NotCompiledIn)
    }
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("resolver", &self.resolver)
            .field("connector", &self.connector.is_some())
            .field("socket", &self.socket)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
