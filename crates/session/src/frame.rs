//! One frame: what a WebSocket message of `everwire.v1` says (protocol §2).

mod hello;
mod ticket;
mod welcome;

use bytes::Bytes;

pub use self::{
    hello::{HEADER_NAME, Hello, SUBPROTOCOL, SUBPROTOCOL_HELLO_PREFIX},
    ticket::Ticket,
    welcome::{Accepted, Status, Welcome},
};
use crate::{
    Code, Malformed, Role,
    varint::{Reader, Writer},
};

const DATA: u8 = 0x10;
const DATA_TEXT: u8 = 1;
const DATA_VOLATILE: u8 = 2;
const ACK: u8 = 0x20;
const PING: u8 = 0x30;
const PONG: u8 = 0x40;
const HELLO: u8 = 0x50;
const WELCOME: u8 = 0x60;
const GAP: u8 = 0x70;
const GOAWAY: u8 = 0x80;
const BYE: u8 = 0x90;
const BYE_REPLY: u8 = 0x91;
const AUTH_TICKET: u8 = 0xa0;
const AUTH_REQUEST: u8 = 0xa1;
const AUTH_ACCEPTED: u8 = 0xa2;

const REASON_LIMIT: usize = 123;
const URL_LIMIT: usize = 1024;
const TICKET_LIMIT: usize = 2048;

/// Where the sender of a frame stands in both streams (protocol §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of the last message that it received.
    pub recv: u64,
    /// Up to where the peer may forget.
    pub done: u64,
    /// The number of its own last message before this frame.
    pub sent: u64,
    /// The cost of messages after `recv` that it takes.
    pub window: u64,
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Why messages will not come (protocol §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum GapReason {
    /// The buffer was full while there was no socket.
    EvictedBytes = 1,
    /// They became too old while there was no socket.
    EvictedAge = 2,
    /// Later messages took their place.
    Conflated = 3,
    /// An end came back from an older copy of its state.
    Restart = 4,
    /// They are larger than the peer takes.
    Oversize = 5,
}

/// Messages of a stream that will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapRange {
    /// The number of the first.
    pub from: u64,
    /// The number of the last.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}

/// Advice to move (protocol §12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// Milliseconds to wait at least.
    pub after: u64,
    /// Milliseconds over which to spread at random, behind those.
    pub spread: u64,
    /// Where to; empty for the same place.
    pub url: String,
}

/// A frame.
///
/// # Examples
///
/// ```
/// use everwire_session::{Frame, GapReason, GapRange, Role};
///
/// // What came from a server: it says that its messages 3 to 9 will not come.
/// let frame = Frame::parse(Role::Server, &b"\x70\x03\x09\x02"[..].into())?;
/// assert_eq!(frame, Frame::Gap(GapRange { from: 3, to: 9, reason: GapReason::EvictedAge }));
/// assert_eq!(&frame.encode()[..], b"\x70\x03\x09\x02");
/// # Ok::<(), everwire_session::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// A message.
    Data {
        /// Text or binary.
        kind: Kind,
        /// Whether it may be dropped.
        volatile: bool,
        /// The message; it shares the frame's memory.
        payload: Bytes,
    },
    /// An acknowledgement.
    Ack(Counts),
    /// A question for life.
    Ping {
        /// What the answer has to repeat.
        token: u64,
        /// Where the sender stands.
        counts: Counts,
    },
    /// The answer to a [`Ping`](Self::Ping).
    Pong {
        /// The token of the question.
        token: u64,
        /// Where the sender stands.
        counts: Counts,
    },
    /// The client's first frame.
    Hello(Hello),
    /// The server's first frame.
    Welcome(Welcome),
    /// Messages that will not come.
    Gap(GapRange),
    /// Advice to move.
    Goaway(Goaway),
    /// The end of the session, or the reply to it.
    Bye {
        /// Whether it answers one.
        reply: bool,
        /// Why.
        code: Code,
        /// Where the sender stands.
        counts: Counts,
        /// For people.
        reason: String,
    },
    /// A ticket.
    AuthTicket(Ticket),
    /// The server asks for a ticket: the old one is valid for this many milliseconds.
    AuthRequest(u64),
    /// The server accepts a ticket for this many milliseconds; 0 for ever.
    AuthAccepted(u64),
}

