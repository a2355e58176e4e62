//! What the task of a client calls.

use std::{sync::Arc, task::Waker, time::Duration};

use everwire_proto::{Closure, Message as WsMessage};
use everwire_session::{Attempt, ClientSession, Config, Event, Message, Snapshot, Transmit};

use super::{Link, Orders, Saved, Unsaved};
use crate::{
    clock,
    session::{
        client::{ClientEnd, ClientEvent, ClientState, SessionEnd, carrier::Carrier},
        oversize::oversize,
    },
    shared::Decided,
};

impl Link {
    pub(in crate::session::client) async fn news(&self) {
        self.news.notified().await;
    }

    /// Leaves what was not handed out to the next process, where it comes again.
    pub(in crate::session::client) fn leave_unread(&self) {
        let is_left = |event: &ClientEvent| {
            matches!(event, ClientEvent::Message(Message { number: Some(_), .. }))
        };
        self.lock().queue.retain(|(_, event)| !is_left(event));
    }

    pub(in crate::session::client) fn take_orders(&self) -> Orders {
        std::mem::take(&mut self.lock().orders)
    }

    /// Has the runner look again.
    pub(in crate::session::client) fn look_again(&self) {
        self.news.notify_one();
    }

    pub(in crate::session::client) fn publish(&self, state: ClientState) {
        self.states.send_replace(state);
    }

    pub(in crate::session::client) fn hello(&self) -> Option<Attempt> {
        self.lock().session.hello(clock::now())
    }

    /// Begins an attempt whose HELLO travels in the upgrade request.
    pub(in crate::session::client) fn hello_in_request(&self) -> Option<Attempt> {
        let mut inner = self.lock();
        let attempt = inner.session.hello(clock::now())?;
        inner.session.await_opening(attempt.number);
        Some(attempt)
    }

    /// Handles a message that arrived on the connection of this attempt.
    pub(in crate::session::client) fn receive(&self, attempt: u64, message: WsMessage<'static>) {
        let now = clock::now();
        let mut inner = self.lock();
        match message {
            WsMessage::Binary(payload) => {
                inner.session.handle_message(now, attempt, &payload.into_bytes());
            }
            WsMessage::Text(_) => inner.session.handle_text(attempt),
        }
    }

    /// Handles that it is decided how the connection of this attempt ends. A message that was too big
    /// for it ends the session now, so that no other connection asks for it to be sent again.
    pub(in crate::session::client) fn decided(&self, attempt: u64, decided: &Decided) {
        let (cause, received) = &**decided;
        if let Some(oversize) = oversize(cause, received.as_ref()) {
            self.lock().session.handle_too_big(attempt, oversize);
        }
    }

    /// Handles the end of the connection of this attempt.
    pub(in crate::session::client) fn closed(&self, attempt: u64, closure: Option<Arc<Closure>>) {
        let received = closure.as_ref().and_then(|closure| closure.received.as_ref());
        let code = received.map(|frame| u16::from(frame.code));
        let mut inner = self.lock();
        inner.closure = closure;
        inner.session.handle_closed(attempt, code);
    }

    /// Tells the session the time if something is due, and before that what it does not see: that a message
    /// is still coming on this connection.
    pub(in crate::session::client) fn handle_timeout(&self, carrier: Option<&Carrier>) {
        let now = clock::now();
        let mut inner = self.lock();
        let is_due = inner.session.poll_timeout().is_some_and(|at| at <= now);
        if let Some(carrier) = carrier.filter(|_| is_due || inner.session.is_suspected())
            && let Some(at) = carrier.mid_message()
        {
            inner.session.handle_bytes(at, carrier.attempt);
        }
        if is_due {
            inner.session.handle_timeout(now);
        }
    }

    /// Returns what the session has to say, unless something has to be stored before that.
    pub(in crate::session::client) fn poll_transmit(&self, attempt: u64) -> Option<Transmit> {
        let mut inner = self.lock();
        if self.is_stored && inner.is_unsaved() {
            return None;
        }
        inner.session.poll_transmit(clock::now(), attempt)
    }

    /// Returns what has to become of what is stored, if it is out of date, and what it is then.
    pub(in crate::session::client) fn unsaved(&self) -> Option<(Unsaved, Saved)> {
        let inner = self.lock();
        if !inner.is_unsaved() {
            return None;
        }
        let now = inner.now();
        let saved = inner.saved.as_ref();
        let changed = saved.filter(|it| inner.is_changeable && it.losses == now.losses);
        let unsaved = match changed {
            _ if !inner.is_something(&now.marks) => Unsaved::Forget,
            Some(saved) => Unsaved::Change(inner.session.change_since(&saved.marks)),
            None => Unsaved::Save,
        };
        Some((unsaved, now))
    }

    /// Returns the whole session, and what is stored once that is.
    pub(in crate::session::client) fn whole(&self) -> (Snapshot, Saved) {
        let inner = self.lock();
        (inner.session.snapshot(), inner.now())
    }

    /// Notes that this is stored, as far as that was possible. If it was, it has only to be changed
    /// from now on.
    pub(in crate::session::client) fn saved(&self, saved: Saved, is_changeable: bool) {
        let mut inner = self.lock();
        inner.saved = Some(saved);
        inner.is_changeable = is_changeable;
        inner.is_kept = true;
    }

    /// Notes that nothing is stored any more.
    pub(in crate::session::client) fn forgotten(&self) {
        let mut inner = self.lock();
        inner.saved = None;
        inner.is_kept = false;
    }

    /// Returns whether something has to be stored before anything is said.
    pub(in crate::session::client) fn is_unsaved(&self) -> bool {
        self.is_stored && self.lock().is_unsaved()
    }

    /// Queues what happened for the application; returns what the runner has to see to.
    pub(in crate::session::client) fn take_events(&self) -> Vec<Event> {
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
                    inner.push(ClientEvent::Lost { unacknowledged, end: None }, &mut wakers);
                    wakers.extend(inner.take_writers()); // The new session has room.
                }
                Event::Opened { id } => {
                    (inner.told_attached, inner.closure) = (true, None);
                    inner.name = id.clone();
                    inner.push(ClientEvent::Attached { id: id.clone() }, &mut wakers);
                    others.push(Event::Opened { id });
                }
                Event::Resumed { epoch } => {
                    (inner.told_attached, inner.closure) = (true, None);
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
    pub(in crate::session::client) fn detached(&self) {
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
    pub(in crate::session::client) fn renew(&self, unacknowledged: Vec<Message>, end: SessionEnd) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        inner.session = ClientSession::new(clock::now(), self.config.clone());
        inner.generation += 1;
        inner.push(ClientEvent::Lost { unacknowledged, end: Some(end) }, &mut wakers);
        // There is room again.
        wakers.extend(inner.take_writers());
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells everybody that it is over: the last event.
    pub(in crate::session::client) fn end(&self, end: Arc<ClientEnd>) {
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
    pub(in crate::session::client) fn patience(&self) -> Duration {
        let times = [self.look(ClientSession::ttl), self.config.ttl, Config::client().ttl];
        times.into_iter().find(|ttl| !ttl.is_zero()).unwrap_or_default()
    }
}
