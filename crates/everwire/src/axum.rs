//! An extractor for axum 0.8.

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{
    Config, Handler, OriginPolicy, Registry, Reject, WebSocket, adapt::HttpUpgrade,
    session::Sessions,
};

/// An extractor that accepts WebSocket connections in an axum handler.
///
/// Pages of other hosts are refused with 403 unless [`origin`](Self::origin) says otherwise. A
/// request that opens no WebSocket connection is refused with what RFC 6455 asks for, such as 426.
///
/// # Examples
/// ```
/// use axum::{Router, extract::State, response::Response, routing::get};
/// use everwire::axum::WebSocketUpgrade;
///
/// async fn greet(State(greeting): State<String>, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.subprotocols(["chat"]).on_upgrade(|mut ws| async move {
///         ws.send(greeting).await.ok();
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await.ok();
///         }
///     })
/// }
///
/// let app: Router = Router::new().route("/greet", get(greet)).with_state("hello".to_owned());
/// ```
#[derive(Debug)]
pub struct WebSocketUpgrade(HttpUpgrade);

impl WebSocketUpgrade {
    /// Names the subprotocols that the server speaks, in its order of preference.
    #[must_use]
    pub fn subprotocols(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(self.0.subprotocols(names))
    }

    /// Offers [sessions](crate::session) to clients that speak `everwire.v1`; others are served by
    /// what [`on_upgrade`](Self::on_upgrade) or [`handler`](Self::handler) is given. See
    /// [`HttpUpgrade::sessions`].
    ///
    /// # Examples
    /// ```
    /// use axum::{Router, extract::State, response::Response, routing::get};
    /// use everwire::{
    ///     axum::WebSocketUpgrade,
    ///     session::{SessionHandler, SessionMessage, SessionSender, Sessions},
    /// };
    ///
    /// struct Echo;
    ///
    /// impl SessionHandler for Echo {
    ///     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
    ///         session.send_message(&message).ok();
    ///     }
    /// }
    ///
    /// async fn echo(State(sessions): State<Sessions>, upgrade: WebSocketUpgrade) -> Response {
    ///     upgrade.sessions(&sessions).on_upgrade(|mut ws| async move {
    ///         while let Some(message) = ws.recv().await {
    ///             ws.send(message).await.ok();
    ///         }
    ///     })
    /// }
    ///
    /// let sessions = Sessions::builder().push(|_| Echo);
    /// let app: Router = Router::new().route("/echo", get(echo)).with_state(sessions);
    /// ```
    #[must_use]
    pub fn sessions(self, sessions: &Sessions) -> Self {
        Self(self.0.sessions(sessions))
    }

    /// Sets what the connection allows and how long it waits.
    #[must_use]
    pub fn config(self, config: impl Into<std::sync::Arc<Config>>) -> Self {
        Self(self.0.config(config))
    }

    /// Sets from which pages a browser may connect. Default: from the same host only.
    #[must_use]
    pub fn origin(self, policy: OriginPolicy) -> Self {
        Self(self.0.origin(policy))
    }

    /// Adds a header field to the response.
    #[must_use]
    pub fn header(self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        Self(self.0.header(name, value))
    }

    /// Attaches data to the connection; one value of each type.
    #[must_use]
    pub fn data<T: std::any::Any + Clone + Send + Sync>(self, data: T) -> Self {
        Self(self.0.data(data))
    }

    /// Sets the address of the client, which `ConnectInfo` knows.
    #[must_use]
    pub fn remote_addr(self, addr: std::net::SocketAddr) -> Self {
        Self(self.0.remote_addr(addr))
    }

    /// Tells that the HTTP server speaks TLS: see [`Attach::over_tls`](crate::adapt::Attach).
    #[must_use]
    pub fn over_tls(self) -> Self {
        Self(self.0.over_tls())
    }

    /// Lists the connection in a registry while it lives.
    #[must_use]
    pub fn registry(self, registry: &Registry) -> Self {
        Self(self.0.registry(registry))
    }

    /// Returns the subprotocol that will be agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol()
    }

    /// Accepts, and serves the connection by a future, in a task of its own (the pull face).
    #[must_use]
    pub fn on_upgrade<F, Fut>(self, serve: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.on_upgrade::<Body, _, _>(serve)
    }

    /// Accepts, and serves the connection by a handler, in a task of its own (the push face).
    #[must_use]
    pub fn handler(self, handler: impl Handler) -> Response {
        self.0.handler::<Body>(handler)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Reject;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Reject> {
        HttpUpgrade::from_parts(parts).map(Self)
    }
}

impl IntoResponse for Reject {
    fn into_response(self) -> Response {
        Self::into_response(self)
    }
}
