//! What a connection's driver shares with its handles and with the registry.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use everwire_proto::{
    Cause, CloseFrame, Closure, Counters, Message, MessageKind, PreparedMessage, SendError,
};

/// Names a connection for the life of the process. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl From<ConnectionId> for u64 {
    fn from(id: ConnectionId) -> Self {
        id.0
    }
}

impl From<u64> for ConnectionId {
    /// Makes an id of a number, to look a connection up by what somebody typed.
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a connection comes from and goes to. Does not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// The address of the client behind a trusted proxy, if there is one.
    pub(crate) client: Option<std::net::IpAddr>,
}

/// One connection, as everybody but its driver sees it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) path: Arc<str>,
    pub(crate) peers: Box<Peers>,
    pub(crate) since: Instant,
    pub(crate) data: http::Extensions,
    pub(crate) subprotocol: Option<Box<str>>,
    /// Limit on what may wait to be sent, in bytes.
    pub(crate) send_limit: usize,
    /// Bytes that the driver has encoded and not yet written.
    transmit_len: AtomicUsize,
    last_received: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    messages_sent: AtomicU64,
    state: Mutex<State>,
}

/// What is passed between the driver and the handles. Never locked while user code runs.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Messages that wait for `recv`.
    pub(crate) inbox: VecDeque<Message<'static>>,
    pub(crate) inbox_bytes: usize,
    pub(crate) receiver: Option<Waker>,
    /// Nobody will ever call `recv`.
    pub(crate) receiver_gone: bool,
    /// What handles asked for and the driver has not yet done.
    pub(crate) outbox: VecDeque<Outgoing>,
    pub(crate) outbox_bytes: usize,
    pub(crate) driver: Option<Waker>,
    /// The driver is awake and will look at the outbox before it sleeps.
    pub(crate) driver_awake: bool,
    /// The driver stopped reading because the inbox is full.
    pub(crate) inbox_was_full: bool,
    pub(crate) phase: Phase,
    /// The number of the last ping that was answered.
    pub(crate) answered: u32,
    pub(crate) closure: Option<Arc<Closure>>,
    /// Tasks that wait for a change: room, an answered ping, the end.
    pub(crate) waiters: Vec<Waker>,
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

/// Something a handle asked for.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message<'static>),
    Prepared(PreparedMessage),
    Start(MessageKind),
    Piece(bytes::Bytes),
    Finish(bytes::Bytes),
    Ping(Box<[u8]>),
    /// A numbered ping; the number goes to whoever waits.
    Probe(tokio::sync::oneshot::Sender<u32>),
    /// Stop or go on reading.
    Pause(bool),
    Close(Cause, CloseFrame),
    Abort(Cause),
}

impl Outgoing {
    pub(crate) fn message(message: Message<'_>) -> Self {
        Self::Message(message.into_owned())
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len() + 14,
            Self::Piece(bytes) | Self::Finish(bytes) => bytes.len() + 14,
            Self::Prepared(message) => message.payload().len() + 14,
            Self::Ping(payload) => payload.len() + 6,
            _ => 0,
        }
    }
}

