//! What a server does with the connections of a path.

use std::{future::Future, sync::Arc};

use everwire_proto::{Config, Connection};
use http::Request;

use crate::{
    Handler, UpgradeRequest, WebSocket,
    driver::{Accompanied, Called, Driver, Task},
    event_loop::EventLoops,
    handler::HandlerApp,
    io::Io,
    registry::Registration,
    session::SessionRoute,
    shared::Shared,
    websocket::PullApp,
};

/// A connection whose opening handshake is done.
pub(crate) struct Opened {
    pub(crate) io: Io,
    pub(crate) proto: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) early: Vec<u8>,
    pub(crate) registration: Registration,
    pub(crate) request: Request<()>,
    pub(crate) loops: EventLoops,
}

/// A path and what serves it.
pub(crate) struct Route {
    pub(crate) path: Arc<str>,
    pub(crate) endpoint: Arc<dyn Endpoint>,
    /// What its connections allow, unless that is what all allow.
    pub(crate) config: Option<Arc<Config>>,
    /// What those allow that speak the path's own subprotocol, if that is more.
    pub(crate) own_config: Option<Arc<Config>>,
}

/// What a server does with the connections of a path.
pub(crate) trait Endpoint: Send + Sync {
    /// Makes what runs the connection, while the request is still there to look at.
    fn prepare(&self, request: &UpgradeRequest) -> Box<dyn Prepared>;

    /// Returns the subprotocol that the path itself speaks, if the client offers it.
    fn select_subprotocol(&self, request: &UpgradeRequest) -> Option<&'static str> {
        let _ = request;
        None
    }

    /// Returns the limit on messages that the path's own subprotocol needs at least.
    fn least_message_limit(&self) -> u64 {
        0
    }
}

/// What will run a connection once it is open.
pub(crate) trait Prepared: Send {
    /// Starts to run the connection.
    fn spawn(self: Box<Self>, opened: Opened);
}

/// Sessions for clients that speak `everwire.v1`, on a path that serves others by something else.
pub(crate) struct WithSessions {
    pub(crate) sessions: SessionRoute,
    pub(crate) others: Arc<dyn Endpoint>,
}

impl Endpoint for WithSessions {
    fn prepare(&self, request: &UpgradeRequest) -> Box<dyn Prepared> {
        let offers = request.subprotocols();
        match SessionRoute::select(offers) {
            Some(_) => Box::new(AppPrepared(self.sessions.app(request.headers(), offers))),
            None => self.others.prepare(request),
        }
    }

    fn select_subprotocol(&self, request: &UpgradeRequest) -> Option<&'static str> {
        SessionRoute::select(request.subprotocols())
    }

    fn least_message_limit(&self) -> u64 {
        self.sessions.max_frame()
    }
}

/// A handler for each connection, made by a factory.
pub(crate) struct Push<F>(pub(crate) F);

impl<H: Handler, F: Fn(&UpgradeRequest) -> H + Send + Sync> Endpoint for Push<F> {
    fn prepare(&self, request: &UpgradeRequest) -> Box<dyn Prepared> {
        Box::new(AppPrepared(HandlerApp::new((self.0)(request))))
    }
}

struct AppPrepared<A>(A);

impl<A: Called + 'static> Prepared for AppPrepared<A> {
    fn spawn(self: Box<Self>, opened: Opened) {
        let Opened { io, proto, shared, early, registration, loops, .. } = opened;
        let app = self.0;
        let registration = Some(registration);
        #[cfg(target_os = "linux")]
        let io = match loops.place(io) {
            Ok((event_loop, io)) => {
                let driver = Driver::new(io, proto, shared, app, early, registration);
                return event_loop.adopt(Box::new(driver));
            }
            Err(io) => io,
        };
        #[cfg(not(target_os = "linux"))]
        let _ = loops;
        tokio::spawn(Task::new(Driver::new(io, proto, shared, app, early, registration)));
    }
}

/// A future for each connection, which pulls.
pub(crate) struct Pull<F>(pub(crate) Arc<F>);

impl<Fut, F> Endpoint for Pull<F>
where
    F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn prepare(&self, _: &UpgradeRequest) -> Box<dyn Prepared> {
        Box::new(PullPrepared(self.0.clone()))
    }
}

struct PullPrepared<F>(Arc<F>);

impl<Fut, F> Prepared for PullPrepared<F>
where
    F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn spawn(self: Box<Self>, opened: Opened) {
        let Opened { io, proto, shared, early, registration, request, loops } = opened;
        let ws = WebSocket::new(shared.clone(), Some(Arc::new(request)));
        // Called in the connection's own task, where a panic is caught.
        let serve = self.0;
        let app = PullApp::with(async move { serve(ws).await });
        let registration = Some(registration);
        #[cfg(target_os = "linux")]
        let io = match loops.place_accompanied(io) {
            Ok((event_loop, io)) => {
                let driver = Driver::new(io, proto, shared, app, early, registration);
                return event_loop.adopt(Box::new(Accompanied::new(driver)));
            }
            Err(io) => io,
        };
        #[cfg(not(target_os = "linux"))]
        let _ = loops;
        tokio::spawn(Task::new(Driver::new(io, proto, shared, app, early, registration)));
    }
}
