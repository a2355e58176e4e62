//! The frames of small messages that a session alone keeps, in one piece of memory.

use crate::{Kind, Meter, frame};

/// Memory of this size is kept while it is empty, until [`shrink`](Own::shrink).
const KEPT: usize = 32 << 10;

/// The meter is told of so many bytes at once while there is a socket.
const TOLD_AT_ONCE: usize = 2 << 10;

/// Frames one behind the other: each costs its bytes, and no allocation. They have positions, which never
/// change.
#[derive(Debug)]
pub(super) struct Own {
    bytes: Vec<u8>,
    /// Where the first frame begins in `bytes`.
    head: usize,
    /// The position of that.
    start: u64,
    meter: Meter,
    /// The bytes that the meter knows of.
    told: usize,
}

impl Own {
    pub(super) const fn new(meter: Meter) -> Self {
        Self { bytes: Vec::new(), head: 0, start: 0, meter, told: 0 }
    }

    /// Returns the position of the first frame.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Returns the position behind the last frame.
    pub(super) const fn end(&self) -> u64 {
        self.start + self.len() as u64
    }

    /// Appends the frame of a message.
    #[inline]
    pub(super) fn push(&mut self, kind: Kind, payload: &[u8]) {
        let n = payload.len() + 1;
        if self.bytes.capacity() - self.bytes.len() < n {
            self.make_room(n);
        }
        frame::encode_data_into(&mut self.bytes, kind, false, payload);
        self.tell_much();
    }

    /// Forgets so many bytes of the first frames.
    #[inline]
    pub(super) fn pop(&mut self, n: usize) {
        self.head += n;
        self.start += n as u64;
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
        } else if self.head > KEPT && self.head > self.bytes.len() / 4 * 3 {
            self.shrink();
        }
        self.tell_much();
    }

    /// Returns `n` bytes at a position.
    #[inline]
    pub(super) fn get(&self, position: u64, n: usize) -> &[u8] {
        let index = self.head + (position - self.start) as usize;
        &self.bytes[index..index + n]
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.bytes.drain(..std::mem::take(&mut self.head));
        self.bytes.shrink_to_fit();
        self.tell();
    }

    /// Tells the meter what is kept.
    pub(super) fn tell(&mut self) {
        let kept = self.len();
        if kept >= self.told {
            self.meter.add(kept - self.told);
        } else {
            self.meter.sub(self.told - kept);
        }
        self.told = kept;
    }

    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    const fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Tells the meter what is kept, if it does not know of much: each time costs more than a small
    /// message does.
    #[inline]
    fn tell_much(&mut self) {
        let kept = self.len();
        if kept.abs_diff(self.told) >= TOLD_AT_ONCE || kept == 0 {
            self.tell();
        }
    }

    /// Makes room for so many bytes: of what was forgotten if that is most of it, or of new memory.
    #[cold]
    fn make_room(&mut self, n: usize) {
        if self.head >= self.len().max(n) {
            self.bytes.drain(..std::mem::take(&mut self.head));
        } else {
            self.bytes.reserve(n);
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.meter.sub(self.told);
    }
}
