//! What came in.

use crate::{Connection, Message, MessageKind, Payload};
use std::time::Instant;

/// What the peer sent. The end of the connection is not an event but a
/// [`Closure`](crate::Closure), which follows the last of these.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A whole message.
    Message(Message<'b>),
    /// A part of a message, with [`Delivery::Pieces`](crate::Delivery::Pieces).
    Piece(Piece<'b>),
    /// A Ping; the Pong that answers it is queued already.
    Ping(Payload<'b>),
    /// A Pong, asked for or not.
    Pong(Payload<'b>),
    /// The peer's Close. What follows is only the end.
    Close,
}

/// A part of a message. The parts of a text message are valid UTF-8 together; a character may be
/// cut between two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece<'b> {
    /// Whether the message is text or binary.
    pub kind: MessageKind,
    /// Whether this is the first piece of its message.
    pub first: bool,
    /// Whether this is the last piece of its message.
    pub last: bool,
    /// The bytes; may be empty.
    pub payload: Payload<'b>,
}

impl<'b> Piece<'b> {
    /// Returns a part of a message.
    #[must_use]
    pub const fn new(kind: MessageKind, first: bool, last: bool, payload: Payload<'b>) -> Self {
        Self { kind, first, last, payload }
    }

    /// Returns the same part with memory of its own.
    #[must_use]
    pub fn into_owned(self) -> Piece<'static> {
        Piece::new(self.kind, self.first, self.last, self.payload.into_owned())
    }
}

/// The events in a piece of input; made by [`Connection::handle_input`].
///
/// Events borrow the input, not the connection, so that
/// [`connection`](Self::connection) can answer one while it is held. Dropped early, it keeps the
/// rest of the input in the connection, for the next call.
#[derive(Debug)]
pub struct Events<'c, 'b> {
    pub(crate) connection: &'c mut Connection,
    pub(crate) input: &'b mut [u8],
    pub(crate) now: Instant,
}

impl Events<'_, '_> {
    /// Returns the connection, to answer an event.
    #[inline]
    pub fn connection(&mut self) -> &mut Connection {
        self.connection
    }
}

impl<'b> Iterator for Events<'_, 'b> {
    type Item = Event<'b>;

    #[inline(always)] // Measured: as a call it costs a fifth more.
    fn next(&mut self) -> Option<Event<'b>> {
        match self.connection.next_small(&mut self.input, self.now) {
            Some(message) => Some(Event::Message(message)),
            None if self.input.is_empty() && !self.connection.is_partial() => None,
            None => self.connection.next_event(&mut self.input, self.now),
        }
    }
}

impl Drop for Events<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.connection.end_input(self.input);
    }
}
