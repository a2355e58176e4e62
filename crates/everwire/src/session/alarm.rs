//! What wakes sessions when something is due in them: one task for all of a table.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use tokio::{sync::Notify, task::JoinHandle};

use super::live::Live;
use crate::clock;

/// An alarm clock. Sessions set it only to ring earlier; it may ring in vain.
#[derive(Default)]
pub(super) struct Alarm {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    task: Option<JoinHandle<()>>,
}

struct Entry {
    at: Instant,
    live: Weak<Live>,
}

impl Alarm {
    /// Rings for a session at this time.
    pub(super) fn set(self: &Arc<Self>, at: Instant, live: &Arc<Live>) {
        let mut queue = self.lock();
        let is_first = queue.entries.peek().is_none_or(|Reverse(first)| at < first.at);
        queue.entries.push(Reverse(Entry { at, live: Arc::downgrade(live) }));
        // The runtime that it runs on may have gone.
        if queue.task.as_ref().is_none_or(JoinHandle::is_finished)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            queue.task = Some(runtime.spawn(run(Arc::downgrade(self))));
        }
        drop(queue);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Takes those whose time has come, and returns when the next is due.
    fn take_due(&self, now: Instant) -> (Vec<(Arc<Live>, Instant)>, Option<Instant>) {
        let mut queue = self.lock();
        let mut due = Vec::new();
        while let Some(Reverse(first)) = queue.entries.peek()
            && first.at <= now
        {
            let entry = queue.entries.pop();
            due.extend(entry.and_then(|Reverse(entry)| Some((entry.live.upgrade()?, entry.at))));
        }
        (due, queue.entries.peek().map(|Reverse(first)| first.at))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = queue.task.take() {
            task.abort();
        }
    }
}

/// Rings until there is nobody to ring for: then the task is aborted.
async fn run(alarm: Weak<Alarm>) {
    loop {
        let Some(this) = alarm.upgrade() else { return };
        let now = clock::now();
        let (due, next) = this.take_due(now);
        for (live, at) in due {
            live.ring(now, at);
        }
        let until = next.map(tokio::time::Instant::from_std);
        let changed = this.changed.notified();
        match until {
            Some(until) => drop(tokio::time::timeout_at(until, changed).await),
            None => changed.await,
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}
