//! What passes between a driver and its handles, under a lock.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use everwire_proto::Closure;

use super::{
    cast::{Batch, Cast},
    inbox::Inbox,
    outbox::{Outbox, Outgoing},
    waiting::{Place, Until, Waiter, Waiters},
    wake::Wake,
};
use crate::registry;

/// What is passed between the driver and the handles. Never locked while user code runs.
///
/// Every idle connection has one: what is mostly empty has no memory then.
#[derive(Debug, Default)]
pub(crate) struct State {
    inbox: Option<Box<Inbox>>,
    /// Messages of a group, which go before what is in the outbox. They are mostly all that waits.
    pub(super) first: Option<Batch>,
    /// What handles asked for and the driver has not yet done.
    pub(super) outbox: Outbox,
    pub(super) deferred: Option<Box<Deferred>>,
    pub(super) outbox_bytes: usize,
    /// Somebody sends a message in pieces, or is about to.
    pub(super) stream_open: bool,
    /// The connection is to be cut; nothing else matters.
    pub(super) aborted: bool,
    /// The handler is to be called, and has not been.
    pub(super) notified: bool,
    /// The server shuts down and has said so.
    pub(super) draining: bool,
    pub(super) driver: Option<Wake>,
    pub(crate) phase: Phase,
    /// The number of the last ping that was answered.
    pub(crate) answered: u32,
    /// The round-trip time in microseconds as of that ping, 0 before the first. Three bytes, up to
    /// 16 s, take the room that is left.
    pub(super) rtt_micros: [u8; 3],
    pub(crate) closure: Option<Arc<Closure>>,
    /// Where the connection is listed while it lives.
    pub(crate) registry: Option<Arc<registry::Inner>>,
    pub(super) waiters: Waiters,
    /// The last key that was given to a waiter.
    pub(super) last_key: u32,
}

/// Whole messages that wait for the end of one that is being sent in pieces.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) queue: VecDeque<Outgoing>,
    pub(super) bytes: usize,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Open,
    /// A closing handshake has begun or is asked for.
    Closing,
    Closed,
}

impl State {
    /// Returns what waits for `recv`.
    #[inline]
    pub(crate) fn inbox(&mut self) -> &mut Inbox {
        self.inbox.get_or_insert_default()
    }

    /// Takes the waker of who waits in `recv`.
    pub(super) fn take_receiver(&mut self) -> Option<Waker> {
        self.inbox.as_mut()?.receiver.take()
    }

    pub(super) fn queue(&mut self, outgoing: Outgoing) {
        let waits = match &outgoing {
            Outgoing::Probe(_) => self.deferred.is_some(),
            other => self.stream_open && other.is_message(),
        };
        if waits {
            let deferred = self.deferred.get_or_insert_default();
            deferred.bytes += outgoing.len();
            deferred.queue.push_back(outgoing);
        } else {
            self.outbox_bytes += outgoing.len();
            self.outbox.push_back(outgoing);
        }
    }

    /// Queues a message that is broadcast.
    #[inline]
    pub(super) fn queue_cast(&mut self, cast: &mut Cast) {
        if self.outbox.is_empty()
            && !self.stream_open
            && let Some(joined) = cast.join(self.first.as_ref())
        {
            self.outbox_bytes += cast.len();
            self.first = Some(joined);
        } else {
            self.queue(Outgoing::Prepared(cast.message().clone()));
        }
    }

    /// Puts everything that waits into the outbox, so that something can go before it.
    pub(super) fn all_in_outbox(&mut self) -> &mut Outbox {
        let first = self.first.take();
        for message in first.iter().flat_map(|first| first.iter()).rev() {
            self.outbox.push_front(Outgoing::Prepared(message.clone()));
        }
        &mut self.outbox
    }

    /// Returns how many bytes handles have queued, as far as they are in the way.
    pub(super) fn queued(&self, room: Until) -> usize {
        match room {
            Until::PieceRoom => self.outbox_bytes,
            _ => self.outbox_bytes + self.deferred.as_ref().map_or(0, |deferred| deferred.bytes),
        }
    }

    /// Leaves the task's waker, to be woken when what it waits for is there.
    pub(super) fn wait<T>(&mut self, until: Until, cx: &Context<'_>, place: &mut Place) -> Poll<T> {
        let waker = cx.waker();
        let mine = self.waiters.iter_mut().find(|waiter| match place {
            Place::Taken(key) => waiter.key == *key,
            Place::ByTask => {
                waiter.key == 0 && waiter.until == until && waiter.waker.will_wake(waker)
            }
            Place::None => false,
        });
        if let Some(waiter) = mine {
            waiter.until = until;
            waiter.waker.clone_from(waker);
            return Poll::Pending;
        }
        let key = if matches!(place, Place::ByTask) {
            0
        } else {
            self.last_key = self.last_key.wrapping_add(1).max(1);
            *place = Place::Taken(self.last_key);
            self.last_key
        };
        self.waiters.push(Waiter { until, key, waker: waker.clone() });
        Poll::Pending
    }

    /// Returns the wakers of those who wait for room. Who can tell that he gives up keeps his place
    /// until he has come for it.
    pub(super) fn admit(&mut self) -> Vec<Waker> {
        let mut over =
            self.take_waiters_if(|waiter| waiter.until == Until::Room && waiter.key == 0);
        let waiting = self.waiters.iter_mut().filter(|waiter| waiter.until == Until::Room);
        over.extend(waiting.map(|waiter| {
            waiter.until = Until::Admitted;
            std::mem::replace(&mut waiter.waker, Waker::noop().clone())
        }));
        over
    }

    /// Returns whether somebody waits for room, or has not yet come for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiters.iter().any(|waiter| matches!(waiter.until, Until::Room | Until::Admitted))
    }

    /// Returns whether a task waits for something that a driver's turn may bring about.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiters.iter().any(|waiter| !matches!(waiter.until, Until::Closed | Until::Admitted))
    }

    pub(super) fn take_waiters(&mut self, is_over: impl Fn(Until) -> bool) -> Vec<Waker> {
        self.take_waiters_if(|waiter| is_over(waiter.until))
    }

    fn take_waiters_if(&mut self, is_over: impl Fn(&Waiter) -> bool) -> Vec<Waker> {
        let over = self.waiters.take_if(is_over);
        over.into_iter().map(|waiter| waiter.waker).collect()
    }
}
