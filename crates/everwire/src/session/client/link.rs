//! What a client's handles share with the task that runs it.

mod task;

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::Closure;
use everwire_session::{
    Acks, ClientSession, Code, Config, Direction, GapRange, Kind, Message, Prepared, SendError,
    Snapshot, SnapshotChange,
};
use tokio::sync::{Notify, watch};

use super::{ClientEvent, ClientState, Receipt};
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
    saved: Option<Saved>,
    /// It is there, and has only to be changed.
    is_changeable: bool,
    /// Something is stored.
    is_kept: bool,
}

/// What has to become of what is stored.
pub(super) enum Unsaved {
    Save,
    /// This is all that is missing.
    Change(SnapshotChange),
    Forget,
}

/// What was stored last.
#[derive(PartialEq, Eq)]
pub(super) struct Saved {
    /// Without messages.
    marks: Snapshot,
    /// How often the session had been lost: another one has other messages of the same numbers.
    losses: u32,
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
        let first = ClientState::Connecting { attempt: 1, delay: Duration::ZERO, last: None };
        let (states, watching) = watch::channel(first);
        let (now, is_kept) = (clock::now(), stored.is_some());
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
            is_changeable: false,
            is_kept,
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
        let now = self.now();
        match self.is_something(&now.marks) {
            true => self.saved.as_ref() != Some(&now),
            false => self.is_kept,
        }
    }

    /// Returns what would be stored now.
    fn now(&self) -> Saved {
        Saved { marks: self.session.marks(), losses: self.session.losses() }
    }

    /// Returns whether there is a session to come back to, or to be told the loss of: without a token
    /// nobody keeps it for us. What was accepted before there was one waits for it.
    fn is_something(&self, marks: &Snapshot) -> bool {
        !marks.token.is_empty() || marks.epoch > 0 || self.session.buffered().1 > 0
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
