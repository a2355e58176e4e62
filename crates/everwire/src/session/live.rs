//! One session, with its application and its connection.

mod receive;
mod watch;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::Advice;
use everwire_session::{
    Attach, Code, Event, Hello, Identified, Meter, Oversize, Prepared, Principal,
    SendError as SessionSendError, ServerSession, SessionId, Ticket,
};

pub(super) use self::receive::Held;
use super::{
    SessionHandler, SessionSender, alarm::Ring, cast::IfFull, handler::dispatch, sessions::Table,
    transmit::transmit,
};
use crate::{
    Conn, Sender, clock, random,
    shared::{Shared, Wakes},
};

/// A session that lives in a table.
pub(crate) struct Live {
    id: SessionId,
    table: Arc<Table>,
    state: Mutex<State>,
}

struct State {
    session: ServerSession,
    /// The application's side. Away, it is being called: whoever called it looks for more afterwards, so
    /// that its methods are called one after the other, under no lock. At the end it is gone.
    app: Option<Box<dyn SessionHandler>>,
    /// The newest connection.
    socket: Option<Arc<Shared>>,
    /// The driver of the newest connection is at work here, and will settle all that there is.
    driving: bool,
    /// Its driver was asked to come.
    notified: bool,
    /// When the alarm rings.
    alarm: Option<Ring>,
    listed: Listed,
    /// Who is woken when there is room again, the connection is gone, or the session has ended.
    #[expect(clippy::box_collection, reason = "most sessions have none")]
    watchers: Option<Box<Vec<Waker>>>,
}

/// What the table was told last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Attached,
    /// Bytes are told when they have about doubled.
    Detached {
        bits: u8,
    },
    Ended,
}

