//! Everything that can be set before a server starts.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use everwire_proto::{Config, DeflateConfig, MaxAge, handshake::HeadLimits};

use super::{
    Listener, OriginPolicy, UpgradeRequest,
    http_service::{HttpService, Respond},
    route::{Pull, Push, Route, WithSessions},
    upgrade::{Authorize, Decision},
};
use crate::{
    Handler, WebSocket,
    session::{SessionRoute, Sessions},
    trust::TrustedProxies,
};

/// What a server is made of. See [`Server::builder`](crate::Server::builder).
pub struct ServerBuilder {
    pub(super) addrs: Vec<String>,
    pub(super) listeners: Vec<Listener>,
    pub(super) threads: Option<usize>,
    pub(super) config: Config,
    pub(super) routes: Vec<Route>,
    pub(super) subprotocols: Vec<String>,
    pub(super) origin: OriginPolicy,
    pub(super) authorize: Option<Authorize>,
    pub(super) http: Option<HttpService>,
    pub(super) trusted: TrustedProxies,
    pub(super) expects_proxy_header: bool,
    pub(super) handshake_timeout: Duration,
    pub(super) head_limits: HeadLimits,
    pub(super) max_age: Option<MaxAge>,
    pub(super) deflate: Option<DeflateConfig>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_per_address: Option<usize>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::ServerTls>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            addrs: Vec::new(),
            listeners: Vec::new(),
            threads: None,
            config: Config::default(),
            routes: Vec::new(),
            subprotocols: Vec::new(),
            origin: OriginPolicy::default(),
            authorize: None,
            http: None,
            trusted: TrustedProxies::default(),
            expects_proxy_header: false,
            handshake_timeout: Duration::from_secs(10),
            head_limits: HeadLimits::default(),
            max_age: None,
            deflate: None,
            max_connections: None,
            max_per_address: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ServerBuilder {
    /// Listens on a TCP address such as `127.0.0.1:8080`; may be called several times.
    #[must_use]
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.addrs.push(addr.into());
        self
    }

    /// Listens on a socket that was made elsewhere or inherited; may be called several times.
    #[must_use]
    pub fn listener(mut self, listener: impl Into<Listener>) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// Runs on this many threads of its own, each with a runtime and an accept loop of its own on
    /// every bound address (SO_REUSEPORT). Default: the runtime that [`start`](Self::start) is
    /// called on.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Sets what connections allow and how long they wait.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Serves a path by handlers (the push face): `factory` makes one per connection.
    #[must_use]
    pub fn push<H, F>(mut self, path: impl Into<Arc<str>>, factory: F) -> Self
    where
        H: Handler,
        F: Fn(&UpgradeRequest) -> H + Send + Sync + 'static,
    {
        self.routes.push(Route {
            path: path.into(),
            endpoint: Arc::new(Push(factory)),
            config: None,
            own_config: None,
        });
        self
    }

