//! What tasks wait for at a connection, and how they leave.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use everwire_proto::{Closure, SendError};

use super::{Outgoing, Phase, Shared, State};

/// What a task waits for. It is woken by nothing else: the driver and the task may be one, and
/// would wake itself without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The send queue has room for a message.
    Room,
    /// Nothing any more: there was room for a message, and the task has not yet come for it.
    Admitted,
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
pub(super) struct Waiter {
    pub(super) until: Until,
    /// Names the wait, so that it can be given up; 0 for those known by their task.
    pub(super) key: u32,
    pub(super) waker: Waker,
}

/// Tasks that wait for something.
#[allow(clippy::box_collection)] // 8 bytes instead of 24 in every idle connection.
#[derive(Debug, Default)]
pub(super) struct Waiters(Option<Box<Vec<Waiter>>>);

impl Waiters {
    pub(super) fn push(&mut self, waiter: Waiter) {
        self.0.get_or_insert_default().push(waiter);
    }

    /// Takes out those for whom `is_over` holds.
    pub(super) fn take_if(&mut self, is_over: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let Some(waiters) = &mut self.0 else { return Vec::new() };
        waiters.extract_if(.., |waiter| is_over(waiter)).collect()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Waiter> {
        self.0.as_deref_mut().map(Vec::as_mut_slice).unwrap_or_default().iter_mut()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Waiter> {
        self.0.as_deref().map(Vec::as_slice).unwrap_or_default().iter()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|waiters| waiters.is_empty())
    }
}

/// The place of a wait among the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Place {
    /// It has none yet.
    #[default]
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

impl Shared {
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

    /// Queues something if there is room, and nobody ahead who waited for it. Who waits would never
    /// come to his turn beside somebody who tries again and again.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn push_in_turn(&self, outgoing: Outgoing) -> Result<(), SendError> {
        let state = self.lock();
        if state.is_awaited() {
            let queued = state.queued(Until::Room) + self.transmit_len.load(Ordering::Relaxed);
            // Behind an empty queue nobody has to wait, least of all for a task that never comes.
            if queued > 0 && state.phase == Phase::Open {
                return Err(SendError::Full { queued, limit: self.send_limit() });
            }
        }
        self.push_locked(state, outgoing, true).map_err(|(error, _)| error)
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

    /// Is ready once the server shuts down, or closing has begun.
    pub(crate) fn poll_draining(&self, cx: &Context<'_>, place: &mut Place) -> Poll<()> {
        let mut state = self.lock();
        if state.draining || state.phase != Phase::Open {
            return Poll::Ready(());
        }
        self.wait(&mut state, Until::Drain, cx, place)
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

    /// Leaves the task's waker, to be woken when what it waits for is there.
    fn wait<T>(
        &self,
        state: &mut State,
        until: Until,
        cx: &Context<'_>,
        place: &mut Place,
    ) -> Poll<T> {
        // Of the end everybody is told, whether anybody waits or not.
        if until != Until::Closed {
            self.signal.set_waited_for(true);
        }
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
            let left = self.lock().waiters.take_if(|waiter| waiter.key == key);
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
        let n = waiting.filter(|outgoing| outgoing.begins_message()).count();
        (n + state.first.as_ref().map_or(0, |first| first.len())) as u64
    }
}
