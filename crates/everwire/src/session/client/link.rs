//! What a client's handles share with the task that runs it.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::{Closure, Message as WsMessage};
use everwire_session::{
    Acks, Attempt, ClientSession, Code, Config, Direction, Event, GapRange, Kind, Message,
    Prepared, SendError, Snapshot, Transmit,
};
use tokio::sync::{Notify, watch};

use super::{ClientEnd, ClientEvent, ClientState, Receipt};
use crate::{clock, session::pull};

/// Between the handles and the runner.
pub(super) struct Link {
    config: Arc<Config>,
    credit: Credit,
    /// What is not released comes again in the next process.
    is_stored: bool,
    states: watch::Sender<ClientState>,
    news: Notify,
    inner: Mutex<Inner>,
}

/// When the credit of a message goes back to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credit {
    /// When it is handed out.
    Taken,
    /// When the next event is asked for: the application is done with it.
    Next,
    /// When the application says so.
    Application,
}

struct Inner {
    session: ClientSession,
    /// Each with the number of the session it came from. The window bounds its messages.
    queue: VecDeque<(u64, ClientEvent)>,
    /// How many of those are volatile: no window bounds them.
    n_volatile: usize,
    /// The number of the session: messages of an older one are not released in this one.
    generation: u64,
    receiver: Option<Waker>,
    receiver_gone: bool,
    /// The message that was handed out last and is not released yet.
    taken: Option<Receipt>,
    /// The numbered message that was handed out last.
    handed: Option<Receipt>,
    /// The name of the session of this generation: it changes before `generation` does.
    name: Bytes,
    /// Who waits for room, in the order in which they came.
    writers: BTreeMap<u64, Waker>,
    next_writer: u64,
    orders: Orders,
    /// The application was told that a connection is attached.
    told_attached: bool,
    /// How the connection that carried the session ended.
    closure: Option<Arc<Closure>>,
    is_over: bool,
    /// What was stored last, without messages.
    saved: Option<Snapshot>,
}

/// What the handles want of the runner.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) close: Option<(Code, String)>,
    pub(super) leave: bool,
    pub(super) dropped: bool,
    pub(super) wake: bool,
}

impl Link {
    pub(super) fn new(
        config: Arc<Config>,
        credit: Credit,
        is_stored: bool,
        stored: Option<Snapshot>,
    ) -> (Arc<Self>, watch::Receiver<ClientState>) {
        let first = ClientState::Connecting { attempt: 1, delay: Duration::ZERO };
        let (states, watching) = watch::channel(first);
        let now = clock::now();
        let session = match stored {
            Some(snapshot) => ClientSession::restored(now, config.clone(), snapshot),
            None => ClientSession::new(now, config.clone()),
        };
        let inner = Inner {
            session,
            queue: VecDeque::new(),
            n_volatile: 0,
            generation: 0,
            receiver: None,
            receiver_gone: false,
            taken: None,
            handed: None,
            name: Bytes::new(),
            writers: BTreeMap::new(),
            next_writer: 0,
            orders: Orders::default(),
            told_attached: false,
            closure: None,
            is_over: false,
            saved: None,
        };
        let (news, inner) = (Notify::new(), Mutex::new(inner));
        let link = Self { config, credit, is_stored, states, news, inner };
        (Arc::new(link), watching)
    }

    /// Locks what is shared. No code of the application runs under this lock, so poisoning means
    /// nothing.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What handles call.

    /// Looks at the session.
    pub(super) fn look<R>(&self, look: impl FnOnce(&ClientSession) -> R) -> R {
        look(&self.lock().session)
    }

    /// Does something with the session, and has the runner see what follows from it.
    pub(super) fn act<R>(&self, act: impl FnOnce(&mut ClientSession, Instant) -> R) -> R {
        let result = act(&mut self.lock().session, clock::now());
        self.news.notify_one();
        result
    }

    /// Accepts a message.
    pub(super) fn send(&self, message: Prepared) -> Result<u64, SendError> {
        let mut inner = self.lock();
        if inner.is_over {
            return Err(SendError::Closed);
        }
        let sent = inner.session.send(clock::now(), message);
        drop(inner);
        self.news.notify_one();
        sent
    }

    /// Accepts a message as soon as there is room.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was sent, and nobody waits.
    pub(super) async fn send_when_room(&self, message: &Prepared) -> Result<u64, SendError> {
        let mut writer = Writer { link: self, place: None };
        poll_fn(|cx| self.poll_send(cx, message, &mut writer.place)).await
    }

