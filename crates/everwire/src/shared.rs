//! What a connection's driver shares with its handles and with the registry.

mod agreed;
mod cast;
mod ending;
mod inbox;
mod outbox;
mod received;
mod state;
mod waiting;
mod wake;

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use everwire_proto::{Config, Connection, Counters, DeflateParams, SendError, State as ProtoState};

use self::{agreed::Agreed, received::Received};
pub(crate) use self::{
    cast::{Cast, LastCast},
    inbox::{Decided, Inbox},
    outbox::{Adjustment, News, Outgoing},
    state::{Phase, State},
    waiting::{Place, Until},
    wake::{Wake, Wakes, wake},
};
use crate::{peers::Peers, session::SUBPROTOCOL, signal::Signal};

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
    /// In milliseconds, as the clock counts them.
    since: u64,
    config: Arc<Config>,
    /// What few connections have.
    rest: Option<Arc<Rest>>,
    /// What was agreed upon about compression.
    deflate: Agreed,
    /// Bytes that the driver has encoded and not yet written.
    transmit_len: AtomicUsize,
    received: Received,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    messages_sent: AtomicU64,
    signal: Signal,
    state: Mutex<State>,
}

/// What only some connections have.
#[derive(Debug, Default)]
struct Rest {
    subprotocol: Option<Box<str>>,
    /// What `authorize` attached.
    data: http::Extensions,
}

impl Rest {
    /// Returns what is to be kept: nothing for most connections, and all sessions keep the same.
    fn kept(subprotocol: Option<Box<str>>, data: http::Extensions) -> Option<Arc<Self>> {
        static SESSION: OnceLock<Arc<Rest>> = OnceLock::new();
        let is_session = subprotocol.as_deref() == Some(SUBPROTOCOL) && data.is_empty();
        let has_rest = subprotocol.is_some() || !data.is_empty();
        let new = || Arc::new(Self { subprotocol, data });
        if is_session { Some(SESSION.get_or_init(new).clone()) } else { has_rest.then(new) }
    }
}

