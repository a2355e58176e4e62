//! Sessions on the pull face: `next` and `recv`.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    ops::Deref,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use everwire_session::{Direction, End, GapRange, Message, SendError};

use super::{SessionHandler, SessionSender};

/// Serves a session.
pub(super) type Serve =
    Arc<dyn Fn(Session) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A message.
    Message(Message),
    /// The connection is gone. What is sent now is kept for the client's return.
    Detached,
    /// The client is back, on another connection.
    Resumed,
    /// Messages are missing, the client's or ours; this comes before the next message.
    Gap(Direction, GapRange),
}

/// A session for application code, which outlives its connections. It dereferences to
/// [`SessionSender`].
///
/// Dropping it says goodbye to the client with 1000, once all that was sent has reached it.
///
/// # Examples
/// ```
/// use everwire::session::{Code, Session, Sessions};
///
/// /// Adds up numbers; what is missing is asked for again.
/// async fn sum(mut session: Session) {
///     let mut sum = 0;
///     while let Some(message) = session.recv().await {
///         match message {
///             Ok(message) => match message.as_text().and_then(|text| text.parse::<u64>().ok()) {
///                 Some(number) => sum += number,
///                 None => return session.end(Code::MALFORMED, "not a number"),
///             },
///             Err(gap) => drop(session.send_text(&format!("again from {}", gap.from))),
///         }
///     }
///     // `recv` is `None` for ever: the session is over, not its connection alone.
///     println!("{sum}; ended by {:?}", session.end_of_session().map(|end| end.by));
/// }
///
/// let sessions = Sessions::builder().pull(sum);
/// ```
pub struct Session {
    sender: SessionSender,
    queue: Arc<Queue>,
    /// Gives credit back for what was taken.
    releases: bool,
}

impl Session {
    /// Returns what happens next; `None` for ever once the session is over.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Receives the next message, or what is missing before it; `None` for ever once the session is
    /// over.
    ///
    /// # Errors
    /// Messages of the client that are missing.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Result<Message, GapRange>> {
        loop {
            match self.next().await? {
                SessionEvent::Message(message) => return Some(Ok(message)),
                SessionEvent::Gap(Direction::In, gap) => return Some(Err(gap)),
                _ => {}
            }
        }
    }

    /// Polls for what happens next.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<SessionEvent>> {
        let mut queue = self.queue.lock();
        let Some(event) = queue.events.pop_front() else {
            if queue.end.is_some() {
                return Poll::Ready(None);
            }
            queue.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let SessionEvent::Message(Message { number: None, .. }) = &event {
            queue.n_volatile -= 1;
        }
        drop(queue);
        if let SessionEvent::Message(Message { number: Some(number), .. }) = &event
            && self.releases
        {
            self.sender.release(*number);
        }
        Poll::Ready(Some(event))
    }

    /// Sends a text message, waiting while the buffer is full.
    ///
    /// # Errors
    /// [`SendError`], but never [`Full`](SendError::Full).
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was sent.
    ///
    /// # Examples
    /// ```
    /// use everwire::session::{Session, SessionSendError};
    ///
    /// /// Sends more than any buffer takes, as fast as the client has it.
    /// async fn count(session: &Session) -> Result<(), SessionSendError> {
    ///     for n in 0..10_000_000 {
    ///         session.send_text_when_room(&n.to_string()).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn send_text_when_room(&self, text: &str) -> Result<(), SendError> {
        poll_fn(|cx| {
            // Before trying, so that room that comes in between is not missed.
            self.queue.lock().writer = Some(cx.waker().clone());
            match self.sender.send_text(text) {
                Err(SendError::Full { .. }) => Poll::Pending,
                done => Poll::Ready(done),
            }
        })
        .await
    }

    /// Returns how the session ended, once it has and [`next`](Self::next) has returned `None`.
    #[must_use]
    pub fn end_of_session(&self) -> Option<End> {
        self.queue.lock().end.clone()
    }
}

impl Deref for Session {
    type Target = SessionSender;