    fn poll_send(
        &self,
        cx: &Context<'_>,
        message: &Prepared,
        place: &mut Option<u64>,
    ) -> Poll<Result<u64, SendError>> {
        // Cloned and dropped without the lock: a waker may be code of the application.
        let mut waker = None;
        loop {
            let mut inner = self.lock();
            if inner.is_over {
                return Poll::Ready(Err(SendError::Closed));
            }
            let sent = inner.session.send(clock::now(), message.clone());
            if !matches!(sent, Err(SendError::Full { .. })) {
                drop(inner);
                self.news.notify_one();
                return Poll::Ready(sent);
            }
            // Under the same lock, so that room that comes in between is not missed.
            let waits = place.and_then(|place| inner.writers.get(&place));
            if waits.is_some_and(|writer| writer.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                let old = inner.wait_for_room(place, waker);
                drop(inner);
                drop(old);
                return Poll::Pending;
            }
            drop(inner);
            waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn send_volatile(&self, kind: Kind, payload: &[u8]) -> bool {
        self.act(|session, _| session.send_volatile(kind, payload))
    }

    pub(super) fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.lock().orders);
        self.news.notify_one();
    }

    pub(super) fn states(&self) -> watch::Receiver<ClientState> {
        self.states.subscribe()
    }

    /// Polls for what happens next.
    pub(super) fn poll_event(&self, cx: &Context<'_>) -> Poll<Option<ClientEvent>> {
        // As for `poll_send`.
        let mut waker = None;
        loop {
            if let Some(event) = self.take_event(cx, &mut waker) {
                return event;
            }
            waker = Some(cx.waker().clone());
        }
    }

    /// Takes the next event, or leaves `waker`; `None` if it needs one.
    fn take_event(
        &self,
        cx: &Context<'_>,
        waker: &mut Option<Waker>,
    ) -> Option<Poll<Option<ClientEvent>>> {
        let now = clock::now();
        let mut inner = self.lock();
        let mut released = inner.taken.take();
        let event = inner.queue.pop_front();
        if let Some((_, ClientEvent::Message(Message { number: None, .. }))) = &event {
            inner.n_volatile -= 1;
        }
        if let Some((generation, ClientEvent::Message(Message { number: Some(number), .. }))) =
            &event
        {
            let receipt = Receipt { generation: *generation, number: *number };
            inner.handed = Some(receipt);
            match self.credit {
                Credit::Taken => released = Some(receipt),
                Credit::Next => inner.taken = Some(receipt),
                Credit::Application => {}
            }
        }
        let is_released = released.is_some_and(|receipt| inner.release(now, receipt));
        // While more waits to be taken, the credit is worth no wake-up.
        let tells = is_released && inner.queue.is_empty();
        let is_over = inner.is_over;
        let waits = inner.receiver.as_ref().is_some_and(|it| it.will_wake(cx.waker()));
        let mut has_waker = true;
        if event.is_none() && !is_over && !waits {
            has_waker = waker.is_some();
            // What it takes the place of is dropped by the caller.
            std::mem::swap(&mut inner.receiver, waker);
        }
        drop(inner);
        if tells {
            self.news.notify_one();
        }
        match event {
            None if !has_waker => None,
            None if !is_over => Some(Poll::Pending),
            event => Some(Poll::Ready(event.map(|(_, event)| event))),
        }
    }

    pub(super) fn receipt(&self) -> Option<Receipt> {
        self.lock().handed
    }

    /// Gives back the credit of a message and all before it.
    pub(super) fn release(&self, receipt: Receipt) {
        if self.lock().release(clock::now(), receipt) {
            self.news.notify_one();
        }
    }

    /// Discards what comes in from now on. Of a session that survives its process nothing is
    /// discarded: what nobody has seen here comes again in the next.
    pub(super) fn receiver_gone(&self) {
        let mut inner = self.lock();
        inner.receiver_gone = true;
        let gone = (std::mem::take(&mut inner.queue), inner.receiver.take());
        if !self.is_stored {
            inner.session.release(clock::now(), u64::MAX);
        }
        drop(inner);
        drop(gone);
        self.news.notify_one();
    }

    // What the runner calls.

    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Leaves what was not handed out to the next process, where it comes again.
    pub(super) fn leave_unread(&self) {
        let is_left = |event: &ClientEvent| {
            matches!(event, ClientEvent::Message(Message { number: Some(_), .. }))
        };
        self.lock().queue.retain(|(_, event)| !is_left(event));
    }

    pub(super) fn take_orders(&self) -> Orders {
        std::mem::take(&mut self.lock().orders)
    }