    /// Serves a path by a future per connection (the pull face), which runs in the connection's
    /// own task.
    #[must_use]
    pub fn pull<Fut, F>(mut self, path: impl Into<Arc<str>>, serve: F) -> Self
    where
        F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let endpoint = Arc::new(Pull(Arc::new(serve)));
        self.routes.push(Route { path: path.into(), endpoint, config: None, own_config: None });
        self
    }

    /// Offers sessions (`everwire.v1`) on the path that was named last; clients that do not speak it
    /// are served as before. See [`session`](crate::session).
    #[must_use]
    pub fn sessions(mut self, sessions: &Sessions) -> Self {
        if let Some(route) = self.routes.last_mut() {
            route.endpoint = Arc::new(WithSessions {
                sessions: SessionRoute::new(sessions),
                others: route.endpoint.clone(),
            });
        }
        self
    }

    /// Sets what the connections of the path that was named last allow and how long they wait,
    /// instead of what [`config`](Self::config) says.
    ///
    /// # Examples
    /// Uploads of up to 1 GiB, handed out as they arrive, on one path only:
    /// ```
    /// use everwire::{Config, Delivery, Server};
    ///
    /// let mut config = Config::default();
    /// config.limits.message = 1 << 30;
    /// config.delivery = Delivery::Pieces;
    /// Server::builder()
    ///     .pull("/upload", |mut ws| async move { while ws.recv_piece().await.is_some() {} })
    ///     .route_config(config);
    /// ```
    #[must_use]
    pub fn route_config(mut self, config: impl Into<Arc<Config>>) -> Self {
        if let Some(route) = self.routes.last_mut() {
            route.config = Some(config.into());
        }
        self
    }

    /// Names the subprotocols that the server speaks, in its order of preference.
    #[must_use]
    pub fn subprotocols<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets from which pages a browser may connect. Default: from the same host only.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// Decides on each request before it is accepted, within the handshake's deadline.
    ///
    /// # Examples
    /// ```
    /// use everwire::{Accept, Reject, Server};
    ///
    /// Server::builder().authorize(|request| {
    ///     let token = request.bearer_token();
    ///     Box::pin(async move {
    ///         match token? {
    ///             Some(token) if token.as_str() == "open-sesame" => Ok(Accept::new()),
    ///             Some(_) => Err(Reject::forbidden()),
    ///             None => Err(Reject::unauthorized()),
    ///         }
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn authorize<F>(mut self, decide: F) -> Self
    where
        F: for<'a> Fn(
                &'a UpgradeRequest,
            ) -> std::pin::Pin<Box<dyn Future<Output = Decision> + Send + 'a>>
            + Send
            + Sync
            + 'static,
    {
        self.authorize = Some(Arc::new(decide));
        self
    }

    /// Answers ordinary HTTP requests by a hyper or tower service, such as an axum `Router`.
    /// Default: 404.
    #[must_use]
    pub fn http<S>(mut self, service: S) -> Self
    where
        S: Respond,
    {
        self.http = Some(HttpService::new(service));
        self
    }

    /// Expects the [trusted proxies](Self::trusted_proxies) to begin each connection with a header
    /// of the PROXY protocol, version 1 or 2; without one they are cut, for the protocol forbids to
    /// guess. Nobody else's is read. Default: off.
    #[must_use]
    pub fn proxy_protocol(mut self) -> Self {
        self.expects_proxy_header = true;
        self
    }

    /// Believes these proxies what they say about the client. Default: nobody is believed.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.trusted = proxies;
        self
    }

    /// Sets the deadline of the opening handshake, TLS included. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets how large the head of a request may be; over it, 431. Default: 16 KiB and 100 headers.
    #[must_use]
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.head_limits = limits;
        self
    }

    /// Closes connections of this age, give or take a tenth so that those that were opened together
    /// do not end together, and asks their clients to come back. Holds for every path whose
    /// [`route_config`](Self::route_config) names no [`max_age`](Config::max_age). Default: never.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(MaxAge::new(age));
        self
    }

    /// Compresses messages for clients that offer it (permessage-deflate, RFC 7692). Holds for every
    /// path whose [`route_config`](Self::route_config) says nothing about it. Default: off.
    ///
    /// See [`DeflateConfig`] for what compression tells those who watch.
    ///
    /// # Examples
    /// ```
    /// use everwire::{DeflateConfig, DeflateMode, Server};
    ///
    /// Server::builder().deflate(DeflateConfig::new(DeflateMode::Dedicated));
    /// ```
    #[must_use]
    pub fn deflate(mut self, deflate: DeflateConfig) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// Sets how many connections are allowed; over it, 503 with Retry-After. Default: 90 % of the
    /// descriptors that the process may open.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = Some(max);
        self
    }

    /// Sets how many connections one address may have. Default: off.
    #[must_use]
    pub fn max_connections_per_address(mut self, max: usize) -> Self {
        self.max_per_address = Some(max);
        self
    }

    /// Speaks TLS on every TCP listener.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.routes.iter().map(|route| &route.path).collect();
        f.debug_struct("ServerBuilder")
            .field("addrs", &self.addrs)
            .field("routes", &routes)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
