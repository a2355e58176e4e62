//! What a client's application is told.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use everwire_proto::Closure;
use everwire_session::{Code, Direction, EndedBy, GapRange, Message};

use crate::reconnect::{AttemptError, Ending};

/// What happened to a client's session, in order: what is missing is told before the next message,
/// and [`Ended`](Self::Ended) comes once and last.
///
/// # Examples
/// ```no_run
/// use everwire::session::{ClientEvent, Direction, SessionClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = SessionClient::connect("wss://example.com/orders")?;
/// while let Some(event) = client.next().await {
///     match event {
///         ClientEvent::Message(message) => println!("{:?}", message.as_text()),
///         ClientEvent::Gap(Direction::In, gap) => println!("{} to {} will not come", gap.from, gap.to),
///         // What was sent before may not have arrived, and nobody has it any more.
///         ClientEvent::Lost { unacknowledged, .. } => {
///             for message in unacknowledged.iter().filter_map(|message| message.as_text()) {
///                 client.send(message).await?;
///             }
///         }
///         ClientEvent::Ended(end) => println!("{end}"),
///         _ => {} // Connections come and go.
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A session that knows nothing of before: the first, or the one after [`Lost`](Self::Lost).
    Attached {
        /// Its name for logs.
        id: Bytes,
    },
    /// The connection is gone, or silent although it was asked, and another one is being opened. What is
    /// sent now is kept for it, unless the silent one takes it.
    Detached {
        /// How the connection ended; nothing if it is silent, or was given up because it was or because its
        /// session had ended.
        closure: Option<Arc<Closure>>,
    },
    /// The session goes on, on another connection, or on the one that was silent.
    Resumed {
        /// How many connections it has had: one more than before, unless it is the silent one.
        epoch: u64,
    },
    /// A message.
    Message(Message),
    /// Messages are missing, the server's or ours; this comes before the next message.
    Gap(Direction, GapRange),
    /// The server does not have the session any more; a new one follows.
    Lost {
        /// Our messages that were not acknowledged. Each of them may have arrived.
        unacknowledged: Vec<Message>,
        /// How the session ended; nothing if the server did not know it when we came back.
        end: Option<SessionEnd>,
    },
    /// The end.
    Ended(Arc<ClientEnd>),
}

/// What is missing before the next message.
///
/// # Examples
/// ```no_run
/// use everwire::session::{Missing, SessionClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = SessionClient::connect("wss://example.com/prices")?;
/// while let Some(received) = client.recv().await {
///     match received {
///         Ok(message) => println!("{:?}", message.as_text()),
///         Err(Missing::Gap(gap)) => println!("{} prices are missing", gap.to - gap.from + 1),
///         Err(missing) => println!("begin anew: {missing}"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// These messages of the server will not come.
    Gap(GapRange),
    /// The server does not have the session any more: any number of its messages may be missing, and
    /// so may those of ours that it did not acknowledge.
    Lost {
        /// Our messages that were not acknowledged.
        unacknowledged: Vec<Message>,
        /// How the session ended; nothing if the server did not know it when we came back.
        end: Option<SessionEnd>,
    },
}

/// How a session ended that is followed by another one: with a code after which it makes sense to
/// come back ([`Code::may_come_back`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEnd {
    /// Why.
    pub code: Code,
    /// For people.
    pub reason: String,
    /// Who ended it.
    pub by: EndedBy,
}

/// How it all ended, for a client.
///
/// # Examples
/// ```no_run
/// # async fn example(client: everwire::session::SessionClient) {
/// let end = client.close(everwire::session::Code::NORMAL, "done").await;
/// if !end.is_clean() {
///     eprintln!("{end}"); // As in "session expired with 4408; 2 messages were not acknowledged".
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientEnd {
    /// Why.
    pub why: ClientStop,
    /// Our messages that were not acknowledged. Each of them may have arrived.
    pub unacknowledged: Vec<Message>,
}

