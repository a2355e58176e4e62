//! Errors, by who is to blame: [`ProtocolError`] the peer, [`SendError`] the caller.

use std::{error::Error, fmt};

use crate::{CloseCode, Opcode};

/// The peer broke RFC 6455. The connection fails with [`close_code`](Self::close_code).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no negotiated extension defines (§5.2).
    ReservedBits,
    /// A compressed message is marked where none begins: on a control frame or a continuation (RFC
    /// 7692 §6.1).
    UnexpectedRsv1(Opcode),
    /// The opcode is reserved (§5.2).
    ReservedOpcode(u8),
    /// A control frame is fragmented (§5.5).
    FragmentedControl(Opcode),
    /// A control frame has more than 125 bytes (§5.5).
    ControlTooLong(Opcode),
    /// The length is not encoded in the fewest bytes (§5.2).
    NonMinimalLength(u64),
    /// The length has its most significant bit set (§5.2).
    LengthTooBig(u64),
    /// A client sent a frame without a mask (§5.1).
    UnmaskedFrame,
    /// A server sent a frame with a mask (§5.1).
    MaskedFrame,
    /// A continuation without a message to continue (§5.4).
    UnexpectedContinuation,
    /// A new message before the last one was finished (§5.4).
    ExpectedContinuation(Opcode),
    /// A Close frame with a body of one byte (§5.5.1).
    CloseTooShort,
    /// A Close frame with a code that must not be sent (§7.4).
    InvalidCloseCode(u16),
    /// A Close frame whose reason is not UTF-8 (§5.5.1).
    InvalidCloseReason,
}

impl ProtocolError {
    /// Returns the close code that tells the peer.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            // §8.1 asks to fail on text that is not UTF-8; 1007 names the cause.
            Self::InvalidCloseReason => CloseCode::INVALID_FRAME_PAYLOAD_DATA,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("a reserved bit is set without an extension"),
            Self::UnexpectedRsv1(opcode) => {
                write!(f, "RSV1 is set on a {opcode} frame, where no compressed message begins")
            }
            Self::ReservedOpcode(bits) => write!(f, "opcode {bits:#x} is reserved"),
            Self::FragmentedControl(opcode) => write!(f, "a {opcode} frame is fragmented"),
            Self::ControlTooLong(opcode) => {
                write!(f, "a {opcode} frame has more than 125 bytes of payload")
            }
            Self::NonMinimalLength(len) => {
                write!(f, "the length {len} is not encoded in the fewest bytes")
            }
            Self::LengthTooBig(len) => write!(f, "the length {len} is not below 2^63"),
            Self::UnmaskedFrame => f.write_str("a client sent a frame without a mask"),
            Self::MaskedFrame => f.write_str("a server sent a frame with a mask"),
            Self::UnexpectedContinuation => {
                f.write_str("a continuation frame came without a message to continue")
            }
            Self::ExpectedContinuation(opcode) => {
                write!(f, "a {opcode} frame came before the last message was finished")
            }
            Self::CloseTooShort => f.write_str("a CLOSE frame has a body of one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::InvalidCloseReason => f.write_str("a close reason is not UTF-8"),
        }
    }
}

impl Error for ProtocolError {}

/// The caller asked to send what cannot be sent now. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The closing handshake has begun or the connection has ended: no data may follow (§5.5.1).
    Closed,
    /// The send queue is at its limit. Wait until it has drained, or raise
    /// [`Limits::send_queue`](crate::Limits::send_queue).
    Full {
        /// Bytes that wait to be written.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// A message is being sent in pieces; finish it first (§5.4).
    MessageOpen,
    /// No message is being sent in pieces; start one first.
    NoMessageOpen,
    /// The payload of a Ping or Pong has more than 125 bytes (§5.5).
    ControlTooLong(usize),
    /// A text message that is sent in pieces is not UTF-8 (§5.6).
    InvalidUtf8,
    /// This close code must never be sent (§7.4).
    ReservedCloseCode(CloseCode),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closing or closed"),
            Self::Full { queued, limit } => {
                write!(f, "the send queue holds {queued} bytes, its limit is {limit} (send_queue)")
            }
            Self::MessageOpen => f.write_str("a message is being sent in pieces, finish it first"),
            Self::NoMessageOpen => f.write_str("no message is being sent in pieces"),
            Self::ControlTooLong(len) => {
                write!(f, "control payload of {len} bytes exceeds the limit of 125")
            }
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::ReservedCloseCode(code) => write!(f, "close code {code} must never be sent"),
        }
    }
}

impl Error for SendError {}
