//! One session that is a member of a group.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use super::{Inner, SlowPolicy, member::Taken};
use crate::{
    clock,
    session::{IfFull, Live, Prepared, SessionCast, SessionSendError},
    shared::Wakes,
};

/// What a session and a group have to do with each other. It is a waker as well: for the end of the
/// session, with which it leaves the group, and for room in its buffer.
pub(super) struct SessionMember {
    live: Weak<Live>,
    group: Weak<Inner>,
    dropped: Arc<AtomicU64>,
    /// Messages that are sent when there is room.
    backlog: Mutex<VecDeque<Prepared>>,
}

impl SessionMember {
    pub(super) fn new(live: &Arc<Live>, group: &Arc<Inner>) -> Arc<Self> {
        Arc::new(Self {
            live: Arc::downgrade(live),
            group: Arc::downgrade(group),
            dropped: group.dropped.clone(),
            backlog: Mutex::default(),
        })
    }

    /// Waits for room and for the end of the session. Returns whether it lives.
    pub(super) fn watch(self: &Arc<Self>, live: &Live) -> bool {
        live.watch(self.clone().into())
    }

    /// Gives up the wait; what it was not sent by now, it is never sent.
    pub(super) fn leave(self: &Arc<Self>, live: &Live) {
        live.unwatch(&Waker::from(self.clone()));
        let backlog = std::mem::take(&mut *self.lock());
        self.count_dropped(backlog.len());
    }

    /// Sends a message, or does what the policy says.
    pub(super) fn offer(
        &self,
        live: &Arc<Live>,
        cast: &mut SessionCast<'_>,
        slow: &SlowPolicy,
        wakes: &mut Wakes,
    ) -> Taken {
        let most = match slow {
            SlowPolicy::KeepLatest(most) => *most,
            SlowPolicy::Disconnect(_) => return self.offer_or_detach(live, cast, wakes),
            SlowPolicy::Skip => {
                let sent = cast.send(live, IfFull::Refuse, wakes);
                return self.taken(&sent);
            }
        };
        // Before trying, so that whoever is told of room finds what had none.
        let mut backlog = self.lock();
        if backlog.is_empty() {
            match cast.send(live, IfFull::Refuse, wakes) {
                Err(SessionSendError::Full { .. }) => {}
                sent => return self.taken(&sent),
            }
        }
        backlog.push_back(cast.prepared(live));
        while backlog.len() > most {
            backlog.pop_front();
            self.count_dropped(1);
        }
        Taken::Slow
    }

    fn offer_or_detach(
        &self,
        live: &Arc<Live>,
        cast: &mut SessionCast<'_>,
        wakes: &mut Wakes,
    ) -> Taken {
        let sent = cast.send(live, IfFull::Refuse, wakes);
        if !matches!(sent, Err(SessionSendError::Full { .. })) {
            return self.taken(&sent);
        }
        if cast.send(live, IfFull::Detach, wakes).is_err() {
            self.count_dropped(1);
        }
        Taken::Slow
    }

    /// Sends what waits as far as there is room; more room wakes us again.
    fn drain(&self, live: &Arc<Live>) {
        let (mut wakes, mut is_settled, now) = (Wakes::default(), true, clock::now());
        let mut backlog = self.lock();
        while let Some(message) = backlog.front() {
            let (sent, settled) = live.cast(now, message, IfFull::Refuse, &mut wakes);
            is_settled &= settled;
            match sent {
                Err(SessionSendError::Full { .. }) => break,
                Err(_) => self.count_dropped(1),
                Ok(()) => {}
            }
            backlog.pop_front();
        }
        if backlog.is_empty() {
            *backlog = VecDeque::new();
        }
        drop(backlog);
        wakes.wake();
        if !is_settled {
            live.settle_now();
        }
    }

    /// Returns what became of a message that was not kept for later.
    fn taken(&self, sent: &Result<(), SessionSendError>) -> Taken {
        match sent {
            Ok(()) => Taken::Queued,
            Err(SessionSendError::Closed) => Taken::Closing,
            Err(_) => {
                self.count_dropped(1);
                Taken::Slow
            }
        }
    }

    fn count_dropped(&self, n: usize) {
        if n > 0 {
            self.dropped.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Prepared>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for SessionMember {
    fn wake(self: Arc<Self>) {
        let Some(live) = self.live.upgrade() else { return };
        if live.is_ended() {
            let left = self.group.upgrade().and_then(|group| group.lock().remove(live.id().into()));
            self.leave(&live);
            drop(left);
        } else {
            self.drain(&live);
        }
    }
}
