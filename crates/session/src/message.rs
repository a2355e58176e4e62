//! Messages: as they are handed in, kept for a replay, and handed out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::{Kind, Lent, frame};

/// What a reliable message costs beside its payload (protocol §6).
pub(crate) const MESSAGE_COST: u64 = 32;

/// A message that was received, or one of ours that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in its stream; `None` for a volatile one.
    pub number: Option<u64>,
    /// Text or binary.
    pub kind: Kind,
    /// The message. Text is UTF-8.
    pub payload: Bytes,
}

impl Message {
    /// Returns the text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => str::from_utf8(&self.payload).ok(),
            Kind::Binary => None,
        }
    }

    /// Returns the message as one whose memory is lent.
    #[must_use]
    pub fn lend(&self) -> MessageRef<'_> {
        MessageRef { number: self.number, kind: self.kind, payload: &self.payload }
    }

    pub(crate) const fn cost(&self) -> u64 {
        cost(self.payload.len())
    }
}

/// What a reliable message of so many bytes costs.
pub(crate) const fn cost(size: usize) -> u64 {
    size as u64 + MESSAGE_COST
}

/// A [`Message`] in memory that is only lent.
///
/// # Examples
///
/// ```
/// use everwire_session::{Kind, MessageRef};
///
/// let lent = MessageRef { number: Some(1), kind: Kind::Text, payload: b"hi" };
/// let kept = lent.to_message();
/// assert_eq!(kept.as_text(), Some("hi"));
/// assert_eq!(kept.lend(), lent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    /// Its number in its stream; `None` for a volatile one.
    pub number: Option<u64>,
    /// Text or binary.
    pub kind: Kind,
    /// The message. Text is UTF-8.
    pub payload: &'a [u8],
}

impl MessageRef<'_> {
    /// Returns the message in memory of its own.
    #[must_use]
    pub fn to_message(&self) -> Message {
        let payload = Bytes::copy_from_slice(self.payload);
        Message { number: self.number, kind: self.kind, payload }
    }
}

/// A message that is encoded once, for one session or for any number of them.
///
/// Clones share it, and so do all buffers that keep it for a replay: a broadcast costs one copy.
///
/// # Examples
///
/// ```
/// use everwire_session::{Kind, Meter, Prepared};
///
/// let meter = Meter::default();
/// let message = Prepared::metered(Kind::Text, b"to all", &meter);
/// let buffers = vec![message; 10_000];
/// // Six bytes, and one that says what they are: once, however many keep it.
/// assert_eq!(meter.bytes(), 7);
/// drop(buffers);
/// assert_eq!(meter.bytes(), 0);
/// ```
#[derive(Clone)]
pub struct Prepared(Arc<Inner>);

struct Inner {
    frame: Encoded,
    meter: Option<Meter>,
}

/// The bytes of a DATA frame. A large one can be shared with what sends it.
enum Encoded {
    Small(Vec<u8>),
    Large(Bytes),
}

/// From how many bytes on a frame is large.
const LARGE: usize = 8 << 10;

impl Prepared {
    /// Encodes a text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(Kind::Text, text.as_bytes(), None)
    }

    /// Encodes a binary message.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::new(Kind::Binary, payload, None)
    }

    /// Encodes a message of a server, whose bytes count on `meter` as long as anybody keeps them.
    #[must_use]
    pub fn metered(kind: Kind, payload: &[u8], meter: &Meter) -> Self {
        Self::new(kind, payload, Some(meter.clone()))
    }

    pub(crate) fn from_message(message: &Message) -> Self {
        Self::new(message.kind, &message.payload, None)
    }

    fn new(kind: Kind, payload: &[u8], meter: Option<Meter>) -> Self {
        let mut frame = Vec::new();
        frame::encode_data_into(&mut frame, kind, false, payload);
        if let Some(meter) = &meter {
            meter.add(frame.len());
        }
        let is_large = frame.len() >= LARGE;
        let frame = if is_large { Encoded::Large(frame.into()) } else { Encoded::Small(frame) };
        Self(Arc::new(Inner { frame, meter }))
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.frame()[1..]
    }

    /// Returns whether it is text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        frame::kind(self.frame())
    }

    /// Returns the bytes of its DATA frame: one binary WebSocket message.
    #[must_use]
    #[inline]
    pub fn frame(&self) -> &[u8] {
        self.0.frame()
    }

    /// Lends its DATA frame.
    #[inline]
    pub(crate) fn lend(&self) -> Lent<'_> {
        match &self.0.frame {
            Encoded::Small(frame) => Lent::Small(frame),
            Encoded::Large(frame) => Lent::Large(frame),
        }
    }
}

impl Inner {
    #[inline]
    fn frame(&self) -> &[u8] {
        match &self.frame {
            Encoded::Small(frame) => frame,
            Encoded::Large(frame) => frame,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.sub(self.frame().len());
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?}, {} bytes)", self.kind(), self.payload().len())
    }
}

/// Counts the bytes of all prepared messages that are kept, each once however many keep it.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
