//! Everything that can be set about a server's sessions.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use everwire_session::{Acks, Config, Principal, StoreConfig};

use super::{
    Session, SessionHandler, SessionSender, Sessions,
    pull::{PullHandler, Serve},
    sessions::{Identify, Table},
};

/// Who showed a ticket.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire::session::{Identity, Principal};
///
/// // Before the hour is over the client is asked for another ticket, without a break.
/// let identity = Identity::new(Principal::new("alice")).valid_for(Duration::from_secs(3600));
/// assert_eq!(identity.principal.name(), Some("alice"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// For how long the ticket is good; `None` for ever. The client is asked for another in time.
    pub valid_for: Option<Duration>,
}

impl Identity {
    /// Returns somebody whose ticket is good for ever.
    #[must_use]
    pub const fn new(principal: Principal) -> Self {
        Self { principal, valid_for: None }
    }

    /// Sets for how long the ticket is good.
    #[must_use]
    pub const fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }
}

/// What [`Sessions`] are made of. See [`Sessions::builder`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire::session::{Session, SessionConfig, Sessions, StoreConfig};
///
/// async fn serve(mut session: Session) {
///     while session.next().await.is_some() {}
/// }
///
/// let mut config = SessionConfig::server();
/// config.terms.ttl = Duration::from_secs(300); // For how long a client may be away.
/// config.buffer.bytes = 64 << 10; // What is kept for it meanwhile.
/// let mut store = StoreConfig::default();
/// store.bytes = 1 << 30; // For all together.
/// let sessions = Sessions::builder().config(config).store(store).pull(serve);
/// ```
#[derive(Default)]
pub struct SessionsBuilder {
    config: Option<Config>,
    store: StoreConfig,
    identify: Option<Identify>,
}

impl SessionsBuilder {
    /// Sets what each session allows, keeps and waits for. Default:
    /// [`SessionConfig::server`](Config::server).
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Sets the bounds of all sessions together.
    #[must_use]
    pub fn store(mut self, store: StoreConfig) -> Self {
        self.store = store;
        self
    }

    /// Says who shows a ticket, or `None` for a ticket that is not good.
    ///
    /// Without it, clients are who `authorize` said that they are, by
    /// [`Accept::data`](crate::Accept::data) of a [`Principal`], or else nobody in particular. With
    /// it, a client that shows no ticket and was not named by `authorize` is refused. It must not
    /// block; what takes time belongs into [`authorize`](crate::ServerBuilder::authorize).
    ///
    /// # Examples
    /// ```
    /// use everwire::session::{Identity, Principal, Sessions};
    ///
    /// Sessions::builder().tickets(|ticket| {
    ///     let name = std::str::from_utf8(ticket).ok()?.strip_prefix("let-me-in-")?;
    ///     Some(Identity::new(Principal::new(name)))
    /// });
    /// ```
    #[must_use]
    pub fn tickets<F>(mut self, identify: F) -> Self
    where
        F: Fn(&[u8]) -> Option<Identity> + Send + Sync + 'static,
    {
        self.identify = Some(Arc::new(identify));
        self
    }

    /// Serves sessions by handlers: `make` makes one per session.
    #[must_use]
    pub fn push<H, F>(self, make: F) -> Sessions
    where
        H: SessionHandler,
        F: Fn(&SessionSender) -> H + Send + Sync + 'static,
    {
        let config = self.config.unwrap_or_else(Config::server);
        let make = Box::new(move |sender: &SessionSender| {
            Box::new(make(sender)) as Box<dyn SessionHandler>
        });
        Sessions(Table::new(config, self.store, self.identify, make))
    }

    /// Serves each session by a future that pulls, in a task of its own.
    ///
    /// # Examples
    /// ```
    /// use everwire::session::{SessionEvent, Sessions};
    ///
    /// Sessions::builder().pull(|mut session| async move {
    ///     while let Some(event) = session.next().await {
    ///         match event {
    ///             SessionEvent::Message(message) => {
    ///                 if session.send_message(&message).is_err() {
    ///                     break;
    ///                 }
    ///             }
    ///             other => println!("{other:?}"),
    ///         }
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn pull<Fut, F>(self, serve: F) -> Sessions
    where
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut config = self.config.unwrap_or_else(Config::server);
        if config.acks == Acks::Automatic {
            // What waits in the queue has not been taken yet.
            config.acks = Acks::Released;
        }
        let (releases, volatile) = (config.acks == Acks::Released, config.volatile_entries);
        let serve: Serve = Arc::new(move |session| Box::pin(serve(session)));
        let make = Box::new(move |_: &SessionSender| {
            Box::new(PullHandler::new(serve.clone(), releases, volatile)) as Box<dyn SessionHandler>
        });
        Sessions(Table::new(config, self.store, self.identify, make))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("config", &self.config)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
