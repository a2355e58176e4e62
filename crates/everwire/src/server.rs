//! The server: listeners, routes, and the registry of what is connected.

mod accept;
mod acceptor;
mod builder;
mod connection;
mod drain;
mod failure;
mod http_service;
mod listener;
mod route;
mod slots;
mod start;
mod upgrade;

use std::{fmt, sync::Arc, time::Duration};

use everwire_proto::{
    CloseFrame, Config,
    handshake::{HeadLimits, is_upgrade},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

pub(crate) use self::slots::Slot;
pub use self::{
    builder::ServerBuilder,
    drain::{Drain, Drained},
    http_service::{RequestAddrs, Respond},
    listener::{BoundAddr, Listener},
    start::StartError,
    upgrade::{Accept, Decision, OriginPolicy, Reject, UpgradeRequest},
};
use self::{
    failure::Warnings, http_service::HttpService, route::Route, slots::Slots, upgrade::Authorize,
};
use crate::{Registry, trust::TrustedProxies};

/// Everything that the tasks of a server share.
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Registry,
    routes: Vec<Route>,
    subprotocols: Vec<String>,
    origin: OriginPolicy,
    authorize: Option<Authorize>,
    http: Option<HttpService>,
    trusted: TrustedProxies,
    expects_proxy_header: bool,
    handshake_timeout: Duration,
    head_limits: HeadLimits,
    slots: Slots,
    /// How many more may be told that there is no room; who comes beyond that is cut.
    refusals: Arc<Semaphore>,
    warnings: Warnings,
    stopped: watch::Receiver<Option<CloseFrame>>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::ServerTls>,
}

impl Context {
    /// Returns what shutting down tells clients, once it has begun.
    fn stopping(&self) -> Option<CloseFrame> {
        self.stopped.borrow().clone()
    }

    /// Returns whether a request is for a WebSocket connection of this server's own. On a path that
    /// it has no route for, an HTTP service may have WebSockets of its own.
    fn is_upgrade<B>(&self, request: &http::Request<B>) -> bool {
        is_upgrade(request) && (self.http.is_none() || self.route(request.uri().path()).is_some())
    }

    /// Returns what serves a path.
    fn route(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| *route.path == *path)
    }
}

/// A running server.
///
/// Dropping it stops accepting; connections live on until they end.
///
/// # Examples
/// ```
/// use everwire::{Drain, Server, WebSocket};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .pull("/echo", |mut ws: WebSocket| async move {
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await.ok();
///         }
///     })
///     .start()
///     .await?;
/// println!("listening on {}", server.addrs()[0]);
/// let drained = server.shutdown(Drain::leaving()).await?;
/// println!("closed {} cleanly, cut {}", drained.clean, drained.cut);
/// # Ok(())
/// # }
/// ```
pub struct Server {
    context: Arc<Context>,
    addrs: Vec<BoundAddr>,
    /// Dropped to stop accepting; set to refuse everybody, and to tell those who slip in.
    stop: watch::Sender<Option<CloseFrame>>,
    /// Closed when nobody accepts, answers a request or turns somebody away any more.
    busy: watch::Sender<()>,
    /// What serves connections, one for each thread.
    runtimes: Vec<Handle>,
}

impl Server {
    /// Returns a builder with the defaults.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Returns where the server listens, in the order in which it was told to.
    #[must_use]
    pub fn addrs(&self) -> &[BoundAddr] {
        &self.addrs
    }

    /// Returns the first TCP address that the server listens on.
    #[must_use]
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.addrs.iter().find_map(BoundAddr::tcp)
    }

    /// Returns how many connections there may be, those that are not yet open and those of ordinary
    /// HTTP included.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.context.slots.limit()
    }

    /// Returns the registry of live connections.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.context.registry
    }

    /// Is ready once every thread that serves connections has taken a turn.
    ///
    /// It never is while one of them is stuck, such as in a handler that blocks, and not for ever
    /// if one has died: a sign of life for watchdogs. Threads that are done after
    /// [`shutdown`](Self::shutdown) are not waited for.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn pulse(&self) {
        for runtime in &self.runtimes {
            if runtime.spawn(async {}).await.is_err() && self.context.stopping().is_none() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addrs", &self.addrs)
            .field("connections", &self.context.registry.len())
            .finish_non_exhaustive()
    }
}
