//! Messages and their payloads.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use crate::{Opcode, Text};

/// A whole message. See RFC 6455 §5.6.
///
/// A message that arrived in one piece is borrowed from the input; one that had to be put together
/// owns its memory. [`into_owned`](Self::into_owned) gives a message that may be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// UTF-8 text.
    Text(Text<'a>),
    /// Any bytes.
    Binary(Payload<'a>),
}

impl<'a> Message<'a> {
    /// Returns a text message.
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Self::Text(text.into())
    }

    /// Returns a binary message.
    pub fn binary(payload: impl Into<Payload<'a>>) -> Self {
        Self::Binary(payload.into())
    }

    /// Wraps a payload that was validated already if it is text.
    #[inline]
    pub(crate) fn from_validated(kind: MessageKind, payload: Payload<'a>) -> Self {
        match kind {
            MessageKind::Text => Self::Text(Text::from_validated(payload)),
            MessageKind::Binary => Self::Binary(payload),
        }
    }

    /// Returns whether it is text or binary.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// Returns the payload, of text as UTF-8.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_str().as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// Returns the text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload.
    #[must_use]
    #[inline]
    pub fn into_payload(self) -> Payload<'a> {
        match self {
            Self::Text(text) => text.into_payload(),
            Self::Binary(payload) => payload,
        }
    }

    /// Returns the message with its own memory, copying the payload if it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(text.into_owned()),
            Self::Binary(payload) => Message::Binary(payload.into_owned()),
        }
    }

    /// Returns the length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message<'static> {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self::binary(payload)
    }
}

impl From<Vec<u8>> for Message<'static> {
    fn from(payload: Vec<u8>) -> Self {
        Self::binary(payload)
    }
}

impl From<Bytes> for Message<'static> {
    fn from(payload: Bytes) -> Self {
        Self::binary(payload)
    }
}

/// Text or binary. See RFC 6455 §5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl From<MessageKind> for Opcode {
    #[inline]
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}

/// Bytes that are borrowed from the input or shared. Dereferences to `[u8]`.
#[derive(Clone)]
pub enum Payload<'a> {
    /// Part of somebody else's memory.
    Borrowed(&'a [u8]),
    /// Reference-counted memory of its own.
    Shared(Bytes),
}

impl Payload<'_> {
    /// Returns the payload with its own memory, copying it if it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        Payload::Shared(self.into_bytes())
    }

    /// Returns the bytes, copying them if they were borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<String> for Payload<'static> {
    fn from(text: String) -> Self {
        Self::Shared(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Payload<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(bytes.into())
    }
}

impl From<Bytes> for Payload<'static> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

impl std::hash::Hash for Payload<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
