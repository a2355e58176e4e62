//! What an application is told.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{Code, GapRange, Goaway, Message, Ticket, Violation, Welcome};

/// What happened in a session, in order: a gap or a loss comes before the messages behind it, and
/// [`Ended`](Self::Ended) comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A new session is there, under this name. For a client it is the first, or the one after
    /// [`Lost`](Self::Lost).
    Opened {
        /// The session's name for logs.
        id: Bytes,
    },
    /// A socket was attached to the session, which goes on. At a client also, with the same epoch: the
    /// socket that was silent when [`Detached`](Self::Detached) was told has spoken.
    Resumed {
        /// How many sockets the session has had.
        epoch: u64,
    },
    /// The socket is gone; the session waits for another. At a client also: the socket was
    /// [suspected](Self::Suspected), and neither it nor another has spoken since. It stays in use.
    Detached,
    /// A message.
    Message(Message),
    /// Messages are missing, in either direction.
    Gap(Direction, GapRange),
    /// At a client: the server does not have the session any more. A new one follows.
    Lost {
        /// What was not acknowledged, as far as it is still there.
        unacknowledged: Vec<Message>,
    },
    /// At a client: the server refused the attach; the answer says what to do. Attach again, or do not.
    Refused(Welcome),
    /// At a client: advice to attach another socket.
    Goaway(Goaway),
    /// At a client: the path looks dead. Attach another socket beside this one, unless it speaks.
    Suspected,
    /// At a client: the server wants a fresh ticket within this time.
    TicketWanted(Duration),
    /// At a client: the server accepted the ticket for this time; `None` for ever.
    TicketAccepted(Option<Duration>),
    /// At a server: the client shows a ticket.
    Ticket(Ticket),
    /// At a server: a token was shown that had been replaced. Somebody has a copy.
    TokenReused,
    /// There is room in the buffer again, after [`SendError::Full`](crate::SendError::Full).
    Writable,
    /// The session is over.
    Ended(End),
}

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub code: Code,
    /// For people.
    pub reason: String,
    /// Who ended it.
    pub by: EndedBy,
    /// Our messages that were not acknowledged, as far as they are still there.
    pub unacknowledged: Vec<Message>,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Our application.
    Us,
    /// The peer.
    Peer,
    /// Nobody came back in time; the memory was needed; the ticket expired.
    Expiry,
    /// Another client has the session.
    Superseded,
    /// The peer broke the protocol.
    Violation(Violation),
}

/// What is to be done on a socket. Frames may hold secrets: `Debug` shows their type and length.
#[derive(Clone, PartialEq, Eq)]
pub enum Transmit {
    /// Send this binary WebSocket message.
    Frame(Bytes),
    /// Send what was handed out before, then close the WebSocket with this code. Nothing follows.
    Close(Code),
}

/// The DATA frame of a message, to be sent as a binary WebSocket message, in memory that is lent until the
/// session is used again.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use everwire_session::{Lent, ServerSession, Transmit};
///
/// /// Says what a session has to say; `copy` and `share` send a binary message each.
/// fn transmit(session: &mut ServerSession, now: Instant, epoch: u64, copy: fn(&[u8]), share: fn(bytes::Bytes)) {
///     loop {
///         match session.poll_message(now, epoch) {
///             Some(Lent::Small(frame)) => copy(frame),
///             Some(Lent::Large(frame)) => share(frame.clone()), // The bytes are not copied.
///             // All else, and whether there is anything at all.
///             None => match session.poll_transmit(now, epoch) {
///                 Some(Transmit::Frame(frame)) => share(frame),
///                 Some(Transmit::Close(_)) | None => return,
///             },
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lent<'a> {
    /// It is to be copied: it has less than 8 KiB, or lies among others.
    Small(&'a [u8]),
    /// So large that it is worth being shared.
    Large(&'a Bytes),
}

impl Lent<'_> {
    /// Returns its bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Small(frame) => frame,
            Self::Large(frame) => frame,
        }
    }

    pub(crate) fn to_bytes(self) -> Bytes {
        match self {
            Self::Small(frame) => Bytes::copy_from_slice(frame),
            Self::Large(frame) => frame.clone(),
        }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => {
                let first = frame.first().copied().unwrap_or_default();
                write!(f, "Frame({first:#04x}, {} bytes)", frame.len())
            }
            Self::Close(code) => write!(f, "Close({code})"),
        }
    }
}
