//! Messages: as they are handed in, kept for a replay, and handed out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::{Kind, frame};

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

    pub(crate) const fn cost(&self) -> u64 {
        self.payload.len() as u64 + MESSAGE_COST
    }
}

/// A message that is encoded once, for one session or for any number of them.
///
/// Clones share it, and so do all buffers that keep it for a replay: a broadcast costs one copy.
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

/// Memory for more bytes than this is not used again.
const SPARE_UP_TO: usize = 512;

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

    /// Encodes a message as [`metered`](Self::metered) does, in the memory of one that was
    /// [retired](Self::retired).
    #[inline]
    pub(crate) fn renewed(mut self, kind: Kind, payload: &[u8], meter: &Meter) -> Self {
        match Arc::get_mut(&mut self.0) {
            Some(Inner { frame: Encoded::Small(frame), meter: Some(old) })
                if Arc::ptr_eq(&old.0, &meter.0) && payload.len() < SPARE_UP_TO =>
            {
                frame::encode_data_into(frame, kind, false, payload);
                meter.0.fetch_add(frame.len(), Ordering::Relaxed);
                self
            }
            _ => Self::metered(kind, payload, meter),
        }
    }

    /// Returns the message as memory for another, if nobody else has it.
    #[inline]
    pub(crate) fn retired(mut self) -> Option<Self> {
        match Arc::get_mut(&mut self.0) {
            Some(Inner { frame: Encoded::Small(frame), meter: Some(meter) })
                if frame.capacity() <= SPARE_UP_TO =>
            {
                meter.0.fetch_sub(frame.len(), Ordering::Relaxed);
                frame.clear();
                Some(self)
            }
            _ => None,
        }
    }

    pub(crate) fn from_message(message: &Message) -> Self {
        Self::new(message.kind, &message.payload, None)
    }

    fn new(kind: Kind, payload: &[u8], meter: Option<Meter>) -> Self {
        let mut frame = Vec::new();
        frame::encode_data_into(&mut frame, kind, false, payload);
        if let Some(meter) = &meter {
            meter.0.fetch_add(frame.len(), Ordering::Relaxed);
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
        if self.frame()[0] & frame::DATA_TEXT == 0 { Kind::Binary } else { Kind::Text }
    }

    /// Returns the bytes of its DATA frame: one binary WebSocket message.
    #[must_use]
    #[inline]
    pub fn frame(&self) -> &[u8] {
        self.0.frame()
    }

    /// Returns the bytes of its DATA frame, if they are so many that they are worth being shared.
    #[must_use]
    #[inline]
    pub fn shared_frame(&self) -> Option<&Bytes> {
        match &self.0.frame {
            Encoded::Small(_) => None,
            Encoded::Large(frame) => Some(frame),
        }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        match &self.0.frame {
            Encoded::Small(frame) => Bytes::copy_from_slice(frame),
            Encoded::Large(frame) => frame.clone(),
        }
    }

    pub(crate) fn message(&self, number: u64) -> Message {
        let payload = self.to_bytes().slice(1..);
        Message { number: Some(number), kind: self.kind(), payload }
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
            meter.0.fetch_sub(self.frame().len(), Ordering::Relaxed);
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
}
