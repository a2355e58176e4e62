//! A connection that is opened by a request to an HTTP server of hyper's.

use std::{fmt, net::SocketAddr, sync::Arc};

use everwire_proto::{
    Config,
    handshake::{AcceptOptions, ServerHandshake},
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Attach;
use crate::{
    Handler, OriginPolicy, Registry, Reject, WebSocket,
    driver::Stream,
    session::{SessionRoute, Sessions},
};

/// A request to a server of hyper's (or axum's, or tonic's) that asks for a WebSocket connection.
///
/// The response that [`on_upgrade`](Self::on_upgrade) or [`handler`](Self::handler) returns goes to
/// the client; the connection begins when it has been sent. Pages of other hosts are refused with
/// 403 unless [`origin`](Self::origin) says otherwise.
///
/// # Examples
/// A service function for hyper:
/// ```
/// use everwire::adapt::HttpUpgrade;
/// use http_body_util::Full;
/// use hyper::{Request, Response, body::{Bytes, Incoming}};
///
/// async fn serve(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
///     match HttpUpgrade::from_request(&mut request) {
///         Ok(upgrade) => upgrade.subprotocols(["chat"]).on_upgrade(|mut ws| async move {
///             while let Some(message) = ws.recv().await {
///                 ws.send(message).await.ok();
///             }
///         }),
///         Err(reject) => reject.into_response(),
///     }
/// }
/// ```
pub struct HttpUpgrade {
    handshake: ServerHandshake,
    on_upgrade: OnUpgrade,
    attach: Attach,
    accept: AcceptOptions,
    origin: OriginPolicy,
    sessions: Option<SessionRoute>,
}

impl HttpUpgrade {
    /// Verifies a request and takes from it what upgrades its connection.
    ///
    /// # Errors
    /// The request opens no WebSocket connection (RFC 6455 §4.2.1); 500 if its connection cannot be
    /// upgraded, such as under a server that was not told to allow it.
    pub fn from_request<B>(request: &mut Request<B>) -> Result<Self, Reject> {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        Self::new(head, on_upgrade)
    }

    /// Does what [`from_request`](Self::from_request) does, for a request taken apart.
    ///
    /// # Errors
    /// As [`from_request`](Self::from_request).
    pub fn from_parts(parts: &mut Parts) -> Result<Self, Reject> {
        let mut head = Request::new(());
        *head.method_mut() = parts.method.clone();
        *head.uri_mut() = parts.uri.clone();
        *head.version_mut() = parts.version;
        *head.headers_mut() = parts.headers.clone();
        Self::new(head, parts.extensions.remove::<OnUpgrade>())
    }

    fn new(head: Request<()>, on_upgrade: Option<OnUpgrade>) -> Result<Self, Reject> {
        let handshake = ServerHandshake::verify(&head)
            .map_err(|error| Reject::from_response(error.response()))?;
        let on_upgrade = on_upgrade.ok_or_else(|| {
            Reject::status(StatusCode::INTERNAL_SERVER_ERROR)
                .body("this HTTP server does not let its connections be upgraded\n")
        })?;
        Ok(Self {
            handshake,
            on_upgrade,
            attach: Attach::server().request(head),
            accept: AcceptOptions::default(),
            origin: OriginPolicy::default(),
            sessions: None,
        })
    }

    /// Offers [sessions](crate::session) to clients that speak `everwire.v1`, which then have no use
    /// for what [`on_upgrade`](Self::on_upgrade) or [`handler`](Self::handler) is given. Other clients
    /// are served by that.
    ///
    /// The HTTP server, or what stands before this call, says who the client is, by
    /// [`data`](Self::data) of a [`Principal`](crate::session::Principal); or its ticket does. How
    /// large messages may be says [`SessionConfig`](crate::session::SessionConfig).
    ///
    /// # Examples
    /// ```
    /// use everwire::{
    ///     adapt::HttpUpgrade,
    ///     session::{Principal, SessionEvent, Sessions},
    /// };
    /// use http_body_util::Full;
    /// use hyper::{Request, Response, body::{Bytes, Incoming}};
    ///
    /// fn sessions() -> Sessions {
    ///     Sessions::builder().pull(|mut session| async move {
    ///         while let Some(event) = session.next().await {
    ///             if let SessionEvent::Message(message) = event {
    ///                 session.send_message(&message).ok();
    ///             }
    ///         }
    ///     })
    /// }
    ///
    /// async fn serve(mut request: Request<Incoming>, sessions: Sessions) -> Response<Full<Bytes>> {
    ///     match HttpUpgrade::from_request(&mut request) {
    ///         Ok(upgrade) => {
    ///             let upgrade = upgrade.sessions(&sessions).data(Principal::new("alice"));
    ///             upgrade.on_upgrade(|ws| async move {
    ///                 ws.send("a client without sessions").await.ok();
    ///             })
    ///         }
    ///         Err(reject) => reject.into_response(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn sessions(mut self, sessions: &Sessions) -> Self {
        self.sessions = Some(SessionRoute::new(sessions));
        self
    }

    /// Names the subprotocols that the server speaks, in its order of preference. The first that
    /// the client offers is agreed on.
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.accept.subprotocol = self.handshake.select_subprotocol(&names).map(Into::into);
        self
    }

    /// Sets what the connection allows and how long it waits.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.attach = self.attach.config(config);
        self
    }

    /// Sets from which pages a browser may connect. Default: from the same host only.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// Adds a header field to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.accept.headers.append(name, value);
        self
    }

    /// Attaches data to the connection; one value of each type.
    #[must_use]
    pub fn data<T: std::any::Any + Clone + Send + Sync>(mut self, data: T) -> Self {
        self.attach = self.attach.data(data);
        self
    }

    /// Sets the address of the client, which the HTTP server knows.
    #[must_use]
    pub fn remote_addr(mut self, addr: SocketAddr) -> Self {
        self.attach = self.attach.remote_addr(addr);
        self
    }

    /// Tells that the HTTP server speaks TLS: see [`Attach::over_tls`].
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.attach = self.attach.over_tls();
        self
    }

    /// Lists the connection in a registry while it lives.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.attach = self.attach.registry(registry);
        self
    }

    /// Returns the subprotocol that will be agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.session_subprotocol().or(self.accept.subprotocol.as_deref())
    }

    /// Returns the subprotocol of sessions, if that is agreed on.
    fn session_subprotocol(&self) -> Option<&'static str> {
        self.sessions.as_ref()?;
        SessionRoute::select(self.handshake.subprotocols())
    }

    /// Returns the request's half of the opening handshake: origin, offered subprotocols, host.
    #[must_use]
    pub fn handshake(&self) -> &ServerHandshake {
        &self.handshake
    }

    /// Accepts, and serves the connection by a future, in a task of its own (the pull face).
    #[must_use]
    pub fn on_upgrade<B, F, Fut>(self, serve: F) -> Response<B>
    where
        B: From<String>,
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.respond(|attach, io| async move { attach.serve(io, serve).await })
    }

    /// Accepts, and serves the connection by a handler, in a task of its own (the push face).
    #[must_use]
    pub fn handler<B: From<String>>(self, handler: impl Handler) -> Response<B> {
        self.respond(|attach, io| async move { drop(attach.push(io, handler)) })
    }

    /// Accepts, and lets a session take the connection if the client wants that.
    fn respond<B, F, Fut>(mut self, run: F) -> Response<B>
    where
        B: From<String>,
        F: FnOnce(Attach, TokioIo<hyper::upgrade::Upgraded>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Some((subprotocol, sessions)) = self.session_subprotocol().zip(self.sessions.take())
        else {
            return self.respond_by(run);
        };
        let app = sessions.app(self.attach.headers(), self.handshake.subprotocols());
        self.accept.subprotocol = Some(subprotocol.into());
        self.attach = self.attach.allow_messages_of(sessions.max_frame());
        self.respond_by(|attach, io| async move { drop(attach.run(io, app)) })
    }

    fn respond_by<B, F, Fut>(self, run: F) -> Response<B>
    where
        B: From<String>,
        F: FnOnce(Attach, TokioIo<hyper::upgrade::Upgraded>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        TokioIo<hyper::upgrade::Upgraded>: Stream,
    {
        let Self { handshake, on_upgrade, mut attach, mut accept, origin, .. } = self;
        if !origin.allows(&handshake) {
            return Reject::forbidden()
                .body("connections from pages of this origin are not allowed\n")
                .into_response();
        }
        if let Some(subprotocol) = &accept.subprotocol {
            attach = attach.subprotocol(subprotocol.as_str());
        }
        let deflate = attach.deflate_config().and_then(|it| it.accept(handshake.extensions()));
        if let Some((answer, params)) = deflate {
            accept.extensions.push(answer);
            attach = attach.deflate(params);
        }
        let response = match handshake.accept(accept) {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "an impossible response was asked for");
                return Reject::status(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            }
        };
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => run(attach, TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%error, "the client went before it was accepted"),
            }
        });
        response.map(|()| B::from(String::new()))
    }
}

impl fmt::Debug for HttpUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUpgrade")
            .field("handshake", &self.handshake)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
