//! What a connection's driver shares with its handles and with the registry.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use everwire_proto::{
    Cause, CloseFrame, Closure, Connection, Counters, Limits, Message, MessageKind,
    PreparedMessage, SendError, State as ProtoState,
};

use crate::{peers::Peers, registry, signal::Signal, websocket::Received};

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

/// One connection, as everybody but its driver sees it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) path: Arc<str>,
    pub(crate) peers: Peers,
    pub(crate) since: Instant,
    pub(crate) data: http::Extensions,
    pub(crate) subprotocol: Option<Box<str>>,
    /// Limit on what may wait to be sent, in bytes.
    send_limit: usize,
    /// What may wait when those who wait for room are woken.
    send_low: usize,
    /// Bytes of received messages that may wait before reading stops.
    pub(crate) receive_limit: u32,
    /// Bytes that the driver has encoded and not yet written.
    transmit_len: AtomicUsize,
    last_received: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    messages_sent: AtomicU64,
    signal: Signal,
    state: Mutex<State>,
}

thread_local! {
    /// Room for what handles ask for, of a connection that sleeps by now.
    static SPARE_OUTBOX: Cell<VecDeque<Outgoing>> = const { Cell::new(VecDeque::new()) };
}

/// An outbox that is larger than this is not kept.
const SPARE_UP_TO: usize = 64;

/// Keeps the room of an outbox that was emptied for the next one of this thread.
#[inline]
pub(crate) fn put_outbox(outbox: VecDeque<Outgoing>) {
    if outbox.capacity() <= SPARE_UP_TO {
        // A thread that ends has none any more.
        SPARE_OUTBOX.try_with(|spare| spare.set(outbox)).ok();
    }
}

/// What is passed between the driver and the handles. Never locked while user code runs.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Messages that wait for `recv`.
    pub(crate) inbox: VecDeque<Received>,
    pub(crate) inbox_bytes: usize,
    pub(crate) receiver: Option<Waker>,
    /// Nobody will ever call `recv`.
    pub(crate) receiver_gone: bool,
    /// What handles asked for and the driver has not yet done.
    pub(crate) outbox: VecDeque<Outgoing>,
    deferred: Option<Box<Deferred>>,
    outbox_bytes: usize,
    /// Somebody sends a message in pieces, or is about to.
    stream_open: bool,
    /// The connection is to be cut; nothing else matters.
    aborted: bool,
    /// The server shuts down and has said so.
    draining: bool,
    driver: Option<Wake>,
    /// The driver stopped reading because the inbox is full.
    pub(crate) inbox_was_full: bool,
    pub(crate) phase: Phase,
    /// The number of the last ping that was answered.
    pub(crate) answered: u32,
    /// The round-trip time in microseconds as of that ping, 0 before the first. Three bytes, up to
    /// 16 s, take the room that is left.
    rtt_micros: [u8; 3],
    pub(crate) closure: Option<Arc<Closure>>,
    /// Where the connection is listed while it lives.
    pub(crate) registry: Option<Arc<registry::Inner>>,
    waiters: Vec<Waiter>,
    /// The last key that was given to a waiter.
    last_key: u32,
}

/// Whole messages that wait for the end of one that is being sent in pieces.
#[derive(Debug, Default)]
struct Deferred {
    queue: VecDeque<Outgoing>,
    bytes: usize,
}

/// What a task waits for. It is woken by nothing else: the driver and the task may be one, and
/// would wake itself without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The send queue has room for a message.
    Room,
    /// The send queue has room for a piece of the message that is being sent, whatever waits for
    /// its end.
    PieceRoom,
    /// Nobody else sends a message in pieces.
    Turn,
    /// A ping was answered.
    Answer,
    /// The server shuts down.
    Drain,
    /// The connection has ended.
    Closed,
}

/// A task that waits.
#[derive(Debug)]
struct Waiter {
    until: Until,
    /// Names the wait, so that it can be given up; 0 for those known by their task.
    key: u32,
    waker: Waker,
}

/// The place of a wait among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// It has none yet.
    None,
    Taken(u32),
    /// Nobody tells when it is given up: one place for a task.
    ByTask,
}

/// Leaves its place when it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.place);
    }
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
    /// A change of the connection that needs no byte in the send queue.
    Adjust(Adjustment),
    /// Go on reading.
    Resume,
    /// Tell the application that the server shuts down.
    Drain,
    Close(Cause, CloseFrame),
    /// Tell the peer in a Close why it ends, and end.
    Fail(Cause),
    Abort(Cause),
}