/// Why a client stopped for good.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientStop {
    /// The session has ended.
    Session {
        /// With this code.
        code: Code,
        /// For people.
        reason: String,
        /// Who ended it.
        by: EndedBy,
    },
    /// An attempt to connect failed in a way that another one would not mend. The server keeps the
    /// session, if there was one, as long as it keeps any.
    Failed(Arc<AttemptError>),
    /// The client [left](super::ClientSender::leave) the session to whoever comes next with its
    /// store.
    Left,
    /// All handles were dropped, or the runtime went down.
    Dropped,
}

/// What a client is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientState {
    /// It has no session yet; an attempt to connect is under way, or will be.
    Connecting {
        /// Its number since the last stable connection; the first is 1.
        attempt: u32,
        /// How long it was until it begins when this was decided; nothing once it is under way.
        delay: Duration,
        /// How the attempt before it failed, or the connection before it ended; nothing before the
        /// first, or if that connection is silent.
        last: Option<Ending>,
    },
    /// Messages flow.
    Attached,
    /// The session waits for another connection, or for a silent one to speak.
    Detached {
        /// As for [`Connecting`](Self::Connecting).
        attempt: u32,
        /// As for [`Connecting`](Self::Connecting).
        delay: Duration,
        /// As for [`Connecting`](Self::Connecting).
        last: Option<Ending>,
    },
    /// The end. The connection of a session that has ended is closed by now; one from which the
    /// client [left](super::ClientSender::leave), failed or was dropped is being closed.
    Ended(Arc<ClientEnd>),
}

impl ClientEnd {
    /// Returns the code with which the session ended; none if it did not.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match &self.why {
            ClientStop::Session { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns whether we or the server said goodbye with 1000, and nothing was left over.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let is_goodbye = match &self.why {
            ClientStop::Session { code, by: EndedBy::Us | EndedBy::Peer, .. } => {
                *code == Code::NORMAL
            }
            _ => false,
        };
        is_goodbye && self.unacknowledged.is_empty()
    }
}

impl ClientState {
    /// Returns how it all ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<&Arc<ClientEnd>> {
        match self {
            Self::Ended(end) => Some(end),
            _ => None,
        }
    }
}

impl fmt::Display for ClientEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        match self.unacknowledged.len() {
            0 => Ok(()),
            1 => f.write_str("; 1 message was not acknowledged"),
            n => write!(f, "; {n} messages were not acknowledged"),
        }
    }
}

impl Error for ClientEnd {}

impl fmt::Display for ClientStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { code, reason, by } => write_end(f, *code, reason, *by),
            Self::Failed(error) => error.fmt(f),
            Self::Left => f.write_str("session left to whoever comes next with its store"),
            Self::Dropped => f.write_str("its handles were dropped"),
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_end(f, self.code, &self.reason, self.by)
    }
}

fn write_end(f: &mut fmt::Formatter<'_>, code: Code, reason: &str, by: EndedBy) -> fmt::Result {
    match by {
        EndedBy::Us => write!(f, "session ended by us with {code}")?,
        EndedBy::Peer => write!(f, "session ended by the server with {code}")?,
        EndedBy::Superseded => write!(f, "session taken over by another client ({code})")?,
        EndedBy::Violation(violation) => {
            write!(f, "session ended with {code}: the server broke the protocol: {violation}")?;
        }
        EndedBy::Expiry => write!(f, "session expired with {code}")?,
    }
    if reason.is_empty() { Ok(()) } else { write!(f, " {reason:?}") }
}

impl fmt::Display for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, attempt, delay) = match self {
            Self::Connecting { attempt, delay, .. } => ("connecting", attempt, delay),
            Self::Detached { attempt, delay, .. } => ("detached, connecting", attempt, delay),
            Self::Attached => return f.write_str("attached"),
            Self::Ended(end) => return write!(f, "ended: {end}"),
        };
        match *delay {
            Duration::ZERO => write!(f, "{name}, attempt {attempt}"),
            delay => write!(f, "{name} in {:.1} s, attempt {attempt}", delay.as_secs_f64()),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(gap) => write!(f, "messages {} to {} are missing", gap.from, gap.to),
            Self::Lost { unacknowledged, end } => {
                match end {
                    Some(end) => end.fmt(f)?,
                    None => f.write_str("the server has forgotten the session")?,
                }
                write!(f, "; {} messages were not acknowledged", unacknowledged.len())
            }
        }
    }
}

impl Error for Missing {}
