//! Errors, by who is to blame: [`Malformed`] and [`Violation`] the peer, [`SendError`] the caller.

use std::{error::Error, fmt};

use crate::Code;

/// A frame that breaks the layout of the protocol (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// There is no such first byte, or not from this end.
    FirstByte(u8),
    /// The frame ends too early.
    Truncated,
    /// There are bytes after the last element.
    Trailing,
    /// A number is not encoded in the fewest bytes.
    NotShortest,
    /// A number is above 2⁵³−1.
    NumberTooBig,
    /// An element has a value that it must not have.
    OutOfRange(&'static str),
    /// An element is longer than its limit.
    TooLong(&'static str),
    /// Text is not UTF-8.
    NotUtf8,
    /// The frame is allowed from this end, but not now.
    NotNow(&'static str),
    /// The message is a text message of the WebSocket.
    TextMessage,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstByte(byte) => write!(f, "a frame of this end cannot begin with {byte:#04x}"),
            Self::Truncated => f.write_str("the frame ends too early"),
            Self::Trailing => f.write_str("the frame goes on after its last element"),
            Self::NotShortest => f.write_str("a number is not encoded in the fewest bytes"),
            Self::NumberTooBig => f.write_str("a number exceeds 2^53 - 1"),
            Self::OutOfRange(name) => write!(f, "{name} is out of its range"),
            Self::TooLong(name) => write!(f, "{name} exceeds its limit"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::NotNow(name) => write!(f, "{name} must not come now"),
            Self::TextMessage => f.write_str("a frame must be a binary message"),
        }
    }
}

impl Error for Malformed {}

/// What the peer did against the protocol. It ends the session with [`code`](Self::code), except
/// [`Rate`](Self::Rate), which ends the socket only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame is malformed.
    Malformed(Malformed),
    /// The peer counts what it has sent otherwise than we count what we have received.
    Sent {
        /// What the peer says.
        stated: u64,
        /// What we have received.
        received: u64,
    },
    /// The peer acknowledges what was never sent, or less than before, or asks for what it said
    /// may be forgotten.
    Acknowledged {
        /// What the peer says.
        stated: u64,
        /// The lowest that it may say.
        least: u64,
        /// The highest that it may say.
        most: u64,
    },
    /// A gap does not begin where the stream stands.
    Gap {
        /// Where it begins.
        from: u64,
        /// Where it must begin.
        expected: u64,
    },
    /// The peer's stream has used up its numbers, and goes on.
    Exhausted,
    /// A WELCOME has an epoch that is not above the last.
    Epoch(u64),
    /// A message was begun without credit.
    Window,
    /// The peer takes less than it said before, on the same socket.
    Credit {
        /// The window that it states.
        stated: u64,
        /// What it granted before, less what was acknowledged since.
        granted: u64,
    },
    /// A message is larger than agreed.
    TooBig {
        /// The limit in bytes.
        limit: u64,
        /// The size in bytes.
        size: u64,
    },
    /// A message came in more frames of the WebSocket than allowed.
    TooManyFragments {
        /// The limit.
        limit: u32,
    },
    /// Too many frames that say nothing.
    Rate,
}

impl Violation {
    /// Returns the code that tells the peer.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::MALFORMED,
            Self::Window | Self::Credit { .. } => Code::WINDOW,
            Self::TooBig { .. } | Self::TooManyFragments { .. } => Code::TOO_BIG,
            Self::Rate => Code::RATE,
            _ => Code::COUNTERS,
        }
    }
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "malformed frame: {malformed}"),
            Self::Sent { stated, received } => {
                write!(f, "the peer has sent {stated} messages by its count, {received} by ours")
            }
            Self::Acknowledged { stated, least, most } => {
                write!(f, "the peer acknowledges {stated}, which must be {least} to {most}")
            }
            Self::Gap { from, expected } => {
                write!(f, "a gap begins at {from}, the stream stands before {expected}")
            }
            Self::Exhausted => f.write_str("the peer has used up its message numbers"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch} is not newer than the last"),
            Self::Window => f.write_str("the peer began a message without credit (window)"),
            Self::Credit { stated, granted } => {
                write!(f, "the peer takes back credit: a window of {stated} after {granted}")
            }
            Self::TooBig { limit, size } => {
                write!(f, "message of {size} bytes exceeds the limit of {limit} (max_message)")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "message of more than {limit} fragments, which the WebSocket refused")
            }
            Self::Rate => f.write_str("the peer sent too many frames that say nothing"),
        }
    }
}

impl Error for Violation {}

/// The caller asked to send what cannot be sent now. Nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended or says goodbye.
    Closed,
    /// The buffer is full. Wait for [`Event::Writable`](crate::Event::Writable), or raise
    /// [`Buffer`](crate::Buffer).
    Full {
        /// Bytes that the buffer holds.
        bytes: usize,
        /// Messages that it holds.
        entries: usize,
    },
    /// The peer does not take a message of this size.
    TooBig {
        /// The peer's limit in bytes.
        limit: u64,
        /// The size in bytes.
        size: u64,
    },
    /// The stream has used up its numbers.
    Exhausted,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the session is closing or has ended"),
            Self::Full { bytes, entries } => {
                write!(f, "the session's buffer is full: {entries} messages, {bytes} bytes")
            }
            Self::TooBig { limit, size } => {
                write!(f, "message of {size} bytes exceeds the peer's limit of {limit}")
            }
            Self::Exhausted => f.write_str("the session has used up its message numbers"),
        }
    }
}

impl Error for SendError {}
