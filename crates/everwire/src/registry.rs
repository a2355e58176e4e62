//! All live connections of a server.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use everwire_proto::{Cause, CloseCode, CloseFrame, Counters, SendError};

use crate::{
    ConnectionId, Sender,
    server::Slot,
    shared::{Phase, Shared},
};

/// Connections are spread over this many tables, so that threads seldom meet.
const SHARDS: usize = 16;

/// All live connections of a server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shards: [Mutex<HashMap<u64, Arc<Shared>>>; SHARDS],
    count: AtomicUsize,
}

/// Takes a connection out of the registry when it is dropped.
pub(crate) struct Registration {
    registry: Weak<Inner>,
    id: u64,
    /// Its place among the connections that a server allows.
    _slot: Option<Slot>,
}

impl Registry {
    /// Adds a connection until the returned value is dropped.
    pub(crate) fn insert(&self, shared: &Arc<Shared>, slot: Option<Slot>) -> Registration {
        let id = shared.id.into();
        self.0.shard(id).insert(id, shared.clone());
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Registration { registry: Arc::downgrade(&self.0), id, _slot: slot }
    }

    /// Returns how many connections are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Returns whether no connection is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks a connection up.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<Sender> {
        let id = id.into();
        self.0.shard(id).get(&id).cloned().map(Sender::unguarded)
    }

    /// Ends one connection with a closing handshake. Returns whether there was one of this id.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close(
        &self,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<bool, SendError> {
        let frame = CloseFrame::new(code, reason)?;
        let id = id.into();
        let shared = self.0.shard(id).get(&id).cloned();
        if let Some(shared) = &shared {
            shared.close(Cause::Kicked, frame);
        }
        Ok(shared.is_some())
    }

    /// Returns what is known of every connection, in order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<ConnectionInfo> {
        let mut list: Vec<_> =
            self.all().iter().map(|shared| ConnectionInfo::new(shared)).collect();
        list.sort_by_key(|info| info.id);
        list
    }

    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        (0..SHARDS as u64)
            .flat_map(|shard| self.0.shard(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }
}

impl Inner {
    fn shard(&self, id: u64) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Shared>>> {
        let shard = &self.shards[(id % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.shard(self.id).remove(&self.id);
            registry.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish()
    }
}

/// What is known of a live connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// The path that the client asked for.
    pub path: Arc<str>,
    /// The address that the socket is connected to.
    pub remote_addr: Option<SocketAddr>,
    /// The address of the client, which a trusted proxy may have told.
    pub client_ip: Option<IpAddr>,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<String>,
    /// Since when it is open.
    pub since: Instant,
    /// When the last byte was received.
    pub last_received: Instant,
    /// What went through it.
    pub counters: Counters,
    /// Whether a closing handshake has begun.
    pub is_closing: bool,
}

impl ConnectionInfo {
    fn new(shared: &Shared) -> Self {
        Self {
            id: shared.id,
            path: shared.path.clone(),
            remote_addr: shared.peers.remote,
            client_ip: shared.client_ip(),
            subprotocol: shared.subprotocol.as_deref().map(Into::into),
            since: shared.since,
            last_received: shared.last_received(),
            counters: shared.counters(),
            is_closing: shared.lock().phase != Phase::Open,
        }
    }
}