    fn deref(&self) -> &SessionSender {
        &self.sender
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        queue.is_gone = true;
        let (events, ended) = (std::mem::take(&mut queue.events), queue.end.is_some());
        drop(queue);
        drop(events);
        if !ended {
            self.sender.close(super::Code::NORMAL, "");
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// So many events may wait before gaps are told as one whatever their reasons are.
const MANY: usize = 64;

/// Adds a gap to the one before it, if it goes on there: nothing bounds how many a peer tells of.
/// Returns whether it did.
pub(super) fn extend_gap(last: &mut GapRange, gap: &GapRange, n_waiting: usize) -> bool {
    let goes_on = last.to.saturating_add(1) == gap.from;
    let is_one = goes_on && (last.reason == gap.reason || n_waiting > MANY);
    if is_one {
        last.to = gap.to;
    }
    is_one
}

/// What waits between a session and its future. The window bounds its messages, and `n_volatile`
/// those that have no number.
struct Queue {
    waiting: Mutex<Waiting>,
    volatile_entries: usize,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<SessionEvent>,
    n_volatile: usize,
    receiver: Option<Waker>,
    writer: Option<Waker>,
    end: Option<End>,
    /// Nobody will ask any more.
    is_gone: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: SessionEvent) {
        let mut waiting = self.lock();
        if waiting.is_gone || !waiting.add(event, self.volatile_entries) {
            return;
        }
        let receiver = waiting.receiver.take();
        drop(waiting);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl Waiting {
    /// Adds an event, unless it may be dropped or says no more than those that wait; returns
    /// whether there is one more.
    fn add(&mut self, event: SessionEvent, volatile_entries: usize) -> bool {
        let is_coming =
            |event: &SessionEvent| matches!(event, SessionEvent::Detached | SessionEvent::Resumed);
        let n_waiting = self.events.len();
        match (&event, self.events.back_mut()) {
            (SessionEvent::Message(Message { number: None, .. }), _) => {
                if self.n_volatile >= volatile_entries {
                    return false;
                }
                self.n_volatile += 1;
            }
            (SessionEvent::Gap(side, gap), Some(SessionEvent::Gap(of, last))) if side == of => {
                let is_one = extend_gap(last, gap, n_waiting);
                if is_one {
                    return false;
                }
            }
            // Comings and goings that nobody looks at do not pile up.
            (coming, Some(last)) if is_coming(coming) && coming == last => return false,
            (coming, _) if is_coming(coming) => {
                let n_last = self.events.iter().rev().take_while(|it| is_coming(it)).count();
                if n_last >= 2 && n_waiting > 2 {
                    self.events.truncate(n_waiting - 2);
                }
            }
            _ => {}
        }
        self.events.push_back(event);
        true
    }
}

/// Fills the queue of a [`Session`].
pub(super) struct PullHandler {
    queue: Arc<Queue>,
    serve: Serve,
    releases: bool,
}

impl PullHandler {
    pub(super) fn new(serve: Serve, releases: bool, volatile_entries: usize) -> Self {
        let queue = Queue { waiting: Mutex::default(), volatile_entries };
        Self { queue: Arc::new(queue), serve, releases }
    }
}

impl SessionHandler for PullHandler {
    fn on_session(&mut self, session: &SessionSender) {
        let session =
            Session { sender: session.clone(), queue: self.queue.clone(), releases: self.releases };
        tokio::spawn((self.serve)(session));
    }

    fn on_message(&mut self, session: &SessionSender, message: Message) {
        let number = message.number;
        if self.queue.lock().is_gone {
            // Nobody takes it, and the client's goodbye may lie behind it.
            number.into_iter().for_each(|number| session.release(number));
        } else {
            self.queue.push(SessionEvent::Message(message));
        }
    }

    fn on_detached(&mut self, _: &SessionSender) {
        self.queue.push(SessionEvent::Detached);
    }

    fn on_resumed(&mut self, _: &SessionSender) {
        self.queue.push(SessionEvent::Resumed);
    }

    fn on_gap(&mut self, _: &SessionSender, direction: Direction, gap: GapRange) {
        self.queue.push(SessionEvent::Gap(direction, gap));
    }

    fn on_writable(&mut self, _: &SessionSender) {
        let writer = self.queue.lock().writer.take();
        writer.into_iter().for_each(Waker::wake);
    }

    fn on_end(&mut self, end: &End) {
        let mut waiting = self.queue.lock();
        waiting.end = Some(end.clone());
        let wakers = [waiting.receiver.take(), waiting.writer.take()];
        drop(waiting);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everwire_session::{GapReason, Kind};

    use super::*;

    fn message(number: Option<u64>) -> SessionEvent {
        SessionEvent::Message(Message { number, kind: Kind::Text, payload: Bytes::new() })
    }

    fn gap(from: u64, to: u64, reason: GapReason) -> SessionEvent {
        SessionEvent::Gap(Direction::In, GapRange { from, to, reason })
    }

    #[test]
    fn what_no_window_bounds_does_not_pile_up() {
        let mut waiting = Waiting::default();
        let added = (0..100).filter(|_| waiting.add(message(None), 8)).count();
        assert_eq!((added, waiting.events.len()), (8, 8));
        waiting.events.clear();
        for n in 1..=1000 {
            let reason = if n % 2 == 0 { GapReason::EvictedAge } else { GapReason::EvictedBytes };
            waiting.add(gap(n, n, reason), 8);
        }
        assert!(waiting.events.len() <= MANY + 1, "{}", waiting.events.len());
        assert!(matches!(waiting.events.back(), Some(SessionEvent::Gap(_, gap)) if gap.to == 1000));
        waiting.events.clear();
        waiting.add(message(Some(1)), 8);
        for _ in 0..100 {
            waiting.add(SessionEvent::Detached, 8);
            waiting.add(SessionEvent::Resumed, 8);
        }
        assert!(waiting.events.len() <= 4, "{:?}", waiting.events);
        assert_eq!(waiting.events.back(), Some(&SessionEvent::Resumed));
    }

    #[test]
    fn gaps_that_go_on_are_one_and_others_are_not() {
        let mut waiting = Waiting::default();
        waiting.add(gap(1, 2, GapReason::EvictedBytes), 8);
        waiting.add(gap(3, 4, GapReason::EvictedBytes), 8);
        waiting.add(gap(5, 6, GapReason::EvictedAge), 8);
        waiting.add(message(Some(7)), 8);
        waiting.add(gap(8, 9, GapReason::EvictedAge), 8);
        let expected = [
            gap(1, 4, GapReason::EvictedBytes),
            gap(5, 6, GapReason::EvictedAge),
            message(Some(7)),
            gap(8, 9, GapReason::EvictedAge),
        ];
        assert_eq!(waiting.events, expected);
    }
}