impl Live {
    pub(super) fn new(
        table: Arc<Table>,
        id: SessionId,
        session: ServerSession,
        make: impl FnOnce(&SessionSender) -> Box<dyn SessionHandler>,
    ) -> Arc<Self> {
        let state = State {
            session,
            app: None,
            socket: None,
            driving: false,
            notified: false,
            alarm: None,
            listed: Listed::Attached,
            watchers: None,
        };
        let live = Arc::new(Self { id, table, state: Mutex::new(state) });
        let app = catch_unwind(AssertUnwindSafe(|| make(&SessionSender(live.clone()))));
        let mut state = live.lock();
        match app {
            Ok(app) => state.app = Some(app),
            Err(_) => state.fail(),
        }
        drop(state);
        live
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    pub(super) fn meter(&self) -> &Meter {
        self.table.meter()
    }

    /// Locks the state. No user code runs under this lock, so poisoning means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the session.
    pub(super) fn look<R>(&self, look: impl FnOnce(&ServerSession) -> R) -> R {
        look(&self.lock().session)
    }

    /// Does something with the session, and all that follows from it.
    pub(super) fn act<R>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut ServerSession, Instant) -> R,
    ) -> R {
        let mut state = self.lock();
        if state.driving {
            // A driver is at work here, and looks after all that follows.
            let now = state.session.last_now();
            return act(&mut state.session, now);
        }
        let now = clock::now();
        let result = act(&mut state.session, now);
        self.settle(state, now, None);
        result
    }

    /// Attaches a connection, if the session lets it.
    pub(super) fn attach(
        self: &Arc<Self>,
        now: Instant,
        hello: &Hello,
        principal: Option<&Principal>,
        sender: &Sender,
    ) -> Attach {
        let mut state = self.lock();
        let attach = state.session.attach(now, hello, principal, &mut random::fill);
        match attach {
            Attach::Attached(_) => drop(state.take_socket(sender)),
            // Nothing has changed, and it is to take no longer than where there is no session.
            Attach::Unknown if !state.session.is_ended() => {}
            _ => self.settle(state, now, None),
        }
        attach
    }

    /// Takes over the connection with which the session begins.
    pub(super) fn begin(&self, sender: &Sender) {
        let mut state = self.lock();
        // An application that ended it while it was made told a table that did not know it.
        state.listed = Listed::Attached;
        state.take_socket(sender);
    }

    /// Handles that the connection of this epoch ends because a message was too big for it. Its driver
    /// calls [`transmit`](Self::transmit).
    pub(super) fn too_big(&self, epoch: u64, oversize: Oversize) {
        self.lock().session.handle_too_big(epoch, oversize);
    }

    /// Handles the end of the connection of this epoch.
    pub(super) fn closed(self: &Arc<Self>, epoch: u64) {
        let now = clock::now();
        let mut state = self.lock();
        state.session.handle_closed(now, epoch);
        if state.session.epoch() == epoch {
            state.socket = None;
            state.driving = false;
        }
        self.settle(state, now, None);
    }

    /// Advises the client to come back on another connection, because this server leaves: when the Close
    /// that follows advises it to, or else as after any loss.
    pub(super) fn go_away(self: &Arc<Self>, advice: Option<Advice>) {
        let advice = advice.unwrap_or(Advice::new(Duration::ZERO, self.table.first_spread()));
        self.lock().session.goaway(advice.after, advice.spread, "");
    }

    /// Sends a message, which is a gap to a client that does not take it, and leaves it to others to go on, because they hold a lock: if the driver is to
    /// come, `wakes` is to wake it; if not all is settled, [`settle_now`](Self::settle_now) is to be
    /// called.
    pub(crate) fn cast(
        &self,
        now: Instant,
        message: &Prepared,
        if_full: IfFull,
        wakes: &mut Wakes,
    ) -> (Result<(), SessionSendError>, bool) {
        let mut state = self.lock();
        if if_full == IfFull::Detach {
            if self.table.evicts() {
                state.session.detach(now, Code::SLOW_CONSUMER);
            } else {
                state.session.end(Code::SLOW_CONSUMER, "too slow");
            }
        }
        let sent = state.session.send_or_gap(now, message.clone()).map(drop);
        let is_settled = state.listed == state.listing();
        let driver = state.wanted_driver();
        drop(state);
        if let Some(driver) = driver {
            driver.notify_among(wakes);
        }
        (sent, is_settled)
    }

    /// Does all that follows from what others did.
    pub(crate) fn settle_now(self: &Arc<Self>) {
        self.settle(self.lock(), clock::now(), None);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().session.is_ended()
    }

    /// Handles the alarm that was set to `ring`, unless it was set anew to an earlier one: each
    /// that counted would set another.
    pub(super) fn ring(self: &Arc<Self>, now: Instant, ring: Ring) {
        let mut state = self.lock();
        if state.alarm != Some(ring) {
            return;
        }
        state.alarm = None;
        if state.session.poll_timeout().is_some_and(|at| at <= now) {
            // A message that takes long is life, which the session does not see before its end.
            let (epoch, socket) = (state.session.epoch(), state.socket.as_ref());
            if let Some(at) = socket.and_then(|socket| socket.mid_message()) {
                state.session.handle_bytes(at, epoch);
            }
            state.session.handle_timeout(now);
        }
        self.settle(state, now, None);
    }

    /// Gives way because memory is short.
    pub(super) fn relieve(self: &Arc<Self>, relief: impl FnOnce(&mut ServerSession)) {
        let now = clock::now();
        let mut state = self.lock();
        relief(&mut state.session);
        self.settle(state, now, None);
    }

    /// Calls the application for what happened, transmits if a connection's driver is here, tells
    /// the table, sets the alarm, and has the connection's driver come if it is needed.
    fn settle<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        now: Instant,
        mut socket: Option<(&mut Conn<'_>, u64)>,
    ) {
        loop {
            state = self.call(state, now);
            let Some((conn, epoch)) = &mut socket else { break };
            transmit(&mut state.session, conn, *epoch);
            if !state.session.has_events() || state.app.is_none() {
                break;
            }
        }
        let is_here = socket.is_some_and(|(_, epoch)| state.end_drive(epoch));
        let news = state.news();
        self.set_alarm(&mut state, now);
        let driver = if is_here { None } else { state.wanted_driver() };
        if let Some(listed) = news {
            // Under the session's lock, so that the table learns of changes in their order.
            self.tell_table(&state, now, listed);
        }
        let is_ended = news == Some(Listed::Ended);
        let watchers = if is_ended { state.watchers.take() } else { None };
        let is_detached = matches!(state.listed, Listed::Detached { .. });
        drop(state);
        if let Some(driver) = driver {
            driver.notify();
        }
        watchers.into_iter().flat_map(|watchers| *watchers).for_each(Waker::wake);
        if news.is_some() && is_detached {
            self.table.relieve(now);
        } else if is_detached {
            self.table.relieve_if_over(now);
        }
    }

    fn tell_table(&self, state: &State, now: Instant, listed: Listed) {
        match listed {
            Listed::Attached => self.table.note_attached(self.id),
            Listed::Detached { .. } => {
                let since = state.session.detached_at().unwrap_or(now);
                self.table.note_detached(self.id, since, state.session.buffered().0);
            }
            Listed::Ended => {
                let session = &state.session;
                self.table.note_end(now, self.id, session.principal(), session.tombstone());
            }
        }
    }

    /// Moves the alarm if it would ring too late, or for nothing at all.
    fn set_alarm(self: &Arc<Self>, state: &mut State, now: Instant) {
        let (before, due) = (state.alarm, state.session.poll_timeout());
        match (before, due) {
            (Some(before), Some(due)) if before <= Ring::after(due) => {}
            (before, Some(due)) => {
                let ring = Ring::towards(due, now);
                state.alarm = Some(ring);
                self.table.alarm().set(before, ring, self);
            }
            (Some(before), None) => {
                state.alarm = None;
                self.table.alarm().unset(before, self);
            }
            (None, None) => {}
        }
    }

    /// Calls the application for each event, under no lock.
    fn call<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        now: Instant,
    ) -> MutexGuard<'s, State> {
        while state.session.has_events() && state.app.is_some() {
            let Some(event) = state.session.poll_event(now) else { break };
            match event {
                Event::Ticket(Ticket(ticket)) => self.judge(&mut state, now, &ticket),
                Event::Message(message) => {
                    let Some(app) = state.app.take() else { break };
                    drop(state);
                    let sender = SessionSender(self.clone());
                    let app = self.guarded(app, |app| app.on_message(&sender, message));
                    state = self.lock();
                    state.return_app(app);
                }
                event => state = self.tell(state, event),
            }
        }
        state
    }

    /// Tells the application of anything but a message.
    #[cold]
    fn tell<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        event: Event,
    ) -> MutexGuard<'s, State> {
        self.table.count(&event);
        let Some(app) = state.app.take() else { return state };
        let watchers = match event {
            Event::Writable | Event::Detached => state.watchers.clone(),
            _ => None,
        };
        drop(state);
        let is_last = matches!(event, Event::Ended(_));
        let sender = SessionSender(self.clone());
        let mut app = self.guarded(app, |app| dispatch(app, &sender, event));
        let is_over = is_last && app.is_some();
        if is_over {
            // Its drop is its own code as well.
            catch_unwind(AssertUnwindSafe(|| drop(app.take()))).ok();
        }
        watchers.into_iter().flat_map(|watchers| *watchers).for_each(Waker::wake);
        let mut state = self.lock();
        if !is_over {
            state.return_app(app);
        }
        state
    }

    /// Calls the application, which is gone if that panics.
    #[inline]
    fn guarded(
        &self,
        mut app: Box<dyn SessionHandler>,
        call: impl FnOnce(&mut dyn SessionHandler),
    ) -> Option<Box<dyn SessionHandler>> {
        let called = catch_unwind(AssertUnwindSafe(|| {
            call(&mut *app);
            app
        }));
        if called.is_err() {
            tracing::error!(session = ?self.id, "a session's handler panicked");
        }
        called.ok()
    }

    /// Asks the application who shows this ticket.
    fn judge(&self, state: &mut State, now: Instant, ticket: &Bytes) {
        match self.table.renewed(ticket, state.session.principal()) {
            Some(identity) => {
                state.session.authenticated(now, &identity.principal, identity.valid_for);
            }
            None => state.session.end(Code::UNAUTHENTICATED, "ticket refused"),
        }
    }
}

