//! From a builder to a running server.

use std::{
    error::Error,
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use everwire_proto::CloseFrame;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

use super::{
    Context, Listener, Server, ServerBuilder,
    accept::{Accepting, accept_loop},
    slots::Slots,
};
use crate::{Registry, event_loop::EventLoops};

/// How many clients are told at the same time that there is no room.
const REFUSALS: usize = 256;

impl ServerBuilder {
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
        let per_thread = bind_all(&self.addrs, self.listeners, threads.unwrap_or(1))?;
        let addrs = per_thread[0].iter().filter_map(|listener| listener.local_addr().ok());
        let addrs = addrs.collect();
        let Self { mut config, mut routes, .. } = self;
        if let Some(max_age) = self.max_age {
            let own = routes.iter_mut().filter_map(|route| route.config.as_mut());
            for config in own.map(Arc::make_mut).chain([&mut config]) {
                config.max_age.get_or_insert_with(|| max_age.clone());
            }
        }
        if self.deflate.is_some() {
            let own = routes.iter_mut().filter_map(|route| route.config.as_mut());
            for config in own.map(Arc::make_mut).chain([&mut config]) {
                config.deflate = config.deflate.or(self.deflate);
            }
        }
        for route in &mut routes {
            let least = route.endpoint.least_message_limit();
            let limits = &route.config.as_deref().unwrap_or(&config).limits;
            if limits.message < least {
                let mut own = route.config.as_deref().unwrap_or(&config).clone();
                own.limits.message = least;
                route.own_config = Some(Arc::new(own));
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
            head_limits: self.head_limits,
            slots: Slots::new(self.max_connections, self.max_per_address, per_thread.len()),
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

/// Returns the listeners of each thread.
fn bind_all(
    addrs: &[String],
    listeners: Vec<Listener>,
    n_threads: usize,
) -> Result<Vec<Vec<Listener>>, StartError> {
    let mut per_thread: Vec<Vec<Listener>> = Vec::new();
    per_thread.resize_with(n_threads, Vec::new);
    for addr in addrs {
        let bound = bind(addr, n_threads)
            .map_err(|source| StartError { what: format!("listen on {addr}"), source })?;
        per_thread.iter_mut().zip(bound).for_each(|(thread, listener)| thread.push(listener));
    }
    for listener in listeners {
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
    Ok(per_thread)
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
        let listener = Accepting::new(listener, &context.config)?;
        let context = context.clone();
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
