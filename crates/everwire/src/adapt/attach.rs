//! A connection on a stream whose opening handshake is done.

use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use everwire_proto::{Config, Connection, DeflateConfig, DeflateParams, Role};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Handler, Registry, Sender, WebSocket, clock, codecs,
    driver::{App, Driver, Stream, Task},
    handler::HandlerApp,
    peers::Peers,
    random,
    shared::Shared,
    websocket::PullApp,
};

/// Runs a connection on any byte stream on which somebody else has done the opening handshake.
///
/// # Examples
/// Two ends on a pipe in memory:
/// ```
/// use everwire::adapt::Attach;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (near, far) = tokio::io::duplex(16 << 10);
/// let client = Attach::client().pull(near);
/// let mut server = Attach::server().path("/chat").pull(far);
/// client.send("hello").await.unwrap();
/// assert_eq!(server.recv().await.unwrap().as_text(), Some("hello"));
/// # }
/// ```
pub struct Attach {
    role: Role,
    config: Arc<Config>,
    path: Arc<str>,
    subprotocol: Option<Box<str>>,
    deflate: Option<DeflateParams>,
    peers: Peers,
    data: http::Extensions,
    early: Bytes,
    request: Option<Arc<Request<()>>>,
    registry: Option<Registry>,
    is_tls: bool,
}

impl Attach {
    fn new(role: Role) -> Self {
        Self {
            role,
            config: Arc::default(),
            path: "/".into(),
            subprotocol: None,
            deflate: None,
            peers: Peers::default(),
            data: http::Extensions::new(),
            early: Bytes::new(),
            request: None,
            registry: None,
            is_tls: false,
        }
    }

    /// Begins the server's end of a connection.
    #[must_use]
    pub fn server() -> Self {
        Self::new(Role::Server)
    }

    /// Begins the client's end of a connection.
    #[must_use]
    pub fn client() -> Self {
        Self::new(Role::Client)
    }

    /// Sets what the connection allows and how long it waits.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// Returns the header fields of the request that opened the connection.
    pub(super) fn headers(&self) -> &http::HeaderMap {
        static NONE: LazyLock<http::HeaderMap> = LazyLock::new(http::HeaderMap::new);
        self.request.as_deref().map_or(&NONE, Request::headers)
    }

    /// Lets messages be so large at least.
    pub(super) fn allow_messages_of(mut self, bytes: u64) -> Self {
        if self.config.limits.message < bytes {
            Arc::make_mut(&mut self.config).limits.message = bytes;
        }
        self
    }

    pub(super) fn deflate_config(&self) -> Option<DeflateConfig> {
        self.config.deflate
    }

    /// Sets the path that the client asked for. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Arc<str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<Box<str>>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// Sets what was agreed upon about compression. Default: nothing was.
    #[must_use]
    pub fn deflate(mut self, params: DeflateParams) -> Self {
        self.deflate = Some(params);
        self
    }

    /// Sets the address that the stream is connected to.
    #[must_use]
    pub fn remote_addr(mut self, addr: SocketAddr) -> Self {
        self.peers = Peers::new(Some(addr), None, None);
        self
    }

    /// Attaches data to the connection; one value of each type.
    #[must_use]
    pub fn data<T: Any + Clone + Send + Sync>(mut self, data: T) -> Self {
        self.data.insert(data);
        self
    }

    /// Sets the request that opened the connection, and with it the path.
    #[must_use]
    pub fn request(mut self, request: Request<()>) -> Self {
        self.path = request.uri().path().into();
        self.request = Some(Arc::new(request));
        self
    }

    /// Gives bytes that were read behind the head of the opening handshake.
    #[must_use]
    pub fn early(mut self, bytes: impl Into<Bytes>) -> Self {
        self.early = bytes.into();
        self
    }

    /// Tells that the stream is that of TLS, so that an end without its `close_notify`, or with
    /// bytes that are not TLS, is [`Cause::Tls`](crate::Cause::Tls).
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// Lists the connection in a registry while it lives.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Runs the connection in a task of its own and returns the pull face.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn pull<S>(self, io: S) -> WebSocket
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = self.shared();
        let ws = WebSocket::new(shared.clone(), self.request.clone());
        tokio::spawn(self.driver(io, shared, PullApp::elsewhere()));
        ws
    }

    /// Runs the connection in a task of its own, which calls `handler`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn push<S, H>(self, io: S, handler: H) -> Sender
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Handler,
    {
        self.run(io, HandlerApp::new(handler))
    }

    /// Runs the connection in a task of its own, for this app.
    pub(crate) fn run<S: Stream, A: App + 'static>(self, io: S, app: A) -> Sender {
        let shared = self.shared();
        let sender = Sender::unguarded(shared.clone());
        tokio::spawn(self.driver(io, shared, app));
        sender
    }

    /// Returns a future that runs the connection and, in the same task, what `serve` makes of its
    /// pull face; it saves a wake-up for each message. Spawn it.
    ///
    /// # Cancel safety
    /// Dropped, the connection is cut.
    pub fn serve<S, F, Fut>(self, io: S, serve: F) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: FnOnce(WebSocket) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let shared = self.shared();
        let ws = WebSocket::new(shared.clone(), self.request.clone());
        let app = PullApp::with(async move { serve(ws).await });
        let driver = self.driver(io, shared, app);
        async move { drop(driver.await) }
    }

    fn shared(&self) -> Arc<Shared> {
        let (path, peers, data) = (self.path.clone(), self.peers.clone(), self.data.clone());
        Shared::new(path, peers, self.subprotocol.clone(), data, self.deflate, &self.config)
    }

    fn driver<S: Stream, A: App>(self, io: S, shared: Arc<Shared>, app: A) -> Task<S, A> {
        let now = clock::now();
        let mut proto = match self.role {
            Role::Server => Connection::server(self.config, now, random::byte()),
            Role::Client => Connection::client(self.config, now, random::source()),
        };
        if self.is_tls {
            proto.set_tls();
        }
        if let Some(params) = self.deflate {
            proto.set_deflate(params, codecs::lend);
        }
        let registration = self.registry.map(|registry| registry.insert(&shared, None));
        Task::new(Driver::new(io, proto, shared, app, self.early.into(), registration))
    }
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach")
            .field("role", &self.role)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
