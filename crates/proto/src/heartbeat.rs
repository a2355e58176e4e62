//! A heartbeat of messages, for peers that see no pings.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Message, PreparedMessage,
    deadline::{after, is_late},
};

/// The shortest interval and timeout: nothing is due again at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// When a beat that could not be sent is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A message sent at each interval, which the peer must answer with one of its own.
///
/// A Pong proves that the network works and a browser runs, not that the page in it does; and some
/// peers know no pings at all. Beside this, keepalive goes on by itself. The first beat goes out
/// after one interval. If nothing that [`answer`](Self::answer) takes has come `timeout` after a
/// beat, the connection fails with [`Cause::HeartbeatTimeout`](crate::Cause::HeartbeatTimeout);
/// answers are handed out like any message. The time stands still while we do not read.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire_proto::{Answer, Config, Heartbeat, Message};
///
/// let mut config = Config::default();
/// let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
/// let pong = Answer::text("pong");
/// config.heartbeat = Some(Heartbeat::new(Message::text("ping"), interval, timeout, pong));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// What is sent.
    pub message: PreparedMessage,
    /// Time from one beat to the next.
    pub interval: Duration,
    /// Time the peer has after a beat to answer.
    pub timeout: Duration,
    /// What is an answer.
    pub answer: Answer,
}

impl Heartbeat {
    /// Returns a heartbeat that sends this message at each interval, and waits for so long for
    /// such an answer.
    #[must_use]
    pub fn new<'a>(
        message: impl Into<Message<'a>>,
        interval: Duration,
        timeout: Duration,
        answer: Answer,
    ) -> Self {
        Self { message: PreparedMessage::new(message), interval, timeout, answer }
    }
}

/// Which messages answer a [`Heartbeat`].
///
/// A message that is handed out in pieces can only answer [`Any`](Self::Any).
#[derive(Clone)]
#[non_exhaustive]
pub enum Answer {
    /// Every message.
    Any,
    /// This message.
    Exactly(Message<'static>),
    /// The messages that this function likes; it is called for each message that arrives.
    Matching(Arc<dyn Fn(&Message<'_>) -> bool + Send + Sync>),
}

impl Answer {
    /// Returns the answer that is this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Exactly(Message::text(text).into_owned())
    }

    /// Returns the answers that this function likes.
    #[must_use]
    pub fn matching(is_answer: impl Fn(&Message<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self::Matching(Arc::new(is_answer))
    }

    fn takes(&self, message: Option<&Message<'_>>) -> bool {
        match (self, message) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exactly(answer), Some(message)) => answer == message,
            (Self::Matching(is_answer), Some(message)) => is_answer(message),
        }
    }
}

impl PartialEq for Answer {
    /// Functions are the same if they are one and the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Exactly(answer), Self::Exactly(other)) => answer == other,
            (Self::Matching(answer), Self::Matching(other)) => Arc::ptr_eq(answer, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Exactly(message) => f.debug_tuple("Exactly").field(message).finish(),
            Self::Matching(_) => f.write_str("Matching(..)"),
        }
    }
}

/// The clockwork of a heartbeat.
#[derive(Debug)]
pub(crate) struct Beating {
    heartbeat: Heartbeat,
    next: Instant,
    /// By when the first beat that nothing has answered must be.
    deadline: Option<Instant>,
}

/// What is due of a heartbeat.
#[derive(Debug)]
pub(crate) enum Beat {
    /// Send this.
    Send(PreparedMessage),
    /// Give the peer up.
    Dead,
}

impl Beating {
    pub(crate) fn new(heartbeat: &Heartbeat, now: Instant) -> Self {
        let heartbeat = heartbeat.clone();
        let next = after(now, heartbeat.interval.max(SHORTEST));
        Self { heartbeat, next, deadline: None }
    }

    /// Takes a message, `None` for one in pieces; returns whether it is an answer and nothing else.
    pub(crate) fn handle_message(&mut self, message: Option<&Message<'_>>) -> bool {
        let is_answer = self.heartbeat.answer.takes(message);
        if is_answer {
            self.deadline = None;
        }
        is_answer && !matches!(self.heartbeat.answer, Answer::Any)
    }

    /// Leaves out a time in which we did not read.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        self.deadline = self.deadline.map(|deadline| after(deadline, pause));
    }

    /// Returns when something is due; while we are not reading, only beats are.
    pub(crate) fn poll_timeout(&self, is_paused: bool) -> Instant {
        let deadline = self.deadline.filter(|_| !is_paused);
        deadline.map_or(self.next, |deadline| deadline.min(self.next))
    }

    /// Returns what is due; a beat that cannot be sent now is tried again.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        is_paused: bool,
        can_send: bool,
    ) -> Option<Beat> {
        let timeout = self.heartbeat.timeout.max(SHORTEST);
        if let Some(deadline) = self.deadline.filter(|&deadline| !is_paused && deadline <= now) {
            if !is_late(deadline, now) {
                self.deadline = None;
                return Some(Beat::Dead);
            }
            self.deadline = Some(after(now, timeout));
        }
        if now < self.next {
            return None;
        }
        let interval = self.heartbeat.interval.max(SHORTEST);
        if !can_send {
            self.next = after(now, interval.min(AGAIN));
            return None;
        }
        self.next = after(now, interval);
        self.deadline.get_or_insert(after(now, timeout));
        Some(Beat::Send(self.heartbeat.message.clone()))
    }
}
