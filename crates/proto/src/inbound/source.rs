//! Input that can be taken from the front.

use bytes::{Bytes, BytesMut};

use crate::{Payload, mask::apply_mask, transmit::SHARE_FROM};

/// Input that can be taken from the front: a slice of the caller's, or what was kept.
pub(crate) trait Source<'b> {
    fn bytes(&self) -> &[u8];
    fn skip(&mut self, n: usize);
    fn take(&mut self, n: usize) -> Chunk<'b>;
}

impl<'b> Source<'b> for &'b mut [u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn skip(&mut self, n: usize) {
        *self = &mut std::mem::take(self)[n..];
    }

    #[inline]
    fn take(&mut self, n: usize) -> Chunk<'b> {
        let (front, rest) = std::mem::take(self).split_at_mut(n);
        *self = rest;
        Chunk::Borrowed(front)
    }
}

impl<'b> Source<'b> for BytesMut {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, n: usize) {
        bytes::Buf::advance(self, n);
    }

    fn take(&mut self, n: usize) -> Chunk<'b> {
        Chunk::Owned(self.split_to(n))
    }
}

/// A part of the input.
#[derive(Debug)]
pub(crate) enum Chunk<'b> {
    Borrowed(&'b mut [u8]),
    Owned(BytesMut),
}

impl<'b> Chunk<'b> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    #[inline]
    pub(crate) fn unmask(&mut self, key: Option<[u8; 4]>, offset: usize) {
        if let Some(key) = key {
            let bytes = match self {
                Self::Borrowed(bytes) => &mut **bytes,
                Self::Owned(bytes) => bytes.as_mut(),
            };
            apply_mask(bytes, key, offset);
        }
    }

    #[inline]
    pub(crate) fn into_payload(self) -> Payload<'b> {
        match self {
            Self::Borrowed(bytes) => Payload::Borrowed(bytes),
            // A small payload must not hold on to a large buffer.
            Self::Owned(bytes) if bytes.len() < SHARE_FROM => {
                Payload::Shared(Bytes::copy_from_slice(&bytes))
            }
            Self::Owned(bytes) => Payload::Shared(bytes.freeze()),
        }
    }
}
