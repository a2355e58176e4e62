//! What a reconnecting client is made of.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{
    AdaptiveKeepalive, BoxError, Ending, Overdue, ReconnectPolicy, ReconnectingClient, Retry,
    State, WhileDown, link::Link, runner::Runner,
};
use crate::{Client, WebSocket};

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
pub(crate) type Provider<T> = Arc<dyn Fn(AttemptInfo) -> Boxed<T> + Send + Sync>;
pub(super) type Headers = Provider<HeaderMap>;
/// In a mutex so that it may be shared, though nobody shares it.
pub(super) type OnState = Mutex<Box<dyn FnMut(&State) + Send>>;
type Decide = Arc<dyn Fn(&Ending) -> Retry + Send + Sync>;
type Hook = Arc<dyn Fn(WebSocket, u64) -> Boxed<WebSocket> + Send + Sync>;

/// What providers are told of the attempt that they are asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// Its number since the last stable connection; the first is 1.
    pub number: u32,
    /// The last failure suggests that a new token would help: one from a cache will not do.
    pub refresh_token: bool,
    /// What came before it; nothing before the first.
    pub last: Option<Ending>,
}

/// Everything that can be chosen of a [`ReconnectingClient`].
#[must_use = "nothing happens before `start`"]
pub struct ReconnectBuilder {
    pub(super) client: Client,
    pub(super) policy: ReconnectPolicy,
    pub(super) while_down: WhileDown,
    pub(super) adaptive: Option<AdaptiveKeepalive>,
    pub(super) url: Option<Provider<String>>,
    pub(super) headers: Vec<Headers>,
    pub(super) provider_timeout: Duration,
    pub(super) on_connect: Option<Hook>,
    pub(super) on_connect_timeout: Duration,
    pub(super) retry: Option<Decide>,
    pub(super) on_state: Option<OnState>,
}

