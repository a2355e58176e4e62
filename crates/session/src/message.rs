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
    frame: Bytes,
    meter: Option<Meter>,
}

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
        let frame = frame::encode_data(kind, false, payload);
        if let Some(meter) = &meter {
            meter.0.fetch_add(frame.len(), Ordering::Relaxed);
        }
        Self(Arc::new(Inner { frame, meter }))
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.frame[1..]
    }

    /// Returns whether it is text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.0.frame[0] & frame::DATA_TEXT == 0 { Kind::Binary } else { Kind::Text }
    }

    pub(crate) fn frame(&self) -> Bytes {
        self.0.frame.clone()
    }

    pub(crate) fn message(&self, number: u64) -> Message {
        Message { number: Some(number), kind: self.kind(), payload: self.0.frame.slice(1..) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.0.fetch_sub(self.frame.len(), Ordering::Relaxed);
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