impl Shared {
    pub(crate) fn new(
        path: Arc<str>,
        peers: Peers,
        subprotocol: Option<Box<str>>,
        data: http::Extensions,
        deflate: Option<DeflateParams>,
        config: &Arc<Config>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: ConnectionId::next(),
            path,
            peers,
            since: crate::clock::millis(crate::clock::now()),
            config: config.clone(),
            rest: Rest::kept(subprotocol, data),
            deflate: deflate.into(),
            transmit_len: AtomicUsize::new(0),
            received: Received::default(),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            messages_received: AtomicU64::new(0),
            messages_sent: AtomicU64::new(0),
            signal: Signal::default(),
            state: Mutex::default(),
        })
    }

    /// Returns what was agreed upon about compression, if anything was.
    pub(crate) fn deflate(&self) -> Option<DeflateParams> {
        self.deflate.into()
    }

    /// Returns since when the connection is open.
    pub(crate) fn since(&self) -> Instant {
        crate::clock::at_millis(self.since)
    }

    /// Returns the subprotocol that was agreed on.
    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.rest.as_ref()?.subprotocol.as_deref()
    }

    /// Returns what was attached to the connection.
    pub(crate) fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.rest.as_ref()?.data.get()
    }

    /// Returns how many bytes may wait to be sent.
    #[inline]
    fn send_limit(&self) -> usize {
        self.config.limits.send_queue_high()
    }

    /// Locks the state. No user code runs under this lock, so poisoning means nothing.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the registry shows, and what sessions ask for.
    #[inline]
    pub(crate) fn publish(&self, proto: &Connection) {
        let counters = proto.counters();
        if self.bytes_received.load(Ordering::Relaxed) != counters.bytes_received {
            self.received.store(proto);
            self.bytes_received.store(counters.bytes_received, Ordering::Relaxed);
        }
        self.bytes_sent.store(counters.bytes_sent, Ordering::Relaxed);
        self.messages_received.store(counters.messages_received, Ordering::Relaxed);
        self.messages_sent.store(counters.messages_sent, Ordering::Relaxed);
        self.publish_transmit_len(proto.transmit_len());
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
        crate::clock::at_millis(self.received.millis().max(self.since))
    }

    /// Returns when the last bytes came of a message that has not come whole; nothing if there is none.
    pub(crate) fn mid_message(&self) -> Option<Instant> {
        self.received.is_mid_message().then(|| self.last_received())
    }

    /// Returns how many bytes wait to be sent, and whether there is room for more.
    pub(crate) fn send_queue(&self) -> (usize, bool) {
        let queued = self.lock().queued(Until::Room) + self.transmit_len.load(Ordering::Relaxed);
        (queued, queued < self.send_limit())
    }

    /// Returns the round-trip time, once a ping was answered.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        let [high, mid, low] = self.lock().rtt_micros;
        let micros = u32::from_be_bytes([0, high, mid, low]);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Returns whether so much waits for `recv` that reading stops.
    pub(crate) fn is_inbox_full(&self, inbox: &Inbox) -> bool {
        inbox.bytes >= self.config.limits.receive_queue.max(1)
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

    /// Queues a message that is broadcast; if the driver sleeps, `wakes` is to wake it.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    #[inline]
    pub(crate) fn push_cast(&self, cast: &mut Cast, wakes: &mut Wakes) -> Result<(), SendError> {
        let mut state = self.lock();
        self.check_room(&state, Until::Room)?;
        state.queue_cast(cast);
        if self.signal.alert() {
            wakes.add(state.driver.as_ref());
        }
        Ok(())
    }

    fn try_push(&self, outgoing: Outgoing, check_room: bool) -> Result<(), (SendError, Outgoing)> {
        self.push_locked(self.lock(), outgoing, check_room)
    }

    fn push_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        outgoing: Outgoing,
        check_room: bool,
    ) -> Result<(), (SendError, Outgoing)> {
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
        let limit = self.send_limit();
        if queued >= limit {
            return Err(SendError::Full { queued, limit });
        }
        Ok(())
    }

    /// Tells that the driver is awake: it looks for news before it sleeps, and need not be woken.
    #[inline]
    pub(crate) fn wake_up(&self) {
        self.signal.wake_up();
    }

    /// Returns whether a handle asked for something.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.signal.has_news()
    }

    /// Takes what handles asked for. It counts as waiting to be written from here on.
    #[inline]
    pub(crate) fn take_outbox(&self) -> Option<News> {
        self.signal.take_news().then(|| self.take_news())
    }

    fn take_news(&self) -> News {
        let mut state = self.lock();
        let taken = std::mem::take(&mut state.outbox_bytes);
        self.transmit_len.fetch_add(taken, Ordering::Relaxed);
        match state.first.take() {
            Some(first) if state.outbox.is_empty() => News::Cast(first),
            first => News::All(first, std::mem::take(&mut state.outbox)),
        }
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

    /// Asks the driver to call its handler; once is enough until it does.
    pub(crate) fn notify(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Closed || std::mem::replace(&mut state.notified, true) {
            return;
        }
        state.queue(Outgoing::Notify);
        let driver = self.alert(&state);
        drop(state);
        wake(driver);
    }

    /// Does what [`notify`](Self::notify) does; if the driver sleeps, `wakes` is to wake it.
    pub(crate) fn notify_among(&self, wakes: &mut Wakes) {
        let mut state = self.lock();
        if state.phase == Phase::Closed || std::mem::replace(&mut state.notified, true) {
            return;
        }
        state.queue(Outgoing::Notify);
        if self.signal.alert() {
            wakes.add(state.driver.as_ref());
        }
    }

    /// Notes that the handler is being called.
    pub(crate) fn take_notified(&self) {
        self.lock().notified = false;
    }

    /// Begins a message in pieces for the driver's own handler, ahead of what handles queued but
    /// behind what they send in pieces.
    pub(crate) fn try_begin_stream(&self) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        // One that is written to its end may still wait to be encoded.
        let waits =
            state.all_in_outbox().iter().any(|outgoing| matches!(outgoing, Outgoing::Start(..)));
        if state.stream_open || waits {
            return Err(SendError::MessageOpen);
        }
        state.stream_open = true;
        let mut outbox = std::mem::take(&mut state.outbox);
        state.outbox_bytes = 0;
        while let Some(outgoing) = outbox.pop_front() {
            state.queue(outgoing);
        }
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
        let low = self.config.limits.send_queue_low();
        let [room, piece_room] = [Until::Room, Until::PieceRoom]
            .map(|room| state.queued(room) + proto.transmit_len() <= low);
        let mut over = if room && !closing { state.admit() } else { Vec::new() };
        over.extend(state.take_waiters(|until| match until {
            Until::Room | Until::Admitted => closing,
            Until::PieceRoom => closing || piece_room,
            Until::Turn | Until::Drain => closing,
            Until::Answer => answered,
            Until::Closed => false,
        }));
        self.signal.set_waited_for(state.is_waited_for());
        Some(over)
    }
}
