//! The client: from a URL to an open connection.

mod body;
mod cookies;
mod error;
mod observer;
mod opening;
mod redirect;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use everwire_proto::{Config, DeflateConfig, handshake::ClientHandshakeError};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{AUTHORIZATION, ORIGIN},
};
use tokio::time::Instant;

pub use self::{
    cookies::{CookieJar, CookieStore},
    error::{ConnectError, Refused},
    observer::ClientObserver,
};
use self::{
    observer::Frames,
    opening::{Answer, Attempt, Opened},
};
use crate::{
    Handler, Sender, WebSocket,
    dial::{Credentials, Dialer, PhaseTracker, ProxyConfig, SocketConfig, Target, UrlError},
    driver::{Driver, Task},
    handler::HandlerApp,
    websocket::{Elsewhere, PullApp},
};

/// Stands in for a deadline that the clock cannot express.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// Connects to a URL with every default.
///
/// # Errors
/// As [`Client::connect`].
///
/// # Cancel safety
/// As [`Client::connect`].
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ws = everwire::connect("wss://echo.example/").await?;
/// ws.send("hello").await?;
/// println!("{:?}", ws.recv().await);
/// # Ok(()) }
/// ```
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Client::new(url)?.connect().await
}

/// Returns where a server sends a client that came to `base`.
///
/// # Errors
/// It is no URL that could be connected to, or leads from `wss` to `ws`.
pub(crate) fn sent_to(base: &Target, place: &str) -> Result<Target, ConnectError> {
    redirect::resolve(base, place)
}

/// Where to connect to and how: everything a client can choose before a connection exists.
///
/// One value serves any number of attempts, at the same time too. Clones share the TLS sessions and
/// the cookies.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use everwire::{Client, CloseCode};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("wss://example.com/live?room=1")?
///     .subprotocols(["chat.v2", "chat.v1"])
///     .bearer("secret")
///     .connect_timeout(Duration::from_secs(5));
/// let mut ws = client.connect().await?;
/// println!("{} speaks {:?}", ws.request().expect("a client asked").uri(), ws.subprotocol());
/// while let Some(message) = ws.recv().await {
///     println!("{message:?}");
/// }
/// println!("{}", ws.closed().await);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    target: Target,
    headers: HeaderMap,
    /// The first header that cannot be sent; reported by the attempt.
    invalid_header: Option<String>,
    subprotocols: Vec<String>,
    config: Arc<Config>,
    connect_timeout: Duration,
    dialer: Dialer,
    /// The dialer came from the user, with its socket options.
    has_own_dialer: bool,
    redirects: usize,
    cookies: Option<Arc<dyn CookieStore>>,
    observer: Option<Arc<dyn ClientObserver>>,
}

