//! All live connections of a server.

mod empty;
mod info;
mod tags;
mod watcher;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use everwire_proto::{
    Advice, Cause, CloseCode, CloseFrame, Closure, Counters, Message, PreparedMessage, SendError,
};
use http::StatusCode;

pub(crate) use self::tags::TagList;
use self::{empty::Empty, info::add, tags::Tags, watcher::Watchers};
pub use self::{
    info::{ConnectionInfo, Totals},
    watcher::{Ended, Watched, Watcher},
};
use crate::{ConnectionId, Sender, server::Slot, shared::Shared};

/// Connections are spread over this many tables, so that threads seldom meet.
const SHARDS: usize = 16;

/// All live connections of a server. Cheap to clone.
///
/// A connection is in it from before its first event until its [`Closure`] is known.
///
/// # Examples
/// One connection by its id, some by a tag, and all:
/// ```
/// use everwire::{CloseCode, ConnectionId, PreparedMessage, Registry};
///
/// fn examples(registry: &Registry, id: ConnectionId) -> Result<(), everwire::SendError> {
///     registry.try_send(id, "for you")?;
///     let news = PreparedMessage::new("for the room");
///     for member in registry.tagged("room") {
///         member.try_send_prepared(&news).ok();
///     }
///     registry.close_tagged("room", CloseCode::GOING_AWAY, "the room closes")?;
///     println!("{} connections", registry.len());
///     Ok(())
/// }
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Opening handshakes that were refused, by status.
    refused: Mutex<BTreeMap<u16, u64>>,
    watchers: Watchers,
    empty: Empty,
    /// Opening handshakes that ended without an answer, by reason.
    failed: Mutex<BTreeMap<&'static str, u64>>,
    /// When to come back, as everybody is told who is drained.
    advice: Mutex<Option<Advice>>,
}

/// A part of the connections. What is live and what has ended change under one lock, so that
/// totals never count a connection twice or not at all.
#[derive(Default)]
struct Shard {
    live: HashMap<u64, Arc<Shared>>,
    tags: Tags,
    closed: Totals,
}

/// Takes a connection out of the registry when it is dropped.
///
/// The connection knows its registry, which so lives as long as one of them.
pub(crate) struct Registration {
    shared: Arc<Shared>,
    /// Its place among the connections that a server allows.
    _slot: Option<Slot>,
}

impl Registry {
    /// Adds a connection until the returned value is dropped.
    pub(crate) fn insert(&self, shared: &Arc<Shared>, slot: Option<Slot>) -> Registration {
        let id = shared.id.into();
        let mut shard = self.0.shard(id);
        self.0.count.fetch_add(1, Ordering::SeqCst);
        shard.live.insert(id, shared.clone());
        if let Some(TagList(tags)) = shared.data() {
            tags.iter().for_each(|tag| shard.tags.add(shared, tag.clone()));
        }
        shared.lock().registry = Some(self.0.clone());
        Registration { shared: shared.clone(), _slot: slot }
    }

    /// Sets when clients are to come back that are told of a drain.
    pub(crate) fn advise(&self, advice: Option<Advice>) {
        *self.0.advice.lock().unwrap_or_else(PoisonError::into_inner) = advice;
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
        self.0.get(id).map(Sender::unguarded)
    }

    /// Queues a message on one connection if there is room now. Returns whether there is a
    /// connection of this id.
    ///
    /// To wait for room, [look the connection up](Self::get) and use [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send<'a>(
        &self,
        id: ConnectionId,
        message: impl Into<Message<'a>>,
    ) -> Result<bool, SendError> {
        self.get(id).map_or(Ok(false), |sender| sender.try_send(message).map(|()| true))
    }

    /// Queues a message that was encoded before on one connection, if there is room now. Returns
    /// whether there is a connection of this id.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send_prepared(
        &self,
        id: ConnectionId,
        message: &PreparedMessage,
    ) -> Result<bool, SendError> {
        self.get(id).map_or(Ok(false), |sender| sender.try_send_prepared(message).map(|()| true))
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
        let shared = self.0.get(id);
        if let Some(shared) = &shared {
            shared.close(Cause::Kicked, frame);
        }
        Ok(shared.is_some())
    }

    /// Returns what is known of every connection, in order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<ConnectionInfo> {
        let mut list: Vec<_> = (0..SHARDS as u64)
            .flat_map(|shard| {
                let shard = self.0.shard(shard);
                let infos = shard.live.values().map(|shared| shard.info(shared));
                infos.collect::<Vec<_>>()
            })
            .collect();
        list.sort_by_key(|info| info.id);
        list
    }

    /// Returns what is known of one connection.
    #[must_use]
    pub fn info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        let shard = self.0.shard(id.into());
        shard.live.get(&id.into()).map(|shared| shard.info(shared))
    }

    /// Returns what has happened since the server started, for metrics. Nothing is counted per
    /// message for it: it is added up when it is asked for.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in 0..SHARDS as u64 {
            let shard = self.0.shard(shard);
            totals.add_closed(&shard.closed);
            totals.opened += shard.live.len() as u64;
            totals.open += shard.live.len() as u64;
            for live in shard.live.values() {
                add(&mut totals.counters, &live.counters());
                let (queued, has_room) = live.send_queue();
                totals.queued_bytes += queued as u64;
                totals.full_queues += u64::from(!has_room);
                if let Some(params) = live.deflate() {
                    totals.deflate += 1;
                    let keeps_history = params.send_takeover || params.recv_takeover;
                    totals.deflate_takeover += u64::from(keeps_history);
                }
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

    /// Returns what has happened on the connections that have ended.
    pub(crate) fn closed(&self) -> Totals {
        let mut totals = Totals::default();
        (0..SHARDS as u64).for_each(|shard| totals.add_closed(&self.0.shard(shard).closed));
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
    /// Returns when clients are to come back, as the drain says that is under way.
    pub(crate) fn advice(&self) -> Option<Advice> {
        *self.advice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[(id % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: ConnectionId) -> Option<Arc<Shared>> {
        self.shard(id.into()).live.get(&id.into()).cloned()
    }
}

impl Registration {
    /// Takes the connection out of the registry, remembers how it ended, and tells those who watch.
    pub(crate) fn end(mut self, closure: &Arc<Closure>) {
        self.take_out(Some(closure));
    }

    fn take_out(&mut self, closure: Option<&Arc<Closure>>) {
        let Some(registry) = self.shared.lock().registry.take() else { return };
        let id = self.shared.id.into();
        let mut shard = registry.shard(id);
        shard.live.remove(&id);
        let tags = shard.tags.remove_all(id);
        shard.closed.opened += 1;
        let cause = closure.map_or(Cause::Cancelled.label(), |closure| closure.cause.label());
        *shard.closed.closed.entry(cause).or_default() += 1;
        let code = closure.map_or(CloseCode::ABNORMAL_CLOSURE, |closure| closure.code());
        *shard.closed.codes.entry(code.into()).or_default() += 1;
        shard.closed.clean += u64::from(closure.is_some_and(|closure| closure.is_clean()));
        shard.closed.unsent += closure.map_or(0, |closure| closure.unsent);
        let counters = closure.map_or_else(Counters::default, |closure| closure.counters);
        add(&mut shard.closed.counters, &counters);
        let was_last = registry.count.fetch_sub(1, Ordering::SeqCst) == 1;
        drop(shard);
        if let Some(closure) = closure {
            registry.watchers.tell(|| Ended::new(&self.shared, tags, closure.clone()));
        }
        if was_last {
            registry.empty.tell(&registry.count);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.take_out(None);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("count", &self.count).finish_non_exhaustive()
    }
}
