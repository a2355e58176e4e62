//! Events with memory of their own, to be compared whole.

use everwire_proto::{Event, Message, MessageKind};

/// An [`Event`] that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A part of a message.
    Piece {
        /// Whether it is text or binary.
        kind: MessageKind,
        /// Whether its message begins with it.
        first: bool,
        /// Whether its message ends with it.
        last: bool,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// A Ping.
    Ping(Vec<u8>),
    /// A Pong.
    Pong(Vec<u8>),
    /// The peer's Close.
    Close,
}

impl Seen {
    /// Returns a whole text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Returns a whole binary message.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::Binary(payload.into())
    }

    /// Returns a Ping.
    #[must_use]
    pub fn ping(payload: &[u8]) -> Self {
        Self::Ping(payload.into())
    }

    /// Returns a Pong.
    #[must_use]
    pub fn pong(payload: &[u8]) -> Self {
        Self::Pong(payload.into())
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(Message::Text(text)) => Self::Text(text.to_string()),
            Event::Message(Message::Binary(payload)) => Self::Binary(payload.to_vec()),
            Event::Piece(piece) => Self::Piece {
                kind: piece.kind,
                first: piece.first,
                last: piece.last,
                payload: piece.payload.to_vec(),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close => Self::Close,
            other => unreachable!("an event that the testkit does not know: {other:?}"),
        }
    }
}

/// Joins the pieces of each message into one, wherever the first of them came.
///
/// A piece may come before or after a control frame between two fragments, depending on how the
/// bytes were split, only if its frame came there too; so pieces are joined up to the next control
/// frame.
#[must_use]
pub fn join_pieces(events: Vec<Seen>) -> Vec<Seen> {
    let mut joined: Vec<Seen> = Vec::with_capacity(events.len());
    for event in events {
        if let Seen::Piece { first: false, last: more_last, payload: more, .. } = &event
            && let Some(Seen::Piece { last, payload, .. }) = joined.last_mut()
        {
            payload.extend_from_slice(more);
            *last = *more_last;
        } else {
            joined.push(event);
        }
    }
    joined
}