impl Shared {
    pub(crate) fn new(
        path: Arc<str>,
        peers: Peers,
        subprotocol: Option<Box<str>>,
        data: http::Extensions,
        send_limit: usize,
    ) -> Arc<Self> {
        let since = crate::clock::now();
        Arc::new(Self {
            id: ConnectionId::next(),
            path,
            peers: Box::new(peers),
            since,
            data,
            subprotocol,
            send_limit,
            transmit_len: AtomicUsize::new(0),
            last_received: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            messages_received: AtomicU64::new(0),
            messages_sent: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Locks the state. No user code runs under this lock, so poisoning means nothing.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the registry shows.
    #[inline]
    pub(crate) fn publish(&self, counters: &Counters, last_received: Instant, transmit_len: usize) {
        let since = last_received.saturating_duration_since(self.since).as_millis() as u64;
        self.last_received.store(since, Ordering::Relaxed);
        self.bytes_received.store(counters.bytes_received, Ordering::Relaxed);
        self.bytes_sent.store(counters.bytes_sent, Ordering::Relaxed);
        self.messages_received.store(counters.messages_received, Ordering::Relaxed);
        self.messages_sent.store(counters.messages_sent, Ordering::Relaxed);
        self.transmit_len.store(transmit_len, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            messages_received: self.messages_received.load(Ordering::Relaxed),
            messages_sent: self.messages_sent.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn last_received(&self) -> Instant {
        self.since + std::time::Duration::from_millis(self.last_received.load(Ordering::Relaxed))
    }

    /// Queues what a handle asked for and wakes the driver.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun, [`SendError::Full`] at the limit.
    pub(crate) fn push(&self, outgoing: Outgoing) -> Result<(), SendError> {
        self.try_push(outgoing).map_err(|(error, _)| error)
    }

    /// Returns whether there is room for one more message.
    pub(crate) fn check_room(&self, state: &State) -> Result<(), SendError> {
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        let queued = state.outbox_bytes + self.transmit_len.load(Ordering::Relaxed);
        if queued >= self.send_limit {
            return Err(SendError::Full { queued, limit: self.send_limit });
        }
        Ok(())
    }

    fn push_locked(&self, state: &mut State, outgoing: Outgoing) {
        state.outbox_bytes += outgoing.len();
        state.outbox.push_back(outgoing);
    }

    /// Begins the closing handshake; does nothing once it has begun.
    pub(crate) fn close(&self, cause: Cause, frame: CloseFrame) {
        self.end(Outgoing::Close(cause, frame));
    }

    /// Cuts the connection.
    pub(crate) fn abort(&self, cause: Cause) {
        self.end(Outgoing::Abort(cause));
    }

    fn end(&self, outgoing: Outgoing) {
        let mut state = self.lock();
        let is_news = match outgoing {
            Outgoing::Abort(_) => state.phase != Phase::Closed,
            _ => state.phase == Phase::Open,
        };
        if !is_news {
            return;
        }
        state.phase = Phase::Closing;
        self.push_locked(&mut state, outgoing);
        let driver = state.take_driver();
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Is ready once the connection has ended.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Arc<Closure>> {
        let mut state = self.lock();
        match &state.closure {
            Some(closure) => Poll::Ready(closure.clone()),
            None => state.wait(cx),
        }
    }

    /// Is ready once there is room for one more message.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        match self.check_room(&state) {
            Err(SendError::Full { .. }) => state.wait(cx),
            done => Poll::Ready(done),
        }
    }

    /// Queues a message as soon as there is room; it is taken out of `outgoing` when it is queued.
    pub(crate) fn poll_push(
        &self,
        cx: &Context<'_>,
        outgoing: &mut Option<Outgoing>,
    ) -> Poll<Result<(), SendError>> {
        let Some(message) = outgoing.take() else { return Poll::Ready(Ok(())) };
        match self.try_push(message) {
            Ok(()) => Poll::Ready(Ok(())),
            Err((SendError::Full { .. }, message)) => {
                *outgoing = Some(message);
                // There may be room by now: then the task is asked to look again.
                if self.poll_room(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Err((error, _)) => Poll::Ready(Err(error)),
        }
    }

    /// Is ready once the ping of this number was answered, or the connection has ended.
    pub(crate) fn poll_answered(&self, cx: &Context<'_>, ping: u32) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if state.answered.wrapping_sub(ping) as i32 >= 0 {
            return Poll::Ready(Ok(()));
        }
        if state.phase == Phase::Closed {
            return Poll::Ready(Err(SendError::Closed));
        }
        state.wait(cx)
    }

    fn try_push(&self, outgoing: Outgoing) -> Result<(), (SendError, Outgoing)> {
        let mut state = self.lock();
        if let Err(error) = self.check_room(&state) {
            return Err((error, outgoing));
        }
        self.push_locked(&mut state, outgoing);
        let waker = state.take_driver();
        drop(state);
        wake(waker);
        Ok(())
    }
}

impl State {
    /// Leaves the task's waker, to be woken at the next change.
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns the waker of the driver if it sleeps.
    #[inline]
    pub(crate) fn take_driver(&mut self) -> Option<Waker> {
        if self.driver_awake { None } else { self.driver.take() }
    }
}

#[inline]
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
