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

/// What waits between a session and its future. The window bounds its messages.
#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    events: VecDeque<SessionEvent>,
    receiver: Option<Waker>,
    writer: Option<Waker>,
    end: Option<End>,
    /// Nobody will ask any more.
    is_gone: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: SessionEvent) {
        let mut waiting = self.lock();
        if waiting.is_gone {
            return;
        }
        // Comings and goings that nobody looks at do not pile up.
        let repeats = matches!(event, SessionEvent::Detached | SessionEvent::Resumed)
            && waiting.events.back() == Some(&event);
        if !repeats {
            waiting.events.push_back(event);
        }
        let receiver = waiting.receiver.take();
        drop(waiting);
        receiver.into_iter().for_each(Waker::wake);
    }
}

/// Fills the queue of a [`Session`].
pub(super) struct PullHandler {
    queue: Arc<Queue>,
    serve: Serve,
    releases: bool,
}

impl PullHandler {
    pub(super) fn new(serve: Serve, releases: bool) -> Self {
        Self { queue: Arc::default(), serve, releases }
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