    /// Has the runner look again.
    pub(super) fn look_again(&self) {
        self.news.notify_one();
    }

    pub(super) fn publish(&self, state: ClientState) {
        self.states.send_replace(state);
    }

    pub(super) fn hello(&self) -> Option<Attempt> {
        self.lock().session.hello(clock::now())
    }

    /// Begins an attempt whose HELLO travels in the upgrade request.
    pub(super) fn hello_in_request(&self) -> Option<Attempt> {
        let mut inner = self.lock();
        let attempt = inner.session.hello(clock::now())?;
        inner.session.await_opening(attempt.number);
        Some(attempt)
    }

    /// Handles a message that arrived on the connection of this attempt.
    pub(super) fn receive(&self, attempt: u64, message: WsMessage<'static>) {
        let now = clock::now();
        let mut inner = self.lock();
        match message {
            WsMessage::Binary(payload) => {
                inner.session.handle_message(now, attempt, &payload.into_bytes());
            }
            WsMessage::Text(_) => inner.session.handle_text(attempt),
        }
    }

    /// Handles the end of the connection of this attempt.
    pub(super) fn closed(&self, attempt: u64, closure: Option<Arc<Closure>>) {
        let received = closure.as_ref().and_then(|closure| closure.received.as_ref());
        let code = received.map(|frame| u16::from(frame.code));
        let mut inner = self.lock();
        inner.closure = closure;
        inner.session.handle_closed(attempt, code);
    }

    /// Tells the session the time if something is due; returns when something will be.
    pub(super) fn handle_timeout(&self) -> Option<Instant> {
        let now = clock::now();
        let mut inner = self.lock();
        if inner.session.poll_timeout().is_some_and(|at| at <= now) {
            inner.session.handle_timeout(now);
        }
        inner.session.poll_timeout()
    }

    /// Returns what the session has to say, unless something has to be stored before that.
    pub(super) fn poll_transmit(&self, attempt: u64) -> Option<Transmit> {
        let mut inner = self.lock();
        if self.is_stored && inner.is_unsaved() {
            return None;
        }
        inner.session.poll_transmit(clock::now(), attempt)
    }

    /// Returns what has to be stored, if that has changed since [`saved`](Self::saved) was called.
    pub(super) fn unsaved(&self) -> Option<Snapshot> {
        let inner = self.lock();
        inner.is_unsaved().then(|| inner.session.snapshot())
    }

    /// Notes that this was stored.
    pub(super) fn saved(&self, mut snapshot: Snapshot) {
        snapshot.unacknowledged = Vec::new();
        self.lock().saved = Some(snapshot);
    }

    /// Returns whether something has to be stored before anything is said.
    pub(super) fn is_unsaved(&self) -> bool {
        self.is_stored && self.lock().is_unsaved()
    }

    /// Queues what happened for the application; returns what the runner has to see to.
    pub(super) fn take_events(&self) -> Vec<Event> {
        let now = clock::now();
        let mut guard = self.lock();
        let inner = &mut *guard;
        let mut wakers = Vec::new();
        let mut others = Vec::new();
        while let Some(event) = inner.session.poll_event(now) {
            match event {
                Event::Message(message) if inner.receiver_gone => {
                    let number = message.number.filter(|_| !self.is_stored);
                    number.into_iter().for_each(|it| inner.session.release(now, it));
                }
                // It may be dropped, and nothing else bounds how many wait.
                Event::Message(Message { number: None, .. })
                    if inner.n_volatile >= self.config.volatile_entries => {}
                Event::Message(message) => {
                    inner.n_volatile += usize::from(message.number.is_none());
                    inner.push(ClientEvent::Message(message), &mut wakers);
                }
                Event::Gap(direction, gap) if !inner.extends_gap(direction, &gap) => {
                    inner.push(ClientEvent::Gap(direction, gap), &mut wakers);
                }
                Event::Gap(..) => {}
                Event::Lost { unacknowledged } => {
                    inner.generation += 1;
                    inner.push(ClientEvent::Lost { unacknowledged }, &mut wakers);
                    wakers.extend(inner.take_writers()); // The new session has room.
                }
                Event::Opened { id } => {
                    inner.told_attached = true;
                    inner.name = id.clone();
                    inner.push(ClientEvent::Attached { id: id.clone() }, &mut wakers);
                    others.push(Event::Opened { id });
                }
                Event::Resumed { epoch } => {
                    inner.told_attached = true;
                    inner.name = inner.session.id().clone();
                    // WELCOME says what may be forgotten.
                    wakers.extend(inner.take_writers());
                    inner.push(ClientEvent::Resumed { epoch }, &mut wakers);
                    others.push(Event::Resumed { epoch });
                }
                Event::Writable => wakers.extend(inner.take_writers()),
                other => others.push(other),
            }
        }
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
        others
    }

