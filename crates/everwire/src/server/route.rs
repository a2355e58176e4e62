//! What a server does with the connections of a path.

use std::{future::Future, sync::Arc};

use everwire_proto::Connection;
use http::Request;

use crate::{
    Handler, UpgradeRequest, WebSocket,
    driver::{Driver, Stream},
    handler::HandlerApp,
    registry::Registration,
    shared::Shared,
    websocket::PullApp,
};

/// A connection whose opening handshake is done.
pub(crate) struct Opened<S> {
    pub(crate) io: S,
    pub(crate) proto: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) early: Vec<u8>,
    pub(crate) registration: Registration,
    pub(crate) request: Request<()>,
}

/// What a server does with the connections of a path, over one kind of stream.
pub(crate) trait Endpoint<S>: Send + Sync {
    /// Makes what runs the connection, while the request is still there to look at.
    fn prepare(&self, request: &UpgradeRequest) -> Box<dyn Prepared<S>>;
}

/// What will run a connection once it is open.
pub(crate) trait Prepared<S>: Send {
    /// Runs the connection in a task of its own.
    fn spawn(self: Box<Self>, opened: Opened<S>);
}

/// A handler for each connection, made by a factory.
pub(crate) struct Push<F>(pub(crate) F);

impl<S: Stream, H: Handler, F: Fn(&UpgradeRequest) -> H + Send + Sync> Endpoint<S> for Push<F> {
    fn prepare(&self, request: &UpgradeRequest) -> Box<dyn Prepared<S>> {
        Box::new(PushPrepared((self.0)(request)))
    }
}

struct PushPrepared<H>(H);

impl<S: Stream, H: Handler> Prepared<S> for PushPrepared<H> {
    fn spawn(self: Box<Self>, opened: Opened<S>) {
        let Opened { io, proto, shared, early, registration, .. } = opened;
        let app = HandlerApp::new(self.0);
        tokio::spawn(Driver::new(io, proto, shared, app, early, Some(registration)));
    }
}

/// A future for each connection, which pulls.
pub(crate) struct Pull<F>(pub(crate) Arc<F>);

impl<S: Stream, Fut, F> Endpoint<S> for Pull<F>
where
    F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn prepare(&self, _: &UpgradeRequest) -> Box<dyn Prepared<S>> {
        Box::new(PullPrepared(self.0.clone()))
    }
}

struct PullPrepared<F>(Arc<F>);

impl<S: Stream, Fut, F> Prepared<S> for PullPrepared<F>
where
    F: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn spawn(self: Box<Self>, opened: Opened<S>) {
        let Opened { io, proto, shared, early, registration, request } = opened;
        let ws = WebSocket::new(shared.clone(), Some(Arc::new(request)));
        let app = PullApp::with((self.0)(ws));
        tokio::spawn(Driver::new(io, proto, shared, app, early, Some(registration)));
    }
}