impl Identified for Live {
    fn id(&self) -> &SessionId {
        &self.id
    }
}

impl State {
    /// Takes a connection; the one before is to be closed by its driver.
    fn take_socket(&mut self, sender: &Sender) -> Option<Arc<Shared>> {
        self.driving = true;
        self.notified = false;
        let old = self.socket.replace(sender.shared().clone());
        if let Some(old) = &old {
            old.notify();
        }
        old
    }

    fn drive(&mut self, epoch: u64) {
        if self.session.epoch() == epoch {
            self.driving = true;
        }
    }

    /// Returns whether it was the newest connection's driver that was at work.
    fn end_drive(&mut self, epoch: u64) -> bool {
        let is_newest = self.driving && self.session.epoch() == epoch;
        if is_newest {
            self.driving = false;
            self.notified = false;
        }
        is_newest
    }

    /// Returns the connection whose driver is to come, unless it is at work or on its way.
    fn wanted_driver(&mut self) -> Option<Arc<Shared>> {
        let socket = self.socket.as_ref().filter(|_| !self.driving && !self.notified)?;
        self.notified = true;
        Some(socket.clone())
    }

    /// Returns what the table is to know.
    fn listing(&self) -> Listed {
        if self.session.is_ended() {
            Listed::Ended
        } else if self.session.detached_at().is_some() {
            let (bytes, _) = self.session.buffered();
            Listed::Detached { bits: (usize::BITS - bytes.leading_zeros()) as u8 }
        } else {
            Listed::Attached
        }
    }

    /// Returns what the table is to be told, if that has changed.
    fn news(&mut self) -> Option<Listed> {
        let listed = self.listing();
        (std::mem::replace(&mut self.listed, listed) != listed).then_some(listed)
    }

    /// Takes the application back from a call, if it is still there.
    #[inline]
    fn return_app(&mut self, app: Option<Box<dyn SessionHandler>>) {
        match app {
            Some(app) => self.app = Some(app),
            None => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.app = None;
        self.session.end(Code::ENDED, "internal error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_idle_session_keeps_is_small() {
        assert!(size_of::<Live>() <= 416, "{} bytes", size_of::<Live>());
    }
}
