//! One member of a group.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use everwire_proto::{PreparedMessage, SendError};

use super::{Inner, SlowPolicy};
use crate::shared::{Cast, LastCast, Place, Shared, Until, Wakes};

/// What a connection and a group have to do with each other. It is a waker as well: for the end of the
/// connection, with which it leaves the group, and for room in its send queue.
pub(super) struct Member {
    shared: Weak<Shared>,
    group: Weak<Inner>,
    dropped: Arc<AtomicU64>,
    wait: Mutex<Wait>,
}

/// What a member waits for.
#[derive(Default)]
struct Wait {
    /// The place among those that wait for the end of the connection.
    end: Place,
    /// The place among those that wait for room, while there is a backlog.
    room: Place,
    /// Messages that are sent when there is room.
    backlog: VecDeque<PreparedMessage>,
}

/// What became of a message that was offered to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Queued,
    /// There was no room; the member stays.
    Slow,
    /// There was no room, and it has to go.
    TooSlow,
    /// It is about to leave anyway.
    Closing,
}

impl Member {
    pub(super) fn new(shared: &Arc<Shared>, group: &Arc<Inner>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::downgrade(shared),
            group: Arc::downgrade(group),
            dropped: group.dropped.clone(),
            wait: Mutex::default(),
        })
    }

    /// Waits for the end of the connection. Returns whether it is open.
    pub(super) fn watch(self: &Arc<Self>, shared: &Shared) -> bool {
        let waker = Waker::from(self.clone());
        let cx = Context::from_waker(&waker);
        let is_open = !shared.is_closing();
        is_open && shared.poll_closed(&cx, &mut self.lock().end).is_pending()
    }

    /// Gives up all waits; what it was not sent by now, it is never sent.
    pub(super) fn leave(&self, shared: &Shared) {
        let Wait { end, room, backlog } = std::mem::take(&mut *self.lock());
        self.count_dropped(backlog.len());
        shared.leave(end);
        shared.leave(room);
    }

    /// Queues a message, or does what the policy says.
    #[inline]
    pub(super) fn offer(
        self: &Arc<Self>,
        shared: &Shared,
        cast: &mut Cast,
        slow: &SlowPolicy,
        wakes: &mut Wakes,
    ) -> Taken {
        if let SlowPolicy::KeepLatest(most) = slow {
            return self.offer_or_keep(shared, cast, *most, wakes);
        }
        match shared.push_cast(cast, wakes) {
            Ok(()) => Taken::Queued,
            Err(SendError::Full { .. }) => {
                self.count_dropped(1);
                if *slow == SlowPolicy::Skip { Taken::Slow } else { Taken::TooSlow }
            }
            Err(_) => Taken::Closing,
        }
    }

    fn offer_or_keep(
        self: &Arc<Self>,
        shared: &Shared,
        cast: &mut Cast,
        most: usize,
        wakes: &mut Wakes,
    ) -> Taken {
        let mut wait = self.lock();
        if wait.backlog.is_empty() {
            match shared.push_cast(cast, wakes) {
                Ok(()) => return Taken::Queued,
                Err(SendError::Full { .. }) => {}
                Err(_) => return Taken::Closing,
            }
        }
        let is_new = wait.backlog.is_empty();
        wait.backlog.push_back(cast.message().clone());
        while wait.backlog.len() > most {
            wait.backlog.pop_front();
            self.count_dropped(1);
        }
        if is_new && !wait.backlog.is_empty() {
            self.drain(shared, &mut wait, wakes);
        }
        Taken::Slow
    }

    /// Queues what waits as far as there is room, and waits for more room for the rest.
    fn drain(self: &Arc<Self>, shared: &Shared, wait: &mut Wait, wakes: &mut Wakes) {
        let waker = Waker::from(self.clone());
        let cx = Context::from_waker(&waker);
        while let Some(message) = wait.backlog.front() {
            match shared.push_cast(&mut Cast::new(message, &LastCast::default()), wakes) {
                Ok(()) => {
                    wait.backlog.pop_front();
                    continue;
                }
                Err(SendError::Full { .. }) => {}
                Err(_) => break,
            }
            match shared.poll_room(&cx, Until::Room, &mut wait.room) {
                Poll::Pending => return,
                // There may be room by now: then it is tried again.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => break,
            }
        }
        self.count_dropped(wait.backlog.len());
        wait.backlog = VecDeque::new();
        shared.leave(std::mem::take(&mut wait.room));
    }

    fn count_dropped(&self, n: usize) {
        if n > 0 {
            self.dropped.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        let Some(shared) = self.shared.upgrade() else { return };
        if shared.is_closed() {
            let left = self.group.upgrade().and_then(|group| group.lock().remove(shared.id.into()));
            drop(left);
            return;
        }
        let mut wakes = Wakes::default();
        let mut wait = self.lock();
        self.drain(&shared, &mut wait, &mut wakes);
        drop(wait);
        wakes.wake();
    }
}