impl Client {
    /// Takes a `ws`, `wss`, `http` or `https` URL. A user name and a password in it are sent as
    /// basic authentication.
    ///
    /// # Errors
    /// [`UrlError`] says which part of the URL is wrong and what was expected there.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        Ok(Self {
            target: Target::parse(url)?,
            headers: HeaderMap::new(),
            invalid_header: None,
            subprotocols: Vec::new(),
            config: Arc::new(Config::default()),
            connect_timeout: Duration::from_secs(10),
            dialer: Dialer::new(),
            has_own_dialer: false,
            redirects: 0,
            cookies: None,
            observer: None,
        })
    }

    /// Sends this header with the opening handshake, beside others of the same name.
    ///
    /// A name or value that cannot be sent, and a header that the handshake itself sets, fail the
    /// attempt ([`ConnectError::Header`], [`ConnectError::Request`]).
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName> + fmt::Debug + Clone,
        V: TryInto<HeaderValue>,
    {
        let shown = name.clone();
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            // The value may be a secret and is not shown.
            _ => {
                self.invalid_header.get_or_insert_with(|| format!("{shown:?}"));
            }
        }
        self
    }

    /// Offers these subprotocols, the preferred one first.
    #[must_use]
    pub fn subprotocols<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sends this `Origin`, as a browser would for a page of that origin.
    #[must_use]
    pub fn origin<V: TryInto<HeaderValue>>(self, origin: V) -> Self {
        self.set(ORIGIN, origin)
    }

    /// Sends a bearer token (RFC 6750) as `Authorization`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.set(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends a user name and a password as `Authorization`, instead of those of the URL.
    #[must_use]
    pub fn basic(self, credentials: &Credentials) -> Self {
        self.set(AUTHORIZATION, credentials.basic())
    }

    /// Sends the cookies of this store and gives it those that servers set, also when the
    /// handshake then fails.
    #[must_use]
    pub fn cookies(mut self, cookies: Arc<dyn CookieStore>) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Sets what the connection allows and how long it waits.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Offers to compress messages (permessage-deflate, RFC 7692), in the configuration that is set
    /// so far. Default: off.
    ///
    /// See [`DeflateConfig`] for what compression tells those who watch.
    #[must_use]
    pub fn deflate(mut self, deflate: DeflateConfig) -> Self {
        Arc::make_mut(&mut self.config).deflate = Some(deflate);
        self
    }

    /// Bounds the time until the connection is open: name resolution, TCP, proxy, TLS, redirects
    /// and the opening handshake together. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how byte streams are opened: resolver, socket options, proxy, TLS.
    #[must_use]
    pub fn dialer(mut self, dialer: Dialer) -> Self {
        self.dialer = dialer;
        self.has_own_dialer = true;
        self
    }

    /// Sets which proxy to use. Default: what the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyConfig) -> Self {
        self.dialer = self.dialer.with_proxy(proxy);
        self
    }

    /// Sets how `wss` servers are verified. Default: by the platform's trusted roots.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ClientTls) -> Self {
        self.dialer = self.dialer.with_tls(tls);
        self
    }

    /// Follows up to `max` redirects. Default: none; a redirect is then a
    /// [refusal](ConnectError::Refused).
    ///
    /// Never from `wss` to `ws`. `Authorization`, `Cookie`, a `Host` that was set and tokens among
    /// the subprotocols stay with the first host and port; cookies of a [`CookieStore`] go where
    /// they belong.
    #[must_use]
    pub fn redirects(mut self, max: usize) -> Self {
        self.redirects = max;
        self
    }

    /// Lets `observer` see the heads of the opening handshake and every frame.
    #[must_use]
    pub fn observer(mut self, observer: impl ClientObserver) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Returns where this connects to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Opens a connection for application code (the pull face). A task of its own drives it.
    ///
    /// # Errors
    /// [`ConnectError`] says who failed, and in which step.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket; no connection is left behind.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn connect(&self) -> Result<WebSocket, ConnectError> {
        self.connect_with(PullApp::elsewhere()).await
    }

    /// Opens a connection whose [`recv_or_end`](crate::Receiver::recv_or_end) tells why it ends.
    pub(crate) async fn connect_telling(&self) -> Result<WebSocket, ConnectError> {
        self.connect_with(PullApp::telling()).await
    }

    async fn connect_with(&self, app: PullApp<Elsewhere>) -> Result<WebSocket, ConnectError> {
        let Opened { io, proto, shared, early, request } = self.open().await?;
        let ws = WebSocket::new(shared.clone(), Some(request));
        tokio::spawn(Task::new(Driver::new(io, proto, shared, app, early, None)));
        Ok(ws)
    }

    /// Opens a connection whose events `handler` is called for (the push face), in a task of its
    /// own. The returned handle does not keep the connection open.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); then `handler` was never called.
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    pub async fn connect_handler(&self, handler: impl Handler) -> Result<Sender, ConnectError> {
        let Opened { io, proto, shared, early, .. } = self.open().await?;
        let sender = Sender::unguarded(shared.clone());
        tokio::spawn(Task::new(Driver::new(
            io,
            proto,
            shared,
            HandlerApp::new(handler),
            early,
            None,
        )));
        Ok(sender)
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        if let Some(name) = &self.invalid_header {
            return Err(ConnectError::Header { name: name.clone() });
        }
        let phase = PhaseTracker::default();
        let now = Instant::now();
        let deadline = now.checked_add(self.connect_timeout).unwrap_or(now + FOREVER);
        // Boxed: this future is large, and whoever awaits it should not be.
        Box::pin(phase.within(self.connect_timeout, self.follow(&phase, deadline))).await
    }

    /// Makes attempts until one is not redirected.
    async fn follow(
        &self,
        phase: &PhaseTracker,
        deadline: Instant,
    ) -> Result<Opened, ConnectError> {
        let dialer = self.attempt_dialer();
        let mut attempt = Attempt::new(self);
        for n_redirects in 0.. {
            match attempt.open(&dialer, phase, deadline).await {
                Err(ConnectError::Refused(refused)) if self.redirects > 0 => {
                    let Some(location) = redirect::location(&refused) else {
                        return Err(ConnectError::Refused(refused));
                    };
                    let next = redirect::resolve(&attempt.target, location)?;
                    if n_redirects == self.redirects {
                        let limit = self.redirects;
                        return Err(ConnectError::TooManyRedirects {
                            limit,
                            location: next.to_string(),
                        });
                    }
                    attempt.redirect(next);
                }
                result => return result,
            }
        }
        unreachable!("the loop has no end but its returns")
    }

    /// Returns the dialer with the socket options that suit the keepalive policy.
    fn attempt_dialer(&self) -> Dialer {
        if self.has_own_dialer {
            return self.dialer.clone();
        }
        let user_timeout = crate::path::user_timeout(&self.config);
        let socket = SocketConfig { user_timeout, ..SocketConfig::default() };
        self.dialer.clone().with_socket(socket)
    }

    /// Connects where a server sent us; what is meant for the host of `home` is not told another.
    /// Returns also whether it is that host.
    pub(crate) fn led_to(mut self, home: &Target, target: Target) -> (Self, bool) {
        let is_home = redirect::is_same_host(home, &target);
        if !is_home {
            opening::strip(&mut self.headers, &mut self.subprotocols);
        }
        (self.at(target), is_home)
    }

    /// Connects to another URL.
    pub(crate) fn at(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sends these headers instead of others of the same names.
    pub(crate) fn replace_headers(mut self, headers: HeaderMap) -> Self {
        for name in headers.keys() {
            self.headers.remove(name);
        }
        self.headers.extend(headers);
        self
    }

    /// Offers this subprotocol before all others.
    pub(crate) fn offer_first(mut self, name: &str) -> Self {
        self.subprotocols.insert(0, name.to_owned());
        self
    }

    /// Returns whether a server may send us elsewhere.
    pub(crate) fn follows_redirects(&self) -> bool {
        self.redirects > 0
    }

    pub(crate) fn connection_config(&self) -> &Config {
        &self.config
    }

    /// Returns the longest time that an attempt may take.
    pub(crate) fn attempt_limit(&self) -> Duration {
        self.connect_timeout
    }

    /// Sends this header instead of others of the same name.
    fn set<V: TryInto<HeaderValue>>(mut self, name: HeaderName, value: V) -> Self {
        self.headers.remove(&name);
        self.header(name, value)
    }

    fn frames(&self) -> Option<Box<Frames>> {
        self.observer.clone().map(|observer| Box::new(Frames(observer)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values may be secrets.
        f.debug_struct("Client")
            .field("target", &self.target)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("connect_timeout", &self.connect_timeout)
            .field("redirects", &self.redirects)
            .field("dialer", &self.dialer)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// Returns the response that opened the connection, if this end asked for it.
    #[must_use]
    pub fn response(&self) -> Option<&Response<()>> {
        self.shared().data::<Answer>().map(|answer| &answer.0)
    }
}

impl From<ClientHandshakeError> for ConnectError {
    fn from(source: ClientHandshakeError) -> Self {
        Self::Handshake(source)
    }
}
