//! The server's first frame (protocol §2.1, §5.1).

use std::fmt;

use bytes::Bytes;

use super::{Counts, REASON_LIMIT, URL_LIMIT, code, counts, hello::TOKEN_LIMIT, shortened};
use crate::{
    Code, Malformed,
    varint::{Reader, Writer},
};

const ID_LIMIT: usize = 64;

/// What became of an accepted HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// A new session, as asked for.
    New = 0,
    /// The session goes on.
    Resumed = 1,
    /// The session asked for is not there; this is a new one.
    Lost = 2,
}

/// The terms of an attached socket. It holds the token, which its `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// How many sockets the session has had.
    pub epoch: u64,
    /// Where the server stands; `sent` is the HELLO's `recv`.
    pub counts: Counts,
    /// The largest message that the server takes, in bytes.
    pub max_message: u64,
    /// Milliseconds for which a detached session is kept; 0: not at all.
    pub ttl: u64,
    /// Milliseconds of silence after which the server asks for life.
    pub heartbeat: u64,
    /// Milliseconds within which it wants an answer.
    pub heartbeat_timeout: u64,
    /// Milliseconds over which to spread the first attempt after a loss.
    pub first_spread: u64,
    /// What resumes the session next time.
    pub token: Bytes,
    /// The session's name for logs.
    pub id: Bytes,
}

/// The answer to a HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Welcome {
    /// The socket is attached.
    Accepted(Status, Accepted),
    /// The session was ended.
    Ended {
        /// Why.
        code: Code,
        /// The last message that the server received.
        recv: u64,
        /// For people.
        reason: String,
    },
    /// Not now.
    Busy {
        /// Milliseconds to wait at least.
        after: u64,
        /// Milliseconds over which to spread at random, behind those.
        spread: u64,
    },
    /// Elsewhere.
    Moved(String),
    /// The ticket is missing, expired or refused.
    Auth,
    /// A newer attempt or a newer token has been seen.
    Stale,
    /// The version is unknown; this is the highest known.
    Version(u8),
}

impl Welcome {
    /// Returns the code with which the server closes the socket after this answer, if it does. For too
    /// many attaches it is another: [`Attach::close_code`](crate::Attach::close_code).
    #[must_use]
    pub const fn close_code(&self) -> Option<Code> {
        match self {
            Self::Accepted(..) => None,
            Self::Ended { .. } => Some(Code::NORMAL),
            Self::Busy { .. } => Some(Code::BUSY),
            Self::Moved(_) => Some(Code::MOVED),
            Self::Auth => Some(Code::UNAUTHENTICATED),
            Self::Stale => Some(Code::SUPERSEDED),
            Self::Version(_) => Some(Code::VERSION),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            0 => Self::Accepted(Status::New, Accepted::read(reader)?),
            1 => Self::Accepted(Status::Resumed, Accepted::read(reader)?),
            2 => Self::Accepted(Status::Lost, Accepted::read(reader)?),
            3 => Self::Ended {
                code: code(reader)?,
                recv: reader.number()?,
                reason: reader.text("reason", REASON_LIMIT)?,
            },
            4 => Self::Busy { after: reader.number()?, spread: reader.number()? },
            5 => Self::Moved(reader.text("url", URL_LIMIT)?),
            6 => Self::Auth,
            7 => Self::Stale,
            8 => Self::Version(reader.u8()?),
            _ => return Err(Malformed::OutOfRange("status")),
        })
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        match self {
            Self::Accepted(status, accepted) => accepted.write(writer.u8(*status as u8)),
            Self::Ended { code, recv, reason } => writer
                .u8(3)
                .number(code.number().into())
                .number(*recv)
                .bytes(shortened(reason).as_bytes()),
            Self::Busy { after, spread } => writer.u8(4).number(*after).number(*spread),
            Self::Moved(url) => writer.u8(5).bytes(url.as_bytes()),
            Self::Auth => writer.u8(6),
            Self::Stale => writer.u8(7),
            Self::Version(version) => writer.u8(8).u8(*version),
        }
    }
}

impl Accepted {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            epoch: reader.positive("epoch")?,
            counts: counts(reader)?,
            max_message: reader.positive("max_message")?,
            ttl: reader.number()?,
            heartbeat: reader.positive("heartbeat")?,
            heartbeat_timeout: reader.positive("heartbeat_timeout")?,
            first_spread: reader.number()?,
            token: reader.bytes("token", TOKEN_LIMIT)?,
            id: reader.bytes("id", ID_LIMIT)?,
        })
    }

    fn write(&self, writer: Writer) -> Writer {
        writer
            .number(self.epoch)
            .counts(&self.counts)
            .number(self.max_message)
            .number(self.ttl)
            .number(self.heartbeat)
            .number(self.heartbeat_timeout)
            .number(self.first_spread)
            .bytes(&self.token)
            .bytes(&self.id)
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("epoch", &self.epoch)
            .field("counts", &self.counts)
            .field("max_message", &self.max_message)
            .field("ttl", &self.ttl)
            .field("heartbeat", &self.heartbeat)
            .field("heartbeat_timeout", &self.heartbeat_timeout)
            .field("first_spread", &self.first_spread)
            .field("resumable", &!self.token.is_empty())
            .finish_non_exhaustive()
    }
}
