//! Connections in memory, for testing the code that uses them.
//!
//! No socket, no port, no handshake; and under `tokio::time::pause` a minute of silence takes no
//! time.

use std::{fmt, sync::Arc};

use everwire_proto::{Config, handshake::Agreed};

use crate::{Handler, Sender, WebSocket, adapt::Attach};

/// Returns the two ends of a connection in memory: the client's and the server's.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// # Examples
/// ```
/// use everwire::{Cause, CloseCode, WebSocket};
///
/// async fn echo(mut ws: WebSocket) {
///     while let Some(message) = ws.recv().await {
///         ws.send(message).await.ok();
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut client, server) = everwire::test::pair();
/// tokio::spawn(echo(server));
/// client.send("hello").await?;
/// assert_eq!(client.recv().await.unwrap().as_text(), Some("hello"));
/// let closure = client.close(CloseCode::NORMAL_CLOSURE, "bye")?.await;
/// assert_eq!(closure.cause, Cause::LocalClosed);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn pair() -> (WebSocket, WebSocket) {
    Pair::new().pull()
}

/// Builds a connection in memory.
///
/// # Examples
/// ```
/// use everwire::{Config, test::Pair};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut config = Config::default();
/// config.limits.message = 1024;
/// let (client, server) = Pair::new().server_config(config).subprotocol("chat").pull();
/// assert_eq!(server.subprotocol(), Some("chat"));
/// # }
/// ```
pub struct Pair {
    client: Arc<Config>,
    server: Arc<Config>,
    path: Arc<str>,
    subprotocol: Option<Box<str>>,
    capacity: usize,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            client: Arc::default(),
            server: Arc::default(),
            path: "/".into(),
            subprotocol: None,
            capacity: 64 << 10,
        }
    }
}

impl Pair {
    /// Returns a pair with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what both ends allow and how long they wait.
    #[must_use]
    pub fn config(self, config: impl Into<Arc<Config>>) -> Self {
        let config = config.into();
        self.client_config(config.clone()).server_config(config)
    }

    /// Sets what the client allows and how long it waits.
    #[must_use]
    pub fn client_config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.client = config.into();
        self
    }

    /// Sets what the server allows and how long it waits.
    #[must_use]
    pub fn server_config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.server = config.into();
        self
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

    /// Sets how many bytes are under way at most, in each direction. Default: 64 KiB.
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes.max(1);
        self
    }

    /// Returns the client's and the server's end.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn pull(self) -> (WebSocket, WebSocket) {
        let (near, far) = tokio::io::duplex(self.capacity);
        let [client, server] = self.ends();
        (client.pull(near), server.pull(far))
    }

    /// Lets a handler run the server's end; returns the client's end and a sender of the server's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn push(self, handler: impl Handler) -> (WebSocket, Sender) {
        let (near, far) = tokio::io::duplex(self.capacity);
        let [client, server] = self.ends();
        (client.pull(near), server.push(far, handler))
    }

    fn ends(self) -> [Attach; 2] {
        let mut client = Attach::client().config(self.client.clone());
        let mut server = Attach::server().config(self.server.clone());
        if let (Some(offering), Some(accepting)) = (self.client.deflate, self.server.deflate)
            && let Some((answer, of_server)) = accepting.accept(&[offering.offer()])
        {
            let mut agreed = Agreed::default();
            agreed.extensions.push(answer);
            let of_client = offering.agree(&agreed).expect("an answer to the offer");
            client = client.deflate(of_client.expect("an answer"));
            server = server.deflate(of_server);
        }
        [client, server].map(|end| {
            let end = end.path(self.path.clone());
            match &self.subprotocol {
                Some(subprotocol) => end.subprotocol(subprotocol.clone()),
                None => end,
            }
        })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("path", &self.path)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
