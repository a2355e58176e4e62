//! What wakes sessions when something is due in them: one task for all of a table.

#[cfg(test)]
mod tests;

mod ring;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use tokio::{sync::Notify, task::JoinHandle};

pub(super) use self::ring::Ring;
use super::live::Live;
use crate::clock;

/// So many sessions are looked after before anybody else of the runtime has a turn.
const AT_ONCE: usize = 256;

/// An alarm clock. A session has one entry at most, which it moves only to ring earlier; so it may
/// ring in vain.
#[derive(Default)]
pub(super) struct Alarm {
    queue: Mutex<Queue>,
    /// Not all of the alarm: its task must not keep it while it waits.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    /// For whom each ring is: for all that wait, if they lose their connections at once.
    entries: BTreeMap<Ring, BTreeSet<Entry>>,
    task: Option<JoinHandle<()>>,
}

/// A session, by its place in memory: what has an entry keeps its place.
struct Entry(Weak<Live>);

impl Alarm {
    /// Rings for a session with this ring, and not with the one before.
    pub(super) fn set(self: &Arc<Self>, before: Option<Ring>, ring: Ring, live: &Arc<Live>) {
        let mut queue = self.lock();
        let is_first = queue.entries.first_key_value().is_none_or(|(first, _)| ring < *first);
        if let Some(before) = before {
            queue.remove(before, live);
        }
        queue.entries.entry(ring).or_default().insert(Entry(Arc::downgrade(live)));
        // The runtime that it runs on may have gone.
        if queue.task.as_ref().is_none_or(JoinHandle::is_finished)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            queue.task = Some(runtime.spawn(run(Arc::downgrade(self), self.changed.clone())));
        }
        drop(queue);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Does not ring with this ring for this session.
    pub(super) fn unset(&self, ring: Ring, live: &Arc<Live>) {
        self.lock().remove(ring, live);
    }

    /// Takes those whose time has come, and returns when the next is due.
    fn take_due(&self, now: Instant) -> (Vec<(Arc<Live>, Ring)>, Option<Instant>) {
        let mut queue = self.lock();
        let mut due = Vec::new();
        while let Some(first) = queue.entries.first_entry()
            && first.key().at() <= now
        {
            let (ring, entries) = first.remove_entry();
            due.extend(entries.iter().filter_map(|it| it.0.upgrade()).map(|live| (live, ring)));
        }
        let next = queue.entries.first_key_value().map(|(ring, _)| ring.at());
        (due, next)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn remove(&mut self, ring: Ring, live: &Arc<Live>) {
        let Some(entries) = self.entries.get_mut(&ring) else { return };
        entries.remove(&Entry(Arc::downgrade(live)));
        if entries.is_empty() {
            self.entries.remove(&ring);
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_ptr().cmp(&other.0.as_ptr())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl Drop for Alarm {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = queue.task.take() {
            task.abort();
        }
    }
}

/// Rings until there is nobody to ring for: then the task is aborted.
async fn run(alarm: Weak<Alarm>, changed: Arc<Notify>) {
    loop {
        let Some(next) = ring(&alarm).await else { return };
        let changed = changed.notified();
        match next.map(tokio::time::Instant::from_std) {
            Some(until) => drop(tokio::time::timeout_at(until, changed).await),
            None => changed.await,
        }
    }
}

/// Rings for those whose time has come, with others of the runtime in between. Returns when the next is
/// due, if one is; `None` if the alarm is gone.
async fn ring(alarm: &Weak<Alarm>) -> Option<Option<Instant>> {
    let (due, next) = alarm.upgrade()?.take_due(clock::now());
    for due in due.chunks(AT_ONCE) {
        let now = clock::now();
        for (live, ring) in due {
            live.ring(now, *ring);
        }
        tokio::task::yield_now().await;
    }
    Some(next)
}
