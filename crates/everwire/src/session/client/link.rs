//! What a client's handles share with the task that runs it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::{Closure, Message as WsMessage};
use everwire_session::{
    Acks, Attempt, ClientSession, Code, Config, Event, Kind, Message, Prepared, SendError,
    Snapshot, Transmit,
};
use tokio::sync::{Notify, watch};

use super::{ClientEnd, ClientEvent, ClientState};
use crate::{clock, session::oversize::oversize};

/// Between the handles and the runner.
pub(super) struct Link {
    config: Arc<Config>,
    credit: Credit,
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
    /// Each with the number of the session it came from.
    queue: VecDeque<(u64, ClientEvent)>,
    /// The number of the session: messages of an older one are not released in this one.
    generation: u64,
    receiver: Option<Waker>,
    receiver_gone: bool,
    /// The message that was handed out last and is not released yet.
    taken: Option<(u64, u64)>,
    writers: Vec<Waker>,
    orders: Orders,
    /// The application was told that a connection is attached.
    told_attached: bool,
    /// How the connection that carried the session ended.
    closure: Option<Arc<Closure>>,
    is_over: bool,
    /// What was stored last.
    saved: Option<Saved>,
}

/// What of a snapshot has to be stored before it is stated.
type Saved = (Bytes, u64, u64, u64);

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
            generation: 0,
            receiver: None,
            receiver_gone: false,
            taken: None,
            writers: Vec::new(),
            orders: Orders::default(),
            told_attached: false,
            closure: None,
            is_over: false,
            saved: None,
        };
        let link = Self { config, credit, states, news: Notify::new(), inner: Mutex::new(inner) };
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

    /// Accepts a message, or waits for room.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Prepared,
    ) -> Poll<Result<u64, SendError>> {
        let mut inner = self.lock();
        if inner.is_over {
            return Poll::Ready(Err(SendError::Closed));
        }
        let sent = inner.session.send(clock::now(), message.clone());
        if let Err(SendError::Full { .. }) = sent {
            // Under the same lock, so that room that comes in between is not missed.
            if !inner.writers.iter().any(|writer| writer.will_wake(cx.waker())) {
                inner.writers.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        drop(inner);
        self.news.notify_one();
        Poll::Ready(sent)
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
    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        let now = clock::now();
        let mut inner = self.lock();
        let mut released = inner.taken.take();
        let event = inner.queue.pop_front();
        if let Some((generation, ClientEvent::Message(Message { number: Some(number), .. }))) =
            &event
        {
            match self.credit {
                Credit::Taken => released = Some((*generation, *number)),
                Credit::Next => inner.taken = Some((*generation, *number)),
                Credit::Application => {}
            }
        }
        let released = released.filter(|(generation, _)| *generation == inner.generation);
        if let Some((_, number)) = released {
            inner.session.release(now, number);
        }
        // While more waits to be taken, the credit is worth no wake-up.
        let tells = released.is_some() && inner.queue.is_empty();
        let is_over = inner.is_over;
        if event.is_none() && !is_over {
            inner.receiver = Some(cx.waker().clone());
        }
        drop(inner);
        if tells {
            self.news.notify_one();
        }
        match event {
            None if !is_over => Poll::Pending,
            event => Poll::Ready(event.map(|(_, event)| event)),
        }
    }

    pub(super) fn receiver_gone(&self) {
        let mut inner = self.lock();
        inner.receiver_gone = true;
        let gone = (std::mem::take(&mut inner.queue), inner.receiver.take());
        inner.session.release(clock::now(), u64::MAX);
        drop(inner);
        drop(gone);
        self.news.notify_one();
    }

    // What the runner calls.

    pub(super) async fn news(&self) {
        self.news.notified().await;
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
        let oversize = closure.as_deref().and_then(oversize);
        let mut inner = self.lock();
        inner.closure = closure;
        if let Some(oversize) = oversize {
            inner.session.handle_too_big(attempt, oversize);
        }
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

    pub(super) fn poll_transmit(&self, attempt: u64) -> Option<Transmit> {
        self.lock().session.poll_transmit(clock::now(), attempt)
    }

    /// Returns what has to be stored, if that has changed since [`saved`](Self::saved) was called.
    pub(super) fn unsaved(&self) -> Option<Snapshot> {
        let inner = self.lock();
        if inner.session.is_ended() {
            return None; // It was forgotten, and must not appear again.
        }
        let snapshot = inner.session.snapshot();
        // Without a token there is no session to come back to; what was accepted waits for one.
        let is_something = !snapshot.token.is_empty() || !snapshot.unacknowledged.is_empty();
        let has_changed = inner.saved.as_ref() != Some(&stated(&snapshot));
        (has_changed && is_something).then_some(snapshot)
    }

    /// Notes that this was stored.
    pub(super) fn saved(&self, snapshot: &Snapshot) {
        self.lock().saved = Some(stated(snapshot));
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
                    message.number.into_iter().for_each(|it| inner.session.release(now, it));
                }
                Event::Message(message) => inner.push(ClientEvent::Message(message), &mut wakers),
                Event::Gap(direction, gap) => {
                    inner.push(ClientEvent::Gap(direction, gap), &mut wakers);
                }
                Event::Lost { unacknowledged } => {
                    inner.generation += 1;
                    inner.push(ClientEvent::Lost { unacknowledged }, &mut wakers);
                }
                Event::Opened { id } => {
                    inner.told_attached = true;
                    inner.push(ClientEvent::Attached { id: id.clone() }, &mut wakers);
                    others.push(Event::Opened { id });
                }
                Event::Resumed { epoch } => {
                    inner.told_attached = true;
                    inner.push(ClientEvent::Resumed { epoch }, &mut wakers);
                    others.push(Event::Resumed { epoch });
                }
                Event::Writable => wakers.append(&mut inner.writers),
                other => others.push(other),
            }
        }
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
        others
    }

    /// Tells the application that no connection carries the session any more, if it does not know.
    pub(super) fn detached(&self) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
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
        wakers.append(&mut inner.writers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells everybody that it is over: the last event.
    pub(super) fn end(&self, end: Arc<ClientEnd>) {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.is_over, true) {
            return;
        }
        let mut wakers = std::mem::take(&mut inner.writers);
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

impl Inner {
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

fn stated(snapshot: &Snapshot) -> Saved {
    (snapshot.token.clone(), snapshot.attempt, snapshot.recv, snapshot.next)
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
