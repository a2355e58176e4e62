//! What a client of sessions is made of.

use std::{
    fmt,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use everwire_session::{Acks, Buffer, Config, SUBPROTOCOL};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{
    SessionClient, SessionStore, StoreError,
    link::{self, Link, Unsaved},
    runner::Runner,
};
use crate::{
    Client,
    reconnect::{AttemptInfo, BoxError, Provider, ReconnectPolicy},
};

/// Everything that can be chosen of a [`SessionClient`].
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use everwire::{Client, session::SessionClient};
///
/// # async fn fresh_ticket(_: bool) -> Result<String, everwire::reconnect::BoxError> { Ok(String::new()) }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = SessionClient::builder(Client::new("wss://example.com/orders")?)
///     .ticket(|info| fresh_ticket(info.refresh_token)) // Asked before each attempt.
///     .ttl(Duration::from_secs(300)) // For how long the server is asked to wait for us.
///     .start()?;
/// client.send("two of them").await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing happens before `start`"]
pub struct SessionClientBuilder {
    setup: Setup,
    config: Config,
}

/// What a client's task needs.
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) policy: ReconnectPolicy,
    pub(super) url: Option<Provider<String>>,
    pub(super) headers: Vec<Provider<HeaderMap>>,
    pub(super) ticket: Option<Provider<Bytes>>,
    pub(super) provider_timeout: Duration,
    pub(super) early: bool,
    store: Option<Box<dyn SessionStore>>,
    /// The last attempt to store it whole failed.
    is_failing: AtomicBool,
}

impl SessionClientBuilder {
    pub(super) fn new(client: Client) -> Self {
        let setup = Setup {
            client,
            policy: ReconnectPolicy::default(),
            url: None,
            headers: Vec::new(),
            ticket: None,
            provider_timeout: Duration::from_secs(10),
            early: true,
            store: None,
            is_failing: AtomicBool::new(false),
        };
        Self { setup, config: Config::client() }
    }

    /// Sets how often it tries again. What the server advises comes first, its time for the first
    /// attempt after a loss included.
    pub fn policy(mut self, policy: ReconnectPolicy) -> Self {
        self.setup.policy = policy;
        self
    }