impl ReconnectBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            policy: ReconnectPolicy::default(),
            while_down: WhileDown::default(),
            adaptive: None,
            url: None,
            headers: Vec::new(),
            provider_timeout: Duration::from_secs(10),
            on_connect: None,
            on_connect_timeout: Duration::from_secs(10),
            retry: None,
            on_state: None,
        }
    }

    /// Sets how often it tries again.
    pub fn policy(mut self, policy: ReconnectPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what becomes of messages that are sent while no connection is open. Default: they are
    /// refused.
    pub fn while_down(mut self, while_down: WhileDown) -> Self {
        self.while_down = while_down;
        self
    }

    /// Finds the longest keepalive interval that the path tolerates, instead of keeping to the
    /// client's.
    pub fn adaptive_keepalive(mut self, keepalive: AdaptiveKeepalive) -> Self {
        self.adaptive = Some(keepalive);
        self
    }

    /// Asks for the URL before each attempt, instead of using the client's.
    ///
    /// An error, a panic, what is no URL and the [deadline](Self::provider_timeout) are a failed
    /// attempt, after which the next one is made in its time.
    pub fn url<F, R>(mut self, provider: F) -> Self
    where
        F: Fn(AttemptInfo) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.url = Some(Arc::new(move |info| Box::pin(provider(info))));
        self
    }

    /// Asks for a bearer token (RFC 6750) before each attempt, and sends it as `Authorization`.
    ///
    /// When the server refuses with 401 or 403, it is asked once more, with
    /// [`refresh_token`](AttemptInfo::refresh_token) set; refused again, the client stops. Without
    /// any provider it stops at the first refusal. Failures are as of [`url`](Self::url): a token
    /// service that cannot be reached is no reason to stop.
    pub fn token<F, R>(self, provider: F) -> Self
    where
        F: Fn(AttemptInfo) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.headers(move |info| {
            let token = provider(info);
            async move {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.await?))?;
                value.set_sensitive(true);
                Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
            }
        })
    }

    /// Asks for header fields before each attempt; they take the place of the client's fields of
    /// the same names. Failures are as of [`url`](Self::url).
    pub fn headers<F, R>(mut self, provider: F) -> Self
    where
        F: Fn(AttemptInfo) -> R + Send + Sync + 'static,
        R: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.headers.push(Arc::new(move |info| Box::pin(provider(info))));
        self
    }

    /// Bounds the time of each provider. Default: 10 s.
    pub fn provider_timeout(mut self, timeout: Duration) -> Self {
        self.provider_timeout = timeout;
        self
    }

    /// Runs this on every new connection before anything else uses it: to subscribe anew, or to
    /// wait for a greeting. It is given the connection with its number and gives it back.
    ///
    /// What it receives is its own; what is sent elsewhere waits, or is treated as
    /// [`while_down`](Self::while_down) says, until it is done. An error, a panic and the
    /// [deadline](Self::on_connect_timeout) are a failed attempt.
    ///
    /// # Examples
    /// ```no_run
    /// use everwire::{Client, reconnect::ReconnectingClient};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ReconnectingClient::builder(Client::new("wss://example.com/live")?)
    ///     .on_connect(|ws, _generation| async move {
    ///         ws.send("subscribe prices").await?;
    ///         Ok(ws)
    ///     })
    ///     .start();
    /// # Ok(()) }
    /// ```
    pub fn on_connect<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(WebSocket, u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<WebSocket, BoxError>> + Send + 'static,
    {
        self.on_connect = Some(Arc::new(move |ws, generation| Box::pin(hook(ws, generation))));
        self
    }

    /// Bounds the time of `on_connect`. Default: 10 s.
    pub fn on_connect_timeout(mut self, timeout: Duration) -> Self {
        self.on_connect_timeout = timeout;
        self
    }

    /// Decides what follows an ended connection or a failed attempt. [`Ending::retry`] is what
    /// happens without it; [`Retry::RefreshTokenOnce`] is never where there is no provider.
    ///
    /// # Examples
    /// ```no_run
    /// use everwire::{Client, reconnect::{ReconnectingClient, Retry}};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ReconnectingClient::builder(Client::new("wss://example.com/live")?)
    ///     .retry(|ending| match ending.status().map(|status| status.as_u16()) {
    ///         Some(404) => Retry::Now, // it appears when the first player joins
    ///         _ => ending.retry(),
    ///     })
    ///     .start();
    /// # Ok(()) }
    /// ```
    pub fn retry(mut self, retry: impl Fn(&Ending) -> Retry + Send + Sync + 'static) -> Self {
        self.retry = Some(Arc::new(retry));
        self
    }

    /// Calls this for every state, in order and without a gap. It must not block.
    pub fn on_state(mut self, on_state: impl FnMut(&State) + Send + 'static) -> Self {
        self.on_state = Some(Mutex::new(Box::new(on_state)));
        self
    }

    /// Begins to connect, in a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    #[must_use = "dropping the last handle ends it"]
    pub fn start(self) -> ReconnectingClient {
        let (link, states) = Link::new(self.while_down.clone());
        let client = ReconnectingClient::new(link.clone(), states);
        tokio::spawn(Runner::new(self, link).run());
        client
    }

    /// Returns whether anything is asked for what may have become invalid.
    pub(super) fn has_provider(&self) -> bool {
        self.url.is_some() || !self.headers.is_empty()
    }
}

impl std::fmt::Debug for ReconnectBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconnectBuilder")
            .field("client", &self.client)
            .field("policy", &self.policy)
            .field("while_down", &self.while_down)
            .finish_non_exhaustive()
    }
}

/// Runs the application's code: its panic and its deadline are errors like others.
pub(crate) async fn guarded<T>(
    limit: Duration,
    run: impl FnOnce() -> Boxed<T>,
) -> Result<T, BoxError> {
    let run = AssertUnwindSafe(async { run().await }).catch_unwind();
    match tokio::time::timeout(limit, run).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("it panicked".into()),
        Err(_) => Err(Overdue { after: limit }.into()),
    }
}
