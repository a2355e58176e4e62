//! Messages that are encoded once and sent to many.

use bytes::Bytes;

use crate::{FrameHeader, Message, MessageKind, frame::MAX_HEADER};

/// A message whose frame is encoded once, for sending to many connections. Cheap to clone.
///
/// A server sends the encoded bytes as they are. A client masks every frame with a fresh key
/// (RFC 6455 §5.3), so for a client this saves nothing but is still correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedMessage {
    kind: MessageKind,
    /// The unmasked frame.
    frame: Bytes,
    header_len: usize,
}

impl PreparedMessage {
    /// Encodes a message.
    ///
    /// # Examples
    /// ```
    /// use everwire_proto::PreparedMessage;
    ///
    /// let greeting = PreparedMessage::new("hello");
    /// assert_eq!(greeting.payload(), &b"hello"[..]);
    /// ```
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        let message = message.into();
        let payload = message.as_bytes();
        let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
        FrameHeader::new(message.kind().into(), true, payload.len() as u64).encode(&mut frame);
        let header_len = frame.len();
        frame.extend_from_slice(payload);
        Self { kind: message.kind(), frame: frame.into(), header_len }
    }

    /// Returns whether it is text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.frame.slice(self.header_len..)
    }

    /// Returns the whole unmasked frame.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }
}
