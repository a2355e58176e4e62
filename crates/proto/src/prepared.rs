//! Messages that are encoded once and sent to many.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use once_cell::race::OnceBox;

use crate::{Compress, FrameHeader, LendCodecs, Message, MessageKind, frame::MAX_HEADER};

/// A message whose frame is encoded once, for sending to many connections. Cheap to clone.
///
/// A server sends the encoded bytes as they are. A client masks every frame with a fresh key
/// (RFC 6455 §5.3), so for a client this saves nothing but is still correct.
///
/// For connections that agreed on compression it is compressed when the first of them sends it, once
/// for each size of window, without reference to earlier messages.
#[derive(Clone)]
pub struct PreparedMessage(Arc<Inner>);

struct Inner {
    kind: MessageKind,
    compress: Compress,
    header_len: u8,
    /// The unmasked frame.
    frame: Bytes,
    /// The compressed payload for each number of window bits, 8 to 15; empty where it would be no
    /// smaller. Two threads that need the same form at once may both make it, and one is dropped.
    deflated: [OnceBox<Bytes>; 8],
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
        Self::with(message, Compress::default())
    }

    /// Encodes a message that is never compressed, whatever a connection agreed upon.
    ///
    /// It is [`with`](Self::with) and [`Compress::Never`].
    pub fn uncompressed<'a>(message: impl Into<Message<'a>>) -> Self {
        Self::with(message, Compress::Never)
    }

    /// Encodes a message and says whether it is compressed.
    pub fn with<'a>(message: impl Into<Message<'a>>, compress: Compress) -> Self {
        let message = message.into();
        let payload = message.as_bytes();
        let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
        FrameHeader::new(message.kind().into(), true, payload.len() as u64).encode(&mut frame);
        let header_len = frame.len() as u8;
        frame.extend_from_slice(payload);
        let (kind, frame) = (message.kind(), frame.into());
        Self(Arc::new(Inner { kind, compress, header_len, frame, deflated: Default::default() }))
    }

    /// Returns whether it is text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.0.kind
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.0.frame.slice(usize::from(self.0.header_len)..)
    }

    /// Returns the length of the payload in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.0.frame.len() - usize::from(self.0.header_len)
    }

    /// Returns whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the whole unmasked frame.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    pub(crate) fn compress(&self) -> Compress {
        self.0.compress
    }

    /// Returns the compressed payload for a window of so many bits, if that is smaller.
    pub(crate) fn deflated(&self, bits: u8, level: u8, lend: LendCodecs) -> Option<Bytes> {
        let form = self.0.deflated.get(usize::from(bits.checked_sub(8)?))?;
        let deflated = form.get_or_init(|| {
            let mut deflated = Bytes::new();
            lend(&mut |codecs| {
                let payload = &self.0.frame[self.0.header_len.into()..];
                deflated = codecs.deflate_alone(bits, level, payload);
            });
            let is_smaller = deflated.len() < self.len();
            Box::new(if is_smaller { deflated } else { Bytes::new() })
        });
        (!deflated.is_empty()).then(|| deflated.clone())
    }
}

impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.0.frame == other.0.frame && self.0.compress == other.0.compress
    }
}

impl Eq for PreparedMessage {}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedMessage")
            .field("kind", &self.0.kind)
            .field("payload", &self.payload())
            .field("compress", &self.0.compress)
            .finish()
    }
}