impl Frame {
    /// Parses a frame that came from `sender`. Payloads share the memory of `frame`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(sender: Role, frame: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame);
        let first = reader.u8()?;
        let client = matches!(sender, Role::Client);
        let parsed = match first {
            0x10..=0x13 => return data(first, reader.rest()),
            ACK => Self::Ack(counts(&mut reader)?),
            PING => Self::Ping { token: reader.number()?, counts: counts(&mut reader)? },
            PONG => Self::Pong { token: reader.number()?, counts: counts(&mut reader)? },
            HELLO if client => Self::Hello(Hello::read(&mut reader, frame.len())?),
            WELCOME if !client => Self::Welcome(Welcome::read(&mut reader)?),
            GAP => Self::Gap(gap(&mut reader)?),
            GOAWAY if !client => Self::Goaway(Goaway {
                after: reader.number()?,
                spread: reader.number()?,
                url: reader.text("url", URL_LIMIT)?,
            }),
            BYE | BYE_REPLY => Self::Bye {
                reply: first == BYE_REPLY,
                code: code(&mut reader)?,
                counts: counts(&mut reader)?,
                reason: reader.text("reason", REASON_LIMIT)?,
            },
            AUTH_TICKET if client => {
                let ticket = reader.rest();
                if ticket.len() > TICKET_LIMIT {
                    return Err(Malformed::TooLong("ticket"));
                }
                Self::AuthTicket(Ticket(ticket))
            }
            AUTH_REQUEST if !client => Self::AuthRequest(reader.number()?),
            AUTH_ACCEPTED if !client => Self::AuthAccepted(reader.number()?),
            _ => return Err(Malformed::FirstByte(first)),
        };
        reader.end(parsed)
    }

    /// Returns the bytes of the frame: one binary WebSocket message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Data { kind, volatile, payload } => encode_data(*kind, *volatile, payload),
            Self::Ack(counts) => Writer::new(ACK).counts(counts).finish(),
            Self::Ping { token, counts } => {
                Writer::new(PING).number(*token).counts(counts).finish()
            }
            Self::Pong { token, counts } => {
                Writer::new(PONG).number(*token).counts(counts).finish()
            }
            Self::Hello(hello) => hello.write(Writer::new(HELLO)).finish(),
            Self::Welcome(welcome) => welcome.write(Writer::new(WELCOME)).finish(),
            Self::Gap(GapRange { from, to, reason }) => {
                Writer::new(GAP).number(*from).number(*to).u8(*reason as u8).finish()
            }
            Self::Goaway(Goaway { after, spread, url }) => {
                Writer::new(GOAWAY).number(*after).number(*spread).bytes(url.as_bytes()).finish()
            }
            Self::Bye { reply, code, counts, reason } => {
                Writer::new(if *reply { BYE_REPLY } else { BYE })
                    .number(code.number().into())
                    .counts(counts)
                    .bytes(shortened(reason).as_bytes())
                    .finish()
            }
            Self::AuthTicket(ticket) => Writer::new(AUTH_TICKET).rest(&ticket.0).finish(),
            Self::AuthRequest(expires) => Writer::new(AUTH_REQUEST).number(*expires).finish(),
            Self::AuthAccepted(expires) => Writer::new(AUTH_ACCEPTED).number(*expires).finish(),
        }
    }
}

impl Writer {
    fn counts(self, counts: &Counts) -> Self {
        self.number(counts.recv).number(counts.done).number(counts.sent).number(counts.window)
    }
}

/// Returns the bytes of a DATA frame.
pub(crate) fn encode_data(kind: Kind, volatile: bool, payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    encode_data_into(&mut frame, kind, volatile, payload);
    frame.into()
}

/// Appends a DATA frame.
#[inline]
pub(crate) fn encode_data_into(frame: &mut Vec<u8>, kind: Kind, volatile: bool, payload: &[u8]) {
    frame.reserve_exact(payload.len() + 1);
    let text = if kind == Kind::Text { DATA_TEXT } else { 0 };
    frame.push(DATA | text | if volatile { DATA_VOLATILE } else { 0 });
    frame.extend_from_slice(payload);
}

fn data(first: u8, payload: Bytes) -> Result<Frame, Malformed> {
    let (kind, volatile) = data_kind(first, &payload)?;
    Ok(Frame::Data { kind, volatile, payload })
}

/// Takes a DATA frame apart; `None` if it is another frame.
#[inline]
pub(crate) fn parse_data(frame: &[u8]) -> Result<Option<DataParts<'_>>, Malformed> {
    let Some((&first @ 0x10..=0x13, payload)) = frame.split_first() else { return Ok(None) };
    let (kind, volatile) = data_kind(first, payload)?;
    Ok(Some((kind, volatile, payload)))
}

/// Returns the kind of a DATA frame of ours.
pub(crate) fn kind(frame: &[u8]) -> Kind {
    if frame.first().is_some_and(|first| first & DATA_TEXT != 0) {
        Kind::Text
    } else {
        Kind::Binary
    }
}

/// The kind of a DATA frame, whether it may be dropped, and its payload.
type DataParts<'a> = (Kind, bool, &'a [u8]);

#[inline]
fn data_kind(first: u8, payload: &[u8]) -> Result<(Kind, bool), Malformed> {
    let kind = if first & DATA_TEXT == 0 { Kind::Binary } else { Kind::Text };
    if kind == Kind::Text && str::from_utf8(payload).is_err() {
        return Err(Malformed::NotUtf8);
    }
    Ok((kind, first & DATA_VOLATILE != 0))
}

fn counts(reader: &mut Reader<'_>) -> Result<Counts, Malformed> {
    let counts = Counts {
        recv: reader.number()?,
        done: reader.number()?,
        sent: reader.number()?,
        window: reader.number()?,
    };
    if counts.done > counts.recv {
        return Err(Malformed::OutOfRange("done"));
    }
    Ok(counts)
}

fn gap(reader: &mut Reader<'_>) -> Result<GapRange, Malformed> {
    let (from, to) = (reader.positive("from")?, reader.positive("to")?);
    if to < from {
        return Err(Malformed::OutOfRange("to"));
    }
    let reason = match reader.u8()? {
        1 => GapReason::EvictedBytes,
        2 => GapReason::EvictedAge,
        3 => GapReason::Conflated,
        4 => GapReason::Restart,
        5 => GapReason::Oversize,
        _ => return Err(Malformed::OutOfRange("reason of the gap")),
    };
    Ok(GapRange { from, to, reason })
}

fn code(reader: &mut Reader<'_>) -> Result<Code, Malformed> {
    Code::new(reader.number()?).ok_or(Malformed::OutOfRange("code"))
}

/// Returns as much of a reason as fits, in whole characters.
fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_LIMIT)]
}
