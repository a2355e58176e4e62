//! Keepalive that finds the longest interval which the path tolerates.

#[cfg(feature = "json")]
mod json_file;
mod search;
mod store;
mod tuner;

use std::{fmt, sync::Arc, time::Duration};

use everwire_proto::Keepalive;

#[cfg(feature = "json")]
pub use self::json_file::JsonFile;
use self::search::Search;
pub use self::store::{KeepaliveStore, MemoryStore, PathRecord};
pub(super) use self::tuner::Tuner;

/// Keepalive with the longest interval that the path tolerates, found by trying: for devices whose
/// battery pays for every ping.
///
/// Boxes on the path (routers, proxies, mobile networks) forget a connection that is silent for too
/// long. The search begins at 25 s, and an interval counts as tolerated when two pings into an
/// otherwise silent connection were answered after it; then the next one is half as long again. A
/// silence counts as not tolerated when the connection was gone after it twice and the next attempt
/// to connect succeeded at once each time: everything else is an outage and proves nothing. So a
/// search costs some connections, and what it found is remembered for each network.
///
/// A dead peer is noticed later the longer the interval is: after the interval and 20 s.
///
/// # Examples
/// ```no_run
/// use everwire::{Client, reconnect::{AdaptiveKeepalive, JsonFile, ReconnectingClient}};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let keepalive = AdaptiveKeepalive::new(JsonFile::new("keepalive.json"));
/// let client = ReconnectingClient::builder(Client::new("wss://example.com/live")?)
///     .adaptive_keepalive(keepalive.network(|| "home".into()))
///     .start();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AdaptiveKeepalive {
    store: Arc<dyn KeepaliveStore>,
    network: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    shortest: Duration,
    longest: Duration,
    timeout: Duration,
}

impl AdaptiveKeepalive {
    /// Returns a policy that remembers in `store` what it found.
    #[must_use]
    pub fn new(store: impl KeepaliveStore) -> Self {
        Self {
            store: Arc::new(store),
            network: None,
            shortest: Duration::from_secs(25),
            longest: Duration::from_secs(540),
            timeout: Duration::from_secs(20),
        }
    }

    /// Names the network that is in use, such as its SSID or the carrier; asked whenever a
    /// connection opens, on a thread where it may block. Without it, what was found is remembered
    /// for the host alone.
    #[must_use]
    pub fn network(mut self, label: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.network = Some(Arc::new(label));
        self
    }

    /// Bounds the interval from above, such as by what is known of the server's proxies. Default:
    /// 9 min.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Sets where the search begins, and what is always taken for tolerated. Default: 25 s.
    #[must_use]
    pub fn shortest(mut self, shortest: Duration) -> Self {
        self.shortest = shortest;
        self
    }

    /// Returns what a connection begins with, before the path is known.
    pub(super) fn first(&self) -> Keepalive {
        Keepalive::new(self.shortest, self.timeout).learning()
    }

    /// Sets the time the peer has after a Ping to show any life. Default: 20 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl fmt::Debug for AdaptiveKeepalive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveKeepalive")
            .field("shortest", &self.shortest)
            .field("longest", &self.longest)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
