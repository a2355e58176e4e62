//! What a server is asked before it accepts a connection, and what it answers.

use std::{
    any::Any,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use everwire_proto::handshake::{AcceptOptions, BearerToken, Rejection, ServerHandshake};
use http::{HeaderMap, Request, Response, StatusCode};

use crate::registry::TagList;

/// A request to open a WebSocket connection, verified by RFC 6455 §4.2.1 but not yet accepted.
pub struct UpgradeRequest {
    pub(crate) request: Request<()>,
    pub(crate) handshake: ServerHandshake,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) is_secure: bool,
}

impl UpgradeRequest {
    /// Returns the whole request.
    #[must_use]
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// Returns the path that was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Returns the query that was asked with, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.request.uri().query()
    }

    /// Returns the header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Returns the origin of the page that connects, if a browser does.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.handshake.origin()
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        self.handshake.subprotocols()
    }

    /// Returns the first of the server's subprotocols that the client offers.
    #[must_use]
    pub fn select_subprotocol(&self, preferred: &[impl AsRef<str>]) -> Option<&str> {
        self.handshake.select_subprotocol(preferred)
    }

    /// Returns the token in `Authorization: Bearer …` or in an offered subprotocol
    /// `everwire.bearer.<base64url>`, which is how a browser can send one.
    ///
    /// # Errors
    /// A [`Reject`] with 400 when there are several or one is malformed.
    pub fn bearer_token(&self) -> Result<Option<BearerToken>, Reject> {
        BearerToken::from_headers(self.headers())
            .map_err(|error| Reject::status(error.status()).body(error.to_string()))
    }

    /// Returns the address that the socket is connected to; none for Unix sockets.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Returns the address of the client, which a trusted proxy may have told.
    #[must_use]
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client.or_else(|| self.remote.map(|addr| addr.ip()))
    }

    /// Returns whether the client's connection is encrypted, as far as is known.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values may be secrets.
        f.debug_struct("UpgradeRequest")
            .field("path", &self.path())
            .field("origin", &self.origin())
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Accepts a connection. See [`ServerBuilder::authorize`](crate::ServerBuilder::authorize).
#[derive(Debug, Default)]
pub struct Accept {
    pub(crate) options: AcceptOptions,
    pub(crate) data: http::Extensions,
}

impl Accept {
    /// Accepts without more ado: the subprotocol is picked by the server's list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Picks this subprotocol, which the client must have offered.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.options.subprotocol = Some(subprotocol.into());
        self
    }

    /// Adds a header field to the response.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.options.headers.append(name, value);
        self
    }

    /// Gives the connection a tag, by which [`Registry::tagged`](crate::Registry::tagged) finds it;
    /// may be called several times.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.data.get_or_insert_default::<TagList>().0.push(tag.into());
        self
    }

    /// Attaches data to the connection; one value of each type.
    #[must_use]
    pub fn data<T: Any + Clone + Send + Sync>(mut self, data: T) -> Self {
        self.data.insert(data);
        self
    }
}

/// Refuses a connection with an HTTP response.
#[derive(Clone, Debug)]
pub struct Reject(Box<Rejection>);

impl From<Rejection> for Reject {
    fn from(rejection: Rejection) -> Self {
        Self(Box::new(rejection))
    }
}

impl Reject {
    /// Refuses with this status.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Rejection::new(status).into()
    }

    /// 401: who is there?
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::status(StatusCode::UNAUTHORIZED)
    }

    /// 403: not for you.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::status(StatusCode::FORBIDDEN)
    }

    /// 404: nothing here.
    #[must_use]
    pub fn not_found() -> Self {
        Self::status(StatusCode::NOT_FOUND)
    }

    /// 429: too often; come back after this time.
    #[must_use]
    pub fn too_many_requests(retry_after: std::time::Duration) -> Self {
        Rejection::new(StatusCode::TOO_MANY_REQUESTS).retry_after(retry_after).into()
    }

    /// 503: not now; come back after this time.
    #[must_use]
    pub fn unavailable(retry_after: std::time::Duration) -> Self {
        Rejection::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(retry_after).into()
    }

    /// Returns the response, for an HTTP stack that sends it.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        self.0.response().map(B::from)
    }

    /// Refuses with a response that was made elsewhere.
    pub(crate) fn from_response(response: Response<String>) -> Self {
        let (parts, body) = response.into_parts();
        Rejection::new(parts.status).headers(parts.headers).body(body).into()
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.0.header(name, value).into()
    }

    /// Sets the body, plain text.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        self.0.body(body).into()
    }
}

/// What `authorize` answers.
pub type Decision = Result<Accept, Reject>;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The hook that decides on each request.
pub(crate) type Authorize =
    Arc<dyn for<'a> Fn(&'a UpgradeRequest) -> BoxFuture<'a, Decision> + Send + Sync>;

/// From which pages a browser may connect. Requests without an `Origin` are not from pages and are
/// always let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Pages from the host that is connected to. The default.
    #[default]
    SameHost,
    /// Pages from the host that is connected to, and from these origins, such as
    /// `https://example.com`.
    AllowList(Vec<String>),
    /// Pages from anywhere: whatever identifies a visitor to the server by itself, a cookie or an
    /// address, is then open to any page that the visitor looks at.
    DangerAnyOrigin,
}

impl OriginPolicy {
    pub(crate) fn allows(&self, handshake: &ServerHandshake) -> bool {
        let listed = match self {
            Self::SameHost => false,
            Self::AllowList(origins) => handshake
                .origin()
                .is_some_and(|origin| origins.iter().any(|o| o.eq_ignore_ascii_case(origin))),
            Self::DangerAnyOrigin => true,
        };
        listed || handshake.is_same_origin()
    }
}
