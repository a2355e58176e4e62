//! All live connections of a server.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use everwire_proto::{Cause, CloseCode, CloseFrame, Closure, Counters, SendError};
use http::StatusCode;

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
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Opening handshakes that were refused, by status.
    refused: Mutex<BTreeMap<u16, u64>>,
    /// Opening handshakes that ended without an answer, by reason.
    failed: Mutex<BTreeMap<&'static str, u64>>,
}

/// A part of the connections. What is live and what has ended change under one lock, so that
/// totals never count a connection twice or not at all.
#[derive(Default)]
struct Shard {
    live: HashMap<u64, Arc<Shared>>,
    closed: Totals,
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
        self.0.shard(id).live.insert(id, shared.clone());
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
        self.0.shard(id).live.get(&id).cloned().map(Sender::unguarded)
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
        let shared = self.0.shard(id).live.get(&id).cloned();
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

    /// Returns what is known of one connection.
    #[must_use]
    pub fn info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        let id = id.into();
        let shared = self.0.shard(id).live.get(&id).cloned();
        shared.map(|shared| ConnectionInfo::new(&shared))
    }

    /// Returns what has happened since the server started, for metrics. Nothing is counted per
    /// message for it: it is added up when it is asked for.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in 0..SHARDS as u64 {
            let shard = self.0.shard(shard);
            totals.opened += shard.closed.opened + shard.live.len() as u64;
            totals.open += shard.live.len() as u64;
            for (cause, n) in &shard.closed.closed {
                *totals.closed.entry(cause).or_default() += n;
            }
            add(&mut totals.counters, &shard.closed.counters);
            for (code, n) in &shard.closed.codes {
                *totals.codes.entry(*code).or_default() += n;
            }
            for live in shard.live.values() {
                add(&mut totals.counters, &live.counters());
                let (queued, has_room) = live.send_queue();
                totals.queued_bytes += queued as u64;
                totals.full_queues += u64::from(!has_room);
                if let Some(rtt) = live.rtt() {
                    totals.rtt_known += 1;
                    totals.rtt_sum += rtt;
                    totals.rtt_max = totals.rtt_max.max(rtt);
                }
            }
        }
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        totals.refused.clone_from(&refused);
        drop(refused);
        let failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        totals.failed.clone_from(&failed);
        drop(failed);
        totals
    }

    /// Counts an opening handshake that was refused.
    pub(crate) fn count_refused(&self, status: StatusCode) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(status.as_u16()).or_default() += 1;
    }

    /// Counts an opening handshake that ended without an answer.
    pub(crate) fn count_failed(&self, reason: &'static str) {
        let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed.entry(reason).or_default() += 1;
    }

    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        (0..SHARDS as u64)
            .flat_map(|shard| self.0.shard(shard).live.values().cloned().collect::<Vec<_>>())
            .collect()
    }
}

impl Inner {
    fn shard(&self, id: u64) -> std::sync::MutexGuard<'_, Shard> {
        let shard = &self.shards[(id % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Takes the connection out of the registry and remembers how it ended.
    pub(crate) fn end(mut self, closure: &Closure) {
        self.take_out(closure.cause.label(), closure.code(), &closure.counters);
    }

    fn take_out(&mut self, cause: &'static str, code: CloseCode, counters: &Counters) {
        let Some(registry) = std::mem::take(&mut self.registry).upgrade() else { return };
        registry.count.fetch_sub(1, Ordering::Relaxed);
        let mut shard = registry.shard(self.id);
        shard.live.remove(&self.id);
        shard.closed.opened += 1;
        *shard.closed.closed.entry(cause).or_default() += 1;
        *shard.closed.codes.entry(code.into()).or_default() += 1;
        add(&mut shard.closed.counters, counters);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let code = CloseCode::ABNORMAL_CLOSURE;
        self.take_out(Cause::Cancelled.label(), code, &Counters::default());
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish()
    }
}

/// What has happened on a server since it started. See [`Registry::totals`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that are live.
    pub open: u64,
    /// Connections that have ended, by [`Cause::label`].
    pub closed: BTreeMap<&'static str, u64>,
    /// Connections that have ended, by the code that the peer sent ([`Closure::code`]: 1005 if its
    /// Close had none, 1006 if no Close came).
    pub codes: BTreeMap<u16, u64>,
    /// Opening handshakes that were refused, by HTTP status.
    pub refused: BTreeMap<u16, u64>,
    /// Opening handshakes that ended without an answer, by reason: `proxy_header` (a trusted proxy
    /// sent no PROXY protocol header, or a bad one), `tls`, `timeout`, `eof` (the client went before
    /// its request was complete) and `io`.
    pub failed: BTreeMap<&'static str, u64>,
    /// Bytes that wait to be sent on live connections.
    pub queued_bytes: u64,
    /// Live connections whose send queue is full.
    pub full_queues: u64,
    /// Live connections that have answered a ping, so that their round-trip time is known.
    pub rtt_known: u64,
    /// The sum of those round-trip times.
    pub rtt_sum: Duration,
    /// The longest of them.
    pub rtt_max: Duration,
    /// What went through all connections, live and ended.
    pub counters: Counters,
}

fn add(sum: &mut Counters, more: &Counters) {
    sum.bytes_received += more.bytes_received;
    sum.bytes_sent += more.bytes_sent;
    sum.messages_received += more.messages_received;
    sum.messages_sent += more.messages_sent;
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
    /// The round-trip time, smoothed as in RFC 6298, up to 16 s; known once a ping was answered.
    pub rtt: Option<Duration>,
    /// How many bytes wait to be sent.
    pub queued_bytes: usize,
    /// Whether a closing handshake has begun.
    pub is_closing: bool,
}

impl ConnectionInfo {
    fn new(shared: &Shared) -> Self {
        Self {
            id: shared.id,
            path: shared.path.clone(),
            remote_addr: shared.peers.remote(),
            client_ip: shared.client_ip(),
            subprotocol: shared.subprotocol.as_deref().map(Into::into),
            since: shared.since,
            last_received: shared.last_received(),
            counters: shared.counters(),
            rtt: shared.rtt(),
            queued_bytes: shared.send_queue().0,
            is_closing: shared.lock().phase != Phase::Open,
        }
    }
}
