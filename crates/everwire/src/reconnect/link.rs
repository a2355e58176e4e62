//! What a reconnecting client's handles share with the task that runs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use everwire_proto::{CloseCode, Message};
use tokio::sync::{Notify, watch};

use super::{NotSent, Sent, State, Stop, Tally, WhileDown, while_down::Queue};
use crate::{Receiver, Sender, clock};

/// Bytes of messages that ended connections may leave unread, the one being read not counted.
const UNREAD_LIMIT: usize = 1 << 20;

/// What a connection with unread messages counts beside them.
const CONNECTION_COST: usize = 1 << 10;

/// Between the handles and the runner.
#[derive(Debug)]
pub(super) struct Link {
    while_down: WhileDown,
    states: watch::Sender<State>,
    news: Notify,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where messages go.
    up: Option<Up>,
    queue: Queue,
    /// Connections that `recv` has not come to yet, the oldest first.
    inbound: VecDeque<Inbound>,
    receiver: Option<Waker>,
    receiver_gone: bool,
    stopped: bool,
    orders: Orders,
    tally: Tally,
    /// When a connection last took a message.
    last_handed: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Up {
    pub(super) generation: u64,
    pub(super) sender: Sender,
}

/// The receiving half of one connection.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) generation: u64,
    pub(super) receiver: Receiver,
    sender: Sender,
}

/// What the handles want of the runner.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) pause: Option<Pause>,
    pub(super) close: Option<(CloseCode, String)>,
    pub(super) dropped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Pause {
    Pause,
    Wake,
}

/// What is done with a message that is to be sent.
pub(super) enum Admission {
    /// It is to be handed to this connection.
    Hand(Up),
    Done(Result<Sent, NotSent>),
}

impl Link {
    pub(super) fn new(while_down: WhileDown) -> (Arc<Self>, watch::Receiver<State>) {
        let first = State::Connecting { attempt: 1, delay: Duration::ZERO, last: None };
        let (states, watching) = watch::channel(first);
        let (news, inner) = (Notify::new(), Mutex::default());
        (Arc::new(Self { while_down, states, news, inner }), watching)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What handles call.

    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    pub(super) fn tally(&self) -> Tally {
        let inner = self.lock();
        Tally { queued: inner.queue.len() as u64, ..inner.tally }
    }

    pub(super) fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.lock().orders);
        self.news.notify_one();
    }

    /// Decides what becomes of a message.
    pub(super) fn admit(&self, message: &Message<'static>) -> Admission {
        let inner = &mut *self.lock();
        if inner.stopped {
            return Admission::Done(Err(NotSent::Stopped));
        }
        if let Some(up) = &inner.up {
            return Admission::Hand(up.clone());
        }
        let done = match &self.while_down {
            WhileDown::Refuse => Err(NotSent::Down),
            WhileDown::Drop => {
                inner.tally.dropped += 1;
                Ok(Sent::Dropped)
            }
            WhileDown::Queue { bytes } => inner.queue.push(message, *bytes).map(|()| Sent::Queued),
        };
        inner.tally.refused += u64::from(done.is_err());
        Admission::Done(done)
    }

    /// Notes that a connection took a message.
    pub(super) fn handed(&self) {
        let mut inner = self.lock();
        inner.tally.handed += 1;
        inner.last_handed = Some(clock::now());
    }

    /// Returns when a connection last took a message.
    pub(super) fn last_handed(&self) -> Option<Instant> {
        self.lock().last_handed
    }

    /// Notes that a connection takes no more messages.
    pub(super) fn down(&self, generation: u64) {
        let mut inner = self.lock();
        if inner.up.as_ref().is_some_and(|up| up.generation == generation) {
            inner.up = None;
        }
    }

    /// Polls for the next connection to receive from; `None` when there will be no more.
    pub(super) fn poll_inbound(&self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let mut inner = self.lock();
        match inner.inbound.pop_front() {
            Some(inbound) => Poll::Ready(Some(inbound)),
            None if inner.stopped => Poll::Ready(None),
            None => {
                inner.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn receiver_gone(&self) {
        let mut inner = self.lock();
        inner.receiver_gone = true;
        let gone = (std::mem::take(&mut inner.inbound), inner.receiver.take());
        drop(inner);
        drop(gone);
    }

    // What the runner calls.

    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn take_orders(&self) -> Orders {
        std::mem::take(&mut self.lock().orders)
    }

    pub(super) fn publish(&self, state: State) {
        self.states.send_replace(state);
    }

    /// Lets `recv` have a connection once it is done with those before.
    pub(super) fn receive_from(&self, generation: u64, sender: Sender, receiver: Receiver) {
        let mut inner = self.lock();
        let mut gone = Vec::new();
        if inner.receiver_gone {
            drop(inner);
            drop(receiver); // What comes in is discarded.
            return;
        }
        inner.prune(&mut gone);
        inner.inbound.push_back(Inbound { generation, receiver, sender });
        let waker = inner.receiver.take();
        let unread = inner.tally.unread;
        drop(inner);
        if !gone.is_empty() {
            tracing::warn!(unread, "discarded messages that went unread over several connections");
        }
        drop(gone);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns the message that has waited longest for a connection; if none waits, messages go to
    /// `up` from now on.
    pub(super) fn flush(&self, up: &Up) -> Option<Message<'static>> {
        let mut inner = self.lock();
        let message = inner.queue.front().cloned();
        if message.is_none() {
            inner.up = Some(up.clone());
        }
        message
    }

    /// Notes that the message that waited longest was taken by a connection.
    pub(super) fn flushed(&self) {
        let mut inner = self.lock();
        inner.queue.pop();
        inner.tally.handed += 1;
        inner.last_handed = Some(clock::now());
    }

    /// Ends it: nothing is sent any more, and `recv` ends behind what was received.
    pub(super) fn stop(&self, stop: Stop) {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.up = None;
        let abandoned = std::mem::take(&mut inner.queue);
        inner.tally.abandoned += abandoned.len() as u64;
        let waker = inner.receiver.take();
        drop(inner);
        if abandoned.len() > 0 {
            let n = abandoned.len();
            tracing::warn!(abandoned = n, "stopped with messages that waited for a connection");
        }
        self.publish(State::Stopped(stop));
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Inner {
    /// Moves ended connections that nothing is to be read from, or whose turn will not come before
    /// too much is kept, to `gone`.
    fn prune(&mut self, gone: &mut Vec<Inbound>) {
        self.inbound.retain(|it| it.sender.closure().is_none() || it.unread().0 > 0);
        let mut bytes: usize = self.inbound.iter().map(|it| it.unread().1 + CONNECTION_COST).sum();
        while bytes > UNREAD_LIMIT {
            let Some(oldest) = self.inbound.pop_front() else { break };
            let (messages, unread_bytes) = oldest.unread();
            bytes -= unread_bytes + CONNECTION_COST;
            self.tally.unread += messages as u64;
            gone.push(oldest);
        }
    }
}

impl Inbound {
    /// Returns how many messages, and bytes of them, wait for `recv`.
    fn unread(&self) -> (usize, usize) {
        let mut state = self.sender.shared().lock();
        let inbox = state.inbox();
        (inbox.queue.len(), inbox.bytes)
    }
}