    /// Tells the application that no connection carries the session any more, if it does not know.
    pub(super) fn detached(&self) {
        let mut inner = self.lock();
        // Without a connection the oldest may make room, or the session end.
        let mut wakers: Vec<_> = inner.take_writers().collect();
        if std::mem::take(&mut inner.told_attached) {
            let closure = inner.closure.take();
            inner.push(ClientEvent::Detached { closure }, &mut wakers);
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Begins another session, because the one before has ended in a way that allows it.
    pub(super) fn renew(&self, unacknowledged: Vec<Message>) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        inner.session = ClientSession::new(clock::now(), self.config.clone());
        inner.generation += 1;
        inner.push(ClientEvent::Lost { unacknowledged }, &mut wakers);
        // There is room again.
        wakers.extend(inner.take_writers());
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells everybody that it is over: the last event.
    pub(super) fn end(&self, end: Arc<ClientEnd>) {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.is_over, true) {
            return;
        }
        let mut wakers: Vec<_> = inner.take_writers().collect();
        inner.push(ClientEvent::Ended(end), &mut wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns the time for which a goodbye waits for a connection: as long as the server keeps the
    /// session.
    pub(super) fn patience(&self) -> Duration {
        let ttl = self.look(ClientSession::ttl);
        if ttl.is_zero() { self.config.ttl } else { ttl }
    }
}

/// Leaves its place among those that wait for room when it is dropped.
struct Writer<'a> {
    link: &'a Link,
    place: Option<u64>,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = self.link.lock().writers.remove(&place);
            drop(left);
        }
    }
}

impl Inner {
    /// Leaves a waker in a place of its own; returns what was there.
    fn wait_for_room(&mut self, place: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let place = *place.get_or_insert_with(|| {
            self.next_writer += 1;
            self.next_writer
        });
        self.writers.insert(place, waker)
    }

    fn take_writers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.writers).into_values()
    }

    /// Releases a message of this session; returns whether it is one.
    fn release(&mut self, now: Instant, receipt: Receipt) -> bool {
        let is_ours = receipt.generation == self.generation && self.name == *self.session.id();
        if is_ours {
            self.session.release(now, receipt.number);
        }
        is_ours
    }

    /// Adds a gap to the one that is told last, if it goes on there.
    fn extends_gap(&mut self, direction: Direction, gap: &GapRange) -> bool {
        let (generation, n_waiting) = (self.generation, self.queue.len());
        match self.queue.back_mut() {
            Some((of, ClientEvent::Gap(side, last))) if (*of, *side) == (generation, direction) => {
                pull::extend_gap(last, gap, n_waiting)
            }
            _ => false,
        }
    }

    /// Returns whether what is stored is out of date.
    fn is_unsaved(&self) -> bool {
        // What is over is forgotten, whatever still changes.
        if self.session.is_ended() {
            return false;
        }
        let marks = self.session.marks();
        // Without a token there is no session to come back to; what was accepted waits for one.
        let is_something = !marks.token.is_empty() || self.session.buffered().1 > 0;
        is_something && self.saved.as_ref() != Some(&marks)
    }

    fn push(&mut self, event: ClientEvent, wakers: &mut Vec<Waker>) {
        if self.receiver_gone {
            return;
        }
        // Comings and goings that nobody looks at do not pile up.
        let is_coming = |event: &ClientEvent| {
            matches!(event, ClientEvent::Detached { .. } | ClientEvent::Resumed { .. })
        };
        if is_coming(&event)
            && self.queue.len() > 2
            && self.queue.iter().rev().take(2).all(|(_, event)| is_coming(event))
        {
            self.queue.pop_back();
            self.queue.pop_back();
        }
        self.queue.push_back((self.generation, event));
        wakers.extend(self.receiver.take());
    }
}

/// Returns the settings of the session itself, and who gives credit back.
pub(super) fn acks(config: &mut Config, is_stored: bool) -> Credit {
    match (config.acks, is_stored) {
        (Acks::Automatic, false) => {
            config.acks = Acks::Released;
            Credit::Taken
        }
        (Acks::Automatic, true) => {
            config.acks = Acks::Manual;
            Credit::Next
        }
        (Acks::Released, true) => {
            // What is only released would be forgotten by both ends when the process dies.
            config.acks = Acks::Manual;
            Credit::Application
        }
        _ => Credit::Application,
    }
}