/// What a handle wants of the connection itself.
pub(crate) struct Adjustment(pub(crate) Adjust);

type Adjust = Box<dyn FnOnce(&mut Connection, Instant) + Send>;

impl fmt::Debug for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adjustment")
    }
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

    /// Returns whether it must not go between the pieces of another message.
    fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Prepared(_))
    }

    /// Returns whether it is a message or the start of one.
    pub(crate) fn begins_message(&self) -> bool {
        self.is_message() || matches!(self, Self::Start(_))
    }

    /// Returns what it has to wait for when the send queue is full.
    fn room(&self) -> Until {
        match self {
            Self::Start(_) | Self::Piece(_) | Self::Finish(_) => Until::PieceRoom,
            _ => Until::Room,
        }
    }
}

impl Shared {
    pub(crate) fn new(
        path: Arc<str>,
        peers: Peers,
        subprotocol: Option<Box<str>>,
        data: http::Extensions,
        limits: &Limits,
    ) -> Arc<Self> {
        let since = crate::clock::now();
        Arc::new(Self {
            id: ConnectionId::next(),
            path,
            peers,
            since,
            data,
            subprotocol,
            send_limit: limits.send_queue_high(),
            send_low: limits.send_queue_low(),
            receive_limit: u32::try_from(limits.receive_queue.max(1)).unwrap_or(u32::MAX),
            transmit_len: AtomicUsize::new(0),
            last_received: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            messages_received: AtomicU64::new(0),
            messages_sent: AtomicU64::new(0),
            signal: Signal::default(),
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
        let since = last_received.saturating_duration_since(self.since);
        let millis = since.as_secs() * 1000 + u64::from(since.subsec_millis());
        self.last_received.store(millis, Ordering::Relaxed);
        self.bytes_received.store(counters.bytes_received, Ordering::Relaxed);
        self.bytes_sent.store(counters.bytes_sent, Ordering::Relaxed);
        self.messages_received.store(counters.messages_received, Ordering::Relaxed);
        self.messages_sent.store(counters.messages_sent, Ordering::Relaxed);
        self.publish_transmit_len(transmit_len);
    }

    /// Publishes how many bytes wait to be written.
    #[inline]
    pub(crate) fn publish_transmit_len(&self, transmit_len: usize) {
        self.transmit_len.store(transmit_len, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        counters.bytes_received = self.bytes_received.load(Ordering::Relaxed);
        counters.bytes_sent = self.bytes_sent.load(Ordering::Relaxed);
        counters.messages_received = self.messages_received.load(Ordering::Relaxed);
        counters.messages_sent = self.messages_sent.load(Ordering::Relaxed);
        counters
    }

    pub(crate) fn last_received(&self) -> Instant {
        self.since + Duration::from_millis(self.last_received.load(Ordering::Relaxed))
    }

    /// Returns how many bytes wait to be sent, and whether there is room for more.
    pub(crate) fn send_queue(&self) -> (usize, bool) {
        let queued = self.lock().queued(Until::Room) + self.transmit_len.load(Ordering::Relaxed);
        (queued, queued < self.send_limit)
    }

    /// Returns the round-trip time, once a ping was answered.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        let [high, mid, low] = self.lock().rtt_micros;
        let micros = u32::from_be_bytes([0, high, mid, low]);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Returns whether so much waits for `recv` that reading stops.
    pub(crate) fn is_inbox_full(&self, state: &State) -> bool {
        state.inbox_bytes >= self.receive_limit as usize
    }

    /// Queues what a handle asked for and wakes the driver.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun, [`SendError::Full`] at the limit.
    pub(crate) fn push(&self, outgoing: Outgoing) -> Result<(), SendError> {
        self.try_push(outgoing, true).map_err(|(error, _)| error)
    }

    /// Queues what there was room for when it was asked for.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    pub(crate) fn push_admitted(&self, outgoing: Outgoing) -> Result<(), SendError> {
        self.try_push(outgoing, false).map_err(|(error, _)| error)
    }

    fn try_push(&self, outgoing: Outgoing, check_room: bool) -> Result<(), (SendError, Outgoing)> {
        let mut state = self.lock();
        match self.check_room(&state, outgoing.room()) {
            Err(SendError::Full { .. }) if !check_room => {}
            Err(error) => return Err((error, outgoing)),
            Ok(()) => {}
        }
        state.queue(outgoing);
        let waker = self.alert(&state);
        drop(state);
        wake(waker);
        Ok(())
    }

    /// Returns whether there is room for one more message or piece.
    fn check_room(&self, state: &State, room: Until) -> Result<(), SendError> {
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        let queued = state.queued(room) + self.transmit_len.load(Ordering::Relaxed);
        if queued >= self.send_limit {
            return Err(SendError::Full { queued, limit: self.send_limit });
        }
        Ok(())
    }

    /// Tells that the driver is awake: it looks for news before it sleeps, and need not be woken.
    #[inline]
    pub(crate) fn wake_up(&self) {
        self.signal.wake_up();
    }

    /// Takes what handles asked for. It counts as waiting to be written from here on.
    #[inline]
    pub(crate) fn take_outbox(&self) -> Option<VecDeque<Outgoing>> {
        self.signal.take_news().then(|| self.take_news())
    }

    fn take_news(&self) -> VecDeque<Outgoing> {
        let mut state = self.lock();
        let taken = std::mem::take(&mut state.outbox_bytes);
        self.transmit_len.fetch_add(taken, Ordering::Relaxed);
        std::mem::take(&mut state.outbox)
    }

    /// Notes that there is news for the driver, and returns its waker if it sleeps.
    pub(crate) fn alert(&self, state: &State) -> Option<Wake> {
        if self.signal.alert() { state.driver.clone() } else { None }
    }

    /// Asks the driver to go on reading.
    pub(crate) fn resume_reading(&self) {
        let mut state = self.lock();
        // Once is enough, however often it is asked for before the driver looks.
        if state.phase == Phase::Closed || matches!(state.outbox.back(), Some(Outgoing::Resume)) {
            return;
        }
        state.outbox.push_back(Outgoing::Resume);
        let waker = self.alert(&state);
        drop(state);
        wake(waker);
    }

    /// Begins the closing handshake; does nothing once it has begun.
    pub(crate) fn close(&self, cause: Cause, frame: CloseFrame) {
        self.end(Outgoing::Close(cause, frame));
    }

    /// Ends the connection with a Close that says why, without waiting for an answer; does nothing
    /// once closing has begun.
    pub(crate) fn fail(&self, cause: Cause) {
        self.end(Outgoing::Fail(cause));
    }

    /// Cuts the connection.
    pub(crate) fn abort(&self, cause: Cause) {
        self.end(Outgoing::Abort(cause));
    }

    fn end(&self, outgoing: Outgoing) {
        let mut state = self.lock();
        let is_abort = matches!(outgoing, Outgoing::Abort(_));
        let is_news = if is_abort {
            state.phase != Phase::Closed && !state.aborted
        } else {
            state.phase == Phase::Open
        };
        if !is_news {
            return;
        }
        state.phase = Phase::Closing;
        state.aborted |= is_abort;
        if is_abort {
            // What is behind it is not sent, but counted.
            state.outbox.push_front(outgoing);
        } else {
            state.queue(outgoing);
        }
        let driver = self.alert(&state);
        let waiters = state.take_waiters(|until| until != Until::Closed);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Tells the application that the server shuts down; does nothing once it was told, or once
    /// closing has begun.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Open || state.draining {
            return;
        }
        state.draining = true;
        state.queue(Outgoing::Drain);
        let driver = self.alert(&state);
        let waiters = state.take_waiters(|until| until == Until::Drain);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Is ready once the server shuts down, or closing has begun.
    pub(crate) fn poll_draining(&self, cx: &Context<'_>, place: &mut Place) -> Poll<()> {
        let mut state = self.lock();
        if state.draining || state.phase != Phase::Open {
            return Poll::Ready(());
        }
        self.wait(&mut state, Until::Drain, cx, place)
    }

    /// Is ready once the connection has ended.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>, place: &mut Place) -> Poll<Arc<Closure>> {
        let mut state = self.lock();
        match &state.closure {
            Some(closure) => Poll::Ready(closure.clone()),
            None => self.wait(&mut state, Until::Closed, cx, place),
        }
    }

    /// Is ready once there is room for one more message or piece.
    pub(crate) fn poll_room(
        &self,
        cx: &Context<'_>,
        room: Until,
        place: &mut Place,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        // Before looking: either the driver's last write is seen here, or it sees that somebody
        // waits and does not sleep lightly.
        self.signal.set_waited_for(true);
        match self.check_room(&state, room) {
            Err(SendError::Full { .. }) => self.wait(&mut state, room, cx, place),
            done => Poll::Ready(done),
        }
    }

    /// Queues something as soon as there is room; it is taken out of `outgoing` when it is queued.
    pub(crate) fn poll_push(
        &self,
        cx: &Context<'_>,
        outgoing: &mut Option<Outgoing>,
        place: &mut Place,
    ) -> Poll<Result<(), SendError>> {
        while let Some(message) = outgoing.take() {
            let room = message.room();
            match self.try_push(message, true) {
                Ok(()) => {}
                Err((SendError::Full { .. }, message)) => {
                    *outgoing = Some(message);
                    // There may be room by now: then it is tried again.
                    ready!(self.poll_room(cx, room, place))?;
                }
                Err((error, _)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Is ready once the ping of this number was answered, or the connection has ended.
    pub(crate) fn poll_answered(
        &self,
        cx: &Context<'_>,
        ping: u32,
        place: &mut Place,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if state.answered.wrapping_sub(ping) as i32 >= 0 {
            return Poll::Ready(Ok(()));
        }
        if state.phase == Phase::Closed {
            return Poll::Ready(Err(SendError::Closed));
        }
        self.wait(&mut state, Until::Answer, cx, place)
    }

    /// Is ready once nobody else sends a message in pieces; then it is the caller's turn until
    /// [`end_stream`](Self::end_stream).
    pub(crate) fn poll_turn(
        &self,
        cx: &Context<'_>,
        place: &mut Place,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Poll::Ready(Err(SendError::Closed));
        }
        if state.stream_open {
            return self.wait(&mut state, Until::Turn, cx, place);
        }
        state.stream_open = true;
        Poll::Ready(Ok(()))
    }

    /// Begins a message in pieces for the driver's own handler, ahead of what handles queued but
    /// behind what they send in pieces.
    pub(crate) fn try_begin_stream(&self) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        // One that is written to its end may still wait to be encoded.
        let waits = state.outbox.iter().any(|outgoing| matches!(outgoing, Outgoing::Start(_)));
        if state.stream_open || waits {
            return Err(SendError::MessageOpen);
        }
        state.stream_open = true;
        let outbox = std::mem::take(&mut state.outbox);
        state.outbox_bytes = 0;
        outbox.into_iter().for_each(|outgoing| state.queue(outgoing));
        Ok(())
    }

    /// Ends what [`poll_turn`](Self::poll_turn) or [`try_begin_stream`](Self::try_begin_stream)
    /// began, with its last piece if there is one.
    pub(crate) fn end_stream(&self, last: Option<Outgoing>) {
        let mut state = self.lock();
        if let Some(last) = last.filter(|_| state.phase == Phase::Open) {
            state.queue(last);
        }
        state.stream_open = false;
        if let Some(mut deferred) = state.deferred.take() {
            state.outbox.append(&mut deferred.queue);
            state.outbox_bytes += deferred.bytes;
        }
        let driver = self.alert(&state);
        let waiters = state.take_waiters(|until| until == Until::Turn);
        drop(state);
        wake(driver);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Lets the driver sleep if there is no news and nobody's wait can be over.
    #[inline]
    pub(crate) fn sleep_lightly(&self) -> bool {
        self.signal.sleep_lightly()
    }

    /// Leaves what wakes the driver.
    pub(crate) fn set_driver(&self, driver: Wake) {
        self.lock().driver = Some(driver);
    }

    /// Leaves what wakes the driver, if that is new, and returns those whose wait is over; `None` if
    /// there is more to do first.
    pub(crate) fn sleep(&self, driver: Option<Wake>, proto: &Connection) -> Option<Vec<Waker>> {
        let mut state = self.lock();
        if driver.is_some() {
            state.driver = driver;
        }
        if !self.signal.sleep() && proto.state() != ProtoState::Closed {
            return None;
        }
        if proto.state() != ProtoState::Open && state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        let answered = state.answered != proto.answered();
        if answered {
            state.answered = proto.answered();
            let rtt = proto.rtt().unwrap_or_default().as_micros();
            let [_, micros @ ..] = (rtt.clamp(1, 0xff_ffff) as u32).to_be_bytes();
            state.rtt_micros = micros;
        }
        if state.waiters.is_empty() {
            return Some(Vec::new());
        }
        let closing = state.phase != Phase::Open;
        let [room, piece_room] = [Until::Room, Until::PieceRoom]
            .map(|room| state.queued(room) + proto.transmit_len() <= self.send_low);
        let over = state.take_waiters(|until| match until {
            Until::Room => closing || room,
            Until::PieceRoom => closing || piece_room,
            Until::Turn | Until::Drain => closing,
            Until::Answer => answered,
            Until::Closed => false,
        });
        self.signal.set_waited_for(!state.waiters.is_empty());
        Some(over)
    }

    /// Leaves the task's waker, to be woken when what it waits for is there.
    fn wait<T>(
        &self,
        state: &mut State,
        until: Until,
        cx: &Context<'_>,
        place: &mut Place,
    ) -> Poll<T> {
        self.signal.set_waited_for(true);
        state.wait(until, cx, place)
    }

    /// Waits by one of the `poll_` methods; dropped, it leaves its place.
    pub(crate) async fn waiting<T>(
        &self,
        mut poll: impl FnMut(&Context<'_>, &mut Place) -> Poll<T>,
    ) -> T {
        let mut waiting = Waiting { shared: self, place: Place::None };
        std::future::poll_fn(|cx| poll(cx, &mut waiting.place)).await
    }

    /// Gives up a place among those that wait.
    pub(crate) fn leave(&self, place: Place) {
        if let Place::Taken(key) = place {
            let left = self.lock().waiters.extract_if(.., |waiter| waiter.key == key).next();
            drop(left);
        }
    }

    /// Takes no more messages; returns how many wait that nobody will send.
    pub(crate) fn seal(&self) -> u64 {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        let deferred = state.deferred.iter().flat_map(|deferred| &deferred.queue);
        let waiting = state.outbox.iter().chain(deferred);
        waiting.filter(|outgoing| outgoing.begins_message()).count() as u64
    }

    /// Tells every handle how the connection ended.
    pub(crate) fn finish(&self, closure: Arc<Closure>) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.closure = Some(closure);
        let outbox = std::mem::take(&mut state.outbox);
        let deferred = std::mem::take(&mut state.deferred);
        let driver = state.driver.take();
        let receiver = state.receiver.take();
        let waiters = state.take_waiters(|_| true);
        drop(state);
        drop((outbox, deferred, driver));
        receiver.into_iter().chain(waiters).for_each(Waker::wake);
    }
}

impl State {
    fn queue(&mut self, outgoing: Outgoing) {
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
            if self.outbox.capacity() == 0 {
                // A thread that ends has none any more, and may still drop handles.
                self.outbox = SPARE_OUTBOX.try_with(Cell::take).unwrap_or_default();
            }
            self.outbox.push_back(outgoing);
        }
    }

    /// Returns how many bytes handles have queued, as far as they are in the way.
    fn queued(&self, room: Until) -> usize {
        match room {
            Until::PieceRoom => self.outbox_bytes,
            _ => self.outbox_bytes + self.deferred.as_ref().map_or(0, |deferred| deferred.bytes),
        }
    }

    /// Leaves the task's waker, to be woken when what it waits for is there.
    fn wait<T>(&mut self, until: Until, cx: &Context<'_>, place: &mut Place) -> Poll<T> {
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

    fn take_waiters(&mut self, is_over: impl Fn(Until) -> bool) -> Vec<Waker> {
        let over = self.waiters.extract_if(.., |waiter| is_over(waiter.until));
        over.map(|waiter| waiter.waker).collect()
    }
}

/// What gives a driver its next turn.
#[derive(Clone, Debug)]
pub(crate) enum Wake {
    /// It has a task of its own.
    Task(Waker),
    /// It is one of many in an event loop, under this key.
    #[cfg(target_os = "linux")]
    Loop(Arc<crate::event_loop::Remote>, u32),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            #[cfg(target_os = "linux")]
            Self::Loop(remote, key) => remote.wake(key),
        }
    }
}

#[inline]
pub(crate) fn wake(driver: Option<Wake>) {
    if let Some(driver) = driver {
        driver.wake();
    }
}
