//! Those who learn how every connection ended.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use everwire_proto::Closure;

use super::Registry;
use crate::{ConnectionId, shared::Shared};

/// Everybody who watches a registry.
#[derive(Default)]
pub(super) struct Watchers {
    /// Whether there ever was one: most registries are watched by nobody.
    is_watched: AtomicBool,
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl Watchers {
    fn add(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.push(Arc::downgrade(queue));
        self.is_watched.store(true, Ordering::Release);
    }

    /// Tells everybody of an end.
    pub(super) fn tell(&self, ended: impl FnOnce() -> Ended) {
        if !self.is_watched.load(Ordering::Acquire) {
            return;
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        let all: Vec<_> = queues.iter().filter_map(Weak::upgrade).collect();
        drop(queues);
        if all.is_empty() {
            return;
        }
        let ended = ended();
        all.iter().for_each(|queue| queue.push(&ended));
    }
}

/// What waits for one watcher.
#[derive(Debug)]
struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: VecDeque<Ended>,
    /// How many came while there was no room, after all that wait.
    missed: u64,
    watcher: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, ended: &Ended) {
        let mut state = self.lock();
        // Once some were missed, it must be said before anything that comes later.
        if state.ended.len() >= self.capacity || state.missed > 0 {
            state.missed += 1;
        } else {
            state.ended.push_back(ended.clone());
        }
        let watcher = state.watcher.take();
        drop(state);
        watcher.into_iter().for_each(Waker::wake);
    }
}

/// Learns how every connection of a registry ended. See [`Registry::watch`].
pub struct Watcher {
    queue: Arc<Queue>,
    registry: Registry,
}

/// What a [`Watcher`] is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Watched {
    /// A connection has ended.
    Ended(Ended),
    /// So many more have ended of which nothing is known here: the watcher did not keep up.
    Missed(u64),
}

/// A connection that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Its id.
    pub id: ConnectionId,
    /// The path that the client asked for.
    pub path: Arc<str>,
    /// The address of the client, which a trusted proxy may have told.
    pub client_ip: Option<IpAddr>,
    /// The tags that it had.
    pub tags: Vec<Arc<str>>,
    /// How it ended.
    pub closure: Arc<Closure>,
}

impl Ended {
    pub(super) fn new(shared: &Shared, tags: Vec<Arc<str>>, closure: Arc<Closure>) -> Self {
        let client_ip = shared.client_ip();
        Self { id: shared.id, path: shared.path.clone(), client_ip, tags, closure }
    }
}

impl Watcher {
    /// Receives the next end. There is always another to come: drop the watcher when no more are
    /// wanted.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Watched {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next end.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Watched> {
        let mut state = self.queue.lock();
        if let Some(ended) = state.ended.pop_front() {
            return Poll::Ready(Watched::Ended(ended));
        }
        match std::mem::take(&mut state.missed) {
            0 => {
                state.watcher = Some(cx.waker().clone());
                Poll::Pending
            }
            missed => Poll::Ready(Watched::Missed(missed)),
        }
    }

    /// Returns the registry that is watched.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl futures_core::Stream for Watcher {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        self.poll_recv(cx).map(Some)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Registry {
    /// Watches: the returned value is told of every connection that ends from now on, in the order
    /// in which they leave the registry.
    ///
    /// At most `capacity` ends (at least 1) wait for a watcher that is slow. What comes then is not
    /// kept but counted, and the count is told in its place ([`Watched::Missed`]): a connection
    /// never waits for a watcher, and a loss is never silent. [`totals`](Self::totals) miss nothing.
    ///
    /// # Examples
    /// ```
    /// use everwire::{Registry, Watched};
    ///
    /// async fn log(registry: Registry) {
    ///     let mut watcher = registry.watch(1024);
    ///     loop {
    ///         match watcher.recv().await {
    ///             Watched::Ended(ended) => println!("{}: {}", ended.path, ended.closure),
    ///             Watched::Missed(n) => println!("{n} more"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn watch(&self, capacity: usize) -> Watcher {
        let queue =
            Arc::new(Queue { capacity: capacity.max(1), state: Mutex::new(State::default()) });
        self.0.watchers.add(&queue);
        Watcher { queue, registry: self.clone() }
    }
}
