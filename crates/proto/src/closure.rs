//! How a connection ended.

use std::{error::Error, fmt, time::Duration};

use crate::{Cause, CloseCode, CloseFrame, Retry, Tolerance};

/// The one explanation of how a connection ended: the last event of every connection.
///
/// Its `Display` is one sentence for people: `received 1001 (going away) "deploy", answered`, or
/// `the peer stopped answering: nothing received for 45.2 s, last ping unanswered`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Closure {
    /// Who or what ended the connection.
    pub cause: Cause,
    /// What came in the way of the closing handshake, if `cause` is a decision of ours, such as
    /// [`Cause::Kicked`], and the handshake was not completed.
    pub failure: Option<Cause>,
    /// Whether our side ended it of its own accord: closed, cut or dropped it.
    pub ours: bool,
    /// The Close frame that we sent; absent if it was still waiting to be written at the end.
    pub sent: Option<CloseFrame>,
    /// The Close frame that the peer sent.
    pub received: Option<CloseFrame>,
    /// How long the connection was open.
    pub duration: Duration,
    /// What went through it.
    pub counters: Counters,
    /// Messages of ours that were queued and not handed to the system whole. What was handed to it
    /// may still not have arrived.
    pub unsent: u64,
    /// The last smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Which silences the path tolerated, and which one it did not, if the keepalive
    /// [learns](crate::Keepalive::learns).
    pub tolerance: Tolerance,
}

impl Closure {
    /// Returns whether the closing handshake was completed (§7.1.4).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cause.is_handshake()
            && self.failure.is_none()
            && self.sent.is_some()
            && self.received.is_some()
    }

    /// Returns whether the peer closed with one of these codes, or the closing was ours and was
    /// completed.
    ///
    /// Timeouts, resets, streams that end without a Close and protocol errors are never expected,
    /// not even if 1006 is among the codes.
    #[must_use]
    pub fn is_expected(&self, codes: &[CloseCode]) -> bool {
        match self.cause {
            Cause::PeerClosed => codes.contains(&self.code()),
            _ => self.is_clean(),
        }
    }

    /// Returns the code of §7.1.5: the one the peer sent, 1005 if its Close had none, 1006 if
    /// there was no Close.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.received.as_ref().map_or(CloseCode::ABNORMAL_CLOSURE, |close| close.code)
    }

    /// Returns the reason the peer gave, empty if none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.received.as_ref().map_or("", |close| &close.reason)
    }

    /// Returns whether and when it makes sense to connect again. [`Retry`] has the table.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::after(self)
    }
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, &self.sent, &self.received) {
            (Cause::PeerClosed, Some(_), Some(received)) => {
                return write!(f, "received {received}, answered");
            }
            (Cause::PeerClosed, None, Some(received)) => {
                return write!(f, "received {received}, not answered");
            }
            (cause, Some(sent), Some(received)) if cause.is_handshake() => {
                write!(f, "{cause}: sent {sent}, received {received}")?;
            }
            (cause, Some(sent), _) if cause.is_handshake() => write!(f, "{cause}: sent {sent}")?,
            (cause, Some(sent), _) => write!(f, "{cause}; sent {sent}")?,
            (cause, None, _) => cause.fmt(f)?,
        }
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, ", but {failure}"))
    }
}

impl Error for Closure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

/// What went through a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Bytes received after the opening handshake.
    pub bytes_received: u64,
    /// Bytes sent after the opening handshake.
    pub bytes_sent: u64,
    /// Whole messages received.
    pub messages_received: u64,
    /// Whole messages sent.
    pub messages_sent: u64,
}
