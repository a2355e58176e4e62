//! Everything that can be set before a server starts.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use everwire_proto::{CloseFrame, Config, MaxAge};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

use super::{
    Context, Listener, OriginPolicy, Server, UpgradeRequest,
    accept::accept_loop,
    http_service::{HttpService, Respond},
    route::{Pull, Push, Route},
    slots::Slots,
    upgrade::{Authorize, Decision},
};
use crate::{Handler, Registry, WebSocket, event_loop::EventLoops, trust::TrustedProxies};

/// How many clients are told at the same time that there is no room.
const REFUSALS: usize = 256;

/// What a server is made of. See [`Server::builder`].
pub struct ServerBuilder {
    addrs: Vec<String>,
    listeners: Vec<Listener>,
    threads: Option<usize>,
    config: Config,
    routes: Vec<Route>,
    subprotocols: Vec<String>,
    origin: OriginPolicy,
    authorize: Option<Authorize>,
    http: Option<HttpService>,
    trusted: TrustedProxies,
    expects_proxy_header: bool,
    handshake_timeout: Duration,
    max_age: Option<MaxAge>,
    max_connections: Option<usize>,
    max_per_address: Option<usize>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::ServerTls>,
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
            max_age: None,
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
        self.routes.push(Route { path: path.into(), endpoint, config: None });
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

    /// Closes connections of this age, give or take a tenth so that those that were opened together
    /// do not end together, and asks their clients to come back. Holds for every path whose
    /// [`route_config`](Self::route_config) names no [`max_age`](Config::max_age). Default: never.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(MaxAge::new(age));
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

    /// Binds, and starts accepting.
    ///
    /// # Errors
    /// An address that cannot be bound, or a thread that cannot be started.
    ///
    /// # Cancel safety
    /// Dropped, the server may have started and stops.
    #[expect(clippy::unused_async, reason = "needs a runtime, and may one day resolve names")]
    pub async fn start(self) -> Result<Server, StartError> {
        let threads = self.threads;
        let mut per_thread: Vec<Vec<Listener>> = Vec::new();
        per_thread.resize_with(threads.unwrap_or(1), Vec::new);
        for addr in &self.addrs {
            let bound = bind(addr, per_thread.len())
                .map_err(|source| StartError { what: format!("listen on {addr}"), source })?;
            per_thread.iter_mut().zip(bound).for_each(|(thread, listener)| thread.push(listener));
        }
        for listener in self.listeners {
            // All threads accept from the one socket.
            for thread in per_thread.iter_mut().skip(1) {
                let clone = listener.try_clone().map_err(|source| StartError {
                    what: "share a listener between threads".into(),
                    source,
                })?;
                thread.push(clone);
            }
            per_thread[0].push(listener);
        }
        let addrs = per_thread[0].iter().filter_map(|listener| listener.local_addr().ok());
        let addrs = addrs.collect();
        let Self { mut config, mut routes, .. } = self;
        if let Some(max_age) = self.max_age {
            let own = routes.iter_mut().filter_map(|route| route.config.as_mut());
            for config in own.map(Arc::make_mut).chain([&mut config]) {
                config.max_age.get_or_insert_with(|| max_age.clone());
            }
        }
        let (stop, stopped) = watch::channel(None);
        let (busy, is_busy) = watch::channel(());
        let context = Arc::new(Context {
            config: Arc::new(config),
            registry: Registry::default(),
            routes,
            subprotocols: self.subprotocols,
            origin: self.origin,
            authorize: self.authorize,
            http: self.http,
            trusted: self.trusted,
            expects_proxy_header: self.expects_proxy_header,
            handshake_timeout: self.handshake_timeout,
            slots: Slots::new(self.max_connections, self.max_per_address),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            warnings: Default::default(),
            stopped: stopped.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls,
        });
        let mut runtimes = Vec::with_capacity(per_thread.len());
        for (i, listeners) in per_thread.into_iter().enumerate() {
            let context = context.clone();
            let stopped = stopped.clone();
            runtimes.push(match threads {
                Some(_) => run_thread(i, context, listeners, stopped, &is_busy)
                    .map_err(|source| StartError { what: "start a thread".into(), source })?,
                None => {
                    spawn_loops(&context, listeners, &stopped, &is_busy)
                        .map_err(|source| StartError { what: "accept".into(), source })?;
                    Handle::current()
                }
            });
        }
        Ok(Server { context, addrs, stop, busy, runtimes })
    }
}

fn bind(addr: &str, threads: usize) -> io::Result<Vec<Listener>> {
    let addr: SocketAddr = addr.to_socket_addrs()?.next().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "expected an address such as 127.0.0.1:8080")
    })?;
    match threads {
        1 => Listener::tcp(addr).map(|listener| vec![listener]),
        n => Listener::tcp_per_thread(addr, n),
    }
}

fn spawn_loops(
    context: &Arc<Context>,
    listeners: Vec<Listener>,
    stopped: &watch::Receiver<Option<CloseFrame>>,
    busy: &watch::Receiver<()>,
) -> io::Result<()> {
    let loops = EventLoops::start();
    for listener in listeners {
        let (context, listener) = (context.clone(), listener.try_into()?);
        let (stopped, busy) = (stopped.clone(), busy.clone());
        tokio::spawn(accept_loop(context, loops.clone(), listener, stopped, busy));
    }
    Ok(())
}

/// Starts a thread with a runtime of its own, which it returns; it lives as long as it has
/// connections.
fn run_thread(
    index: usize,
    context: Arc<Context>,
    listeners: Vec<Listener>,
    mut stopped: watch::Receiver<Option<CloseFrame>>,
    busy: &watch::Receiver<()>,
) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    spawn_loops(&context, listeners, &stopped, busy)?;
    drop(entered);
    let handle = runtime.handle().clone();
    std::thread::Builder::new().name(format!("everwire-{index}")).spawn(move || {
        runtime.block_on(async move {
            stopped.wait_for(Option::is_some).await.ok();
            // What serves a connection may outlive it, and so may answers to those who were late.
            let tasks = Handle::current();
            while tasks.metrics().num_alive_tasks() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    })?;
    Ok(handle)
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

/// A server could not start.
#[derive(Debug)]
pub struct StartError {
    what: String,
    source: io::Error,
}

impl StartError {
    /// Returns what the system said.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