    /// Asks for the URL before each attempt, instead of using the client's.
    ///
    /// An error, a panic, what is no URL and the [deadline](Self::provider_timeout) are a failed
    /// attempt, after which the next one is made in its time. Where a server has sent the client
    /// elsewhere, nobody is asked until an attempt there fails.
    pub fn url<F, R>(mut self, provider: F) -> Self
    where
        F: Fn(AttemptInfo) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.setup.url = Some(Arc::new(move |info| Box::pin(provider(info))));
        self
    }

    /// Asks for a bearer token (RFC 6750) before each attempt, and sends it as `Authorization`.
    ///
    /// When the server refuses with 401 or 403, it is asked once more, with
    /// [`refresh_token`](AttemptInfo::refresh_token) set; refused again, the client stops.
    /// Failures are as of [`url`](Self::url).
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
        self.setup.headers.push(Arc::new(move |info| Box::pin(provider(info))));
        self
    }

    /// Asks for a ticket, which says who the client is, before each attempt and when the server
    /// wants a fresh one. It travels in the session's first frame; at most 1,600 bytes.
    ///
    /// When the server refuses it, it is asked once more, with
    /// [`refresh_token`](AttemptInfo::refresh_token) set; refused again, the session ends with
    /// 4501. Failures are as of [`url`](Self::url).
    pub fn ticket<F, R, T>(mut self, provider: F) -> Self
    where
        F: Fn(AttemptInfo) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Into<Bytes>,
    {
        self.setup.ticket = Some(Arc::new(move |info| {
            let ticket = provider(info);
            Box::pin(async move { Ok(ticket.await?.into()) })
        }));
        self
    }

    /// Bounds the time of each provider. Default: 10 s.
    pub fn provider_timeout(mut self, timeout: Duration) -> Self {
        self.setup.provider_timeout = timeout;
        self
    }

    /// Sets how long the server is asked to keep the session while it is detached; nothing: for how
    /// long is left to the server. Default: 60 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// Sets what the server may send before the application has taken it, in bytes; each message
    /// counts 32 more. Default: 256 KiB.
    pub fn window(mut self, window: u64) -> Self {
        self.config.window = window;
        self
    }

    /// Sets the largest message that is accepted, in bytes. Default: 1 MiB.
    pub fn max_message(mut self, max_message: u64) -> Self {
        self.config.max_message = max_message;
        self
    }

    /// Sets what is kept until the server lets it be forgotten, and what happens when that is full
    /// while there is no connection. Default: 1 MiB and 4,096 messages; then `send` waits.
    pub fn buffer(mut self, buffer: Buffer) -> Self {
        self.config.buffer = buffer;
        self
    }

    /// Sets who gives credit back for messages of the server.
    ///
    /// [`Automatic`](Acks::Automatic), the default, does so when a message is handed out; with a
    /// [store](Self::store) it does so when the next event is asked for, and the server keeps the
    /// message until then. With the others the application does, by
    /// [`release`](super::ClientSender::release); with a store, both are [`Manual`](Acks::Manual).
    pub fn acks(mut self, acks: Acks) -> Self {
        self.config.acks = acks;
        self
    }

    /// Sets everything of the session itself, in place of the methods above.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Survives the process: the session is kept in this store and found there by the next one.
    /// What is handed out is then delivered again if the process dies before the next event is
    /// asked for.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.setup.store = Some(Box::new(store));
        self
    }

    /// Sets whether the session's first frame travels in the upgrade request, which saves a round
    /// trip. Default: yes. A client that follows redirects does not.
    pub fn early(mut self, early: bool) -> Self {
        self.setup.early = early;
        self
    }

    /// Begins to connect, in a task of its own.
    ///
    /// # Errors
    /// [`StoreError`] if what is stored cannot be loaded.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn start(self) -> Result<SessionClient, StoreError> {
        let Self { mut setup, mut config } = self;
        let stored = match &setup.store {
            Some(store) => store.load().map_err(StoreError)?,
            None => None,
        };
        let credit = link::acks(&mut config, setup.store.is_some());
        let mut connection = setup.client.connection_config().clone();
        connection.limits.message = connection.limits.message.max(config.max_frame());
        setup.client = setup.client.config(connection).offer_first(SUBPROTOCOL);
        let (link, states) = Link::new(Arc::new(config), credit, setup.store.is_some(), stored);
        let client = SessionClient::new(link.clone(), states);
        tokio::spawn(Runner::new(setup, link).run());
        Ok(client)
    }
}

impl Setup {
    /// Returns whether anything is asked for what may have become invalid.
    pub(super) fn has_provider(&self) -> bool {
        self.url.is_some() || !self.headers.is_empty() || self.ticket.is_some()
    }

    pub(super) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Stores the session, until what may be stated is stored.
    pub(super) fn save(&self, link: &Link) {
        let Some(store) = &self.store else { return };
        // Meanwhile more may be accepted for sending; at the latest when the buffer is full this
        // ends.
        while let Some((unsaved, saved)) = link.unsaved() {
            match unsaved {
                Unsaved::Change(change) if store.save_change(&change).is_ok() => {
                    link.saved(saved, true);
                }
                Unsaved::Forget => self.forget(link),
                Unsaved::Change(_) | Unsaved::Save => {
                    let (session, saved) = link.whole();
                    let result = store.save(&session);
                    self.tell_of(&result);
                    link.saved(saved, result.is_ok());
                }
            }
        }
    }

    /// Tells of a store that fails: once, and when it has recovered.
    fn tell_of(&self, saved: &io::Result<()>) {
        match (saved, self.is_failing.swap(saved.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(
                %error,
                "session cannot be stored: it goes on, and would not survive this process"
            ),
            (Ok(()), true) => tracing::warn!("session is stored again"),
            _ => {}
        }
    }

    pub(super) fn forget(&self, link: &Link) {
        if let Some(store) = &self.store
            && let Err(error) = store.forget()
        {
            tracing::warn!(%error, "stored session cannot be forgotten");
        }
        link.forgotten();
    }
}

impl fmt::Debug for SessionClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionClientBuilder")
            .field("client", &self.setup.client)
            .field("policy", &self.setup.policy)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
