//! Encoded frames that wait to be written.

use std::{collections::VecDeque, io::IoSlice, time::Instant};

use bytes::{Buf, Bytes};

use crate::{
    FrameHeader, Opcode,
    frame::{MAX_CONTROL, MAX_HEADER},
};

/// Payloads from this size on ride along uncopied.
pub(crate) const SHARE_FROM: usize = 16 << 10;

/// Written bytes at the front of the buffer are cut off once there are this many.
const COMPACT_FROM: usize = 64 << 10;

/// One buffer of encoded frames; large payloads ride along as shared memory.
#[derive(Debug, Default)]
pub(crate) struct Transmit {
    buf: Vec<u8>,
    /// Everything that only some output needs; freed when it was written.
    rest: Option<Box<Rest>>,
}

/// What there is to know beside the bytes in the buffer, for output that was not written at once
/// or does not lie in one piece.
#[derive(Debug, Default)]
struct Rest {
    /// How much of `buf` has been written.
    written: usize,
    /// Payloads that go out between the bytes of `buf`, in order. Those that were written stay,
    /// without their bytes, as long as the frames that they belong to are in `buf`.
    shared: VecDeque<Shared>,
    /// How many of them have been written.
    shared_written: usize,
    /// Bytes in `shared`.
    shared_len: usize,
    /// Since when the socket has taken nothing, while it is full.
    blocked_since: Option<Instant>,
    /// Bytes of the opening handshake's head that wait.
    head: usize,
    /// The latest ping that could not be answered because too much waits.
    unanswered: Option<Box<[u8]>>,
}

/// A payload that goes out when `buf` has been written up to `at`.
#[derive(Debug)]
struct Shared {
    at: usize,
    /// What is left of it.
    bytes: Bytes,
    len: usize,
}

/// Where a frame ends.
#[derive(Clone, Copy, Debug, Default)]
struct FrameEnd {
    /// In `buf`.
    at: usize,
    /// How many of the shared payloads come before.
    n_shared: usize,
    /// Whether a message ends here too.
    is_message: bool,
}

impl Transmit {
    /// Returns how many bytes wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.rest {
            None => self.buf.len(),
            Some(rest) => self.buf.len() - rest.written + rest.shared_len,
        }
    }

    /// Returns how many of them are frames.
    pub(crate) fn frames_len(&self) -> usize {
        self.len() - self.rest.as_ref().map_or(0, |rest| rest.head)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns since when the socket has taken nothing.
    #[inline]
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.rest.as_ref().and_then(|rest| rest.blocked_since)
    }

    /// Puts the head that ends the opening handshake in front of everything.
    pub(crate) fn set_head(&mut self, head: Vec<u8>) {
        self.rest.get_or_insert_default().head = head.len();
        self.buf = head;
    }

    /// Keeps the payload of a ping to be answered later; it replaces the one before.
    pub(crate) fn set_unanswered(&mut self, ping: &[u8]) {
        self.rest.get_or_insert_default().unanswered = Some(ping.into());
    }

    /// Takes the payload of the ping that is to be answered.
    pub(crate) fn take_unanswered(&mut self) -> Option<Box<[u8]>> {
        self.rest.as_mut()?.unanswered.take()
    }

    /// Returns the buffer that frames are appended to.
    #[inline]
    pub(crate) fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Appends an unmasked frame, copying the payload.
    #[inline]
    pub(crate) fn push(&mut self, header: &FrameHeader, payload: &[u8]) {
        self.buf.reserve(MAX_HEADER + payload.len());
        header.encode(&mut self.buf);
        self.buf.extend_from_slice(payload);
    }

    /// Appends an unmasked frame of at most 125 bytes of payload: its header is two bytes.
    #[inline]
    pub(crate) fn push_small(&mut self, opcode: Opcode, fin: bool, payload: &[u8]) {
        debug_assert!(payload.len() <= MAX_CONTROL);
        self.buf.reserve(2 + payload.len());
        self.buf.extend_from_slice(&[u8::from(fin) << 7 | opcode.bits(), payload.len() as u8]);
        self.buf.extend_from_slice(payload);
    }

    /// Appends an unmasked message of 126 to 65,535 bytes: its header is four bytes.
    #[inline]
    pub(crate) fn push_middling(&mut self, opcode: Opcode, payload: &[u8]) {
        debug_assert!((MAX_CONTROL + 1..=0xFFFF).contains(&payload.len()));
        let [high, low] = (payload.len() as u16).to_be_bytes();
        self.buf.reserve(4 + payload.len());
        self.buf.extend_from_slice(&[0x80 | opcode.bits(), 126, high, low]);
        self.buf.extend_from_slice(payload);
    }

    /// Appends a frame that others send as well, sharing it if it is large.
    #[inline]
    pub(crate) fn push_prepared(&mut self, frame: &Bytes) {
        if frame.len() < SHARE_FROM {
            self.buf.extend_from_slice(frame);
        } else {
            self.push_bytes(frame.clone());
        }
    }

    /// Appends bytes that are on the wire as they are, sharing them if they are many.
    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_FROM {
            self.buf.extend_from_slice(&bytes);
        } else {
            let rest = self.rest.get_or_insert_default();
            rest.shared_len += bytes.len();
            rest.shared.push_back(Shared { at: self.buf.len(), len: bytes.len(), bytes });
        }
    }

    /// Takes `buf` as the buffer to fill if there is none.
    #[inline]
    pub(crate) fn lend(&mut self, buf: Vec<u8>) -> Option<Vec<u8>> {
        if self.buf.capacity() == 0 {
            self.buf = buf;
            None
        } else {
            Some(buf)
        }
    }

    /// Returns whether there is a buffer to fill.
    #[inline]
    pub(crate) fn has_buffer(&self) -> bool {
        self.buf.capacity() > 0
    }

    /// Returns what is to be written if it lies in one piece.
    #[inline]
    pub(crate) fn as_slice(&self) -> Option<&[u8]> {
        match &self.rest {
            None => Some(&self.buf),
            Some(rest) if rest.shared_len == 0 => Some(&self.buf[rest.written..]),
            Some(_) => None,
        }
    }

    /// Gives the buffer back if everything in it was written.
    #[inline]
    pub(crate) fn reclaim(&mut self) -> Option<Vec<u8>> {
        if self.is_empty() && self.buf.capacity() > 0 {
            self.rest = None;
            self.buf.clear();
            Some(std::mem::take(&mut self.buf))
        } else {
            None
        }
    }

    /// Fills `slices` with what is to be written next and returns how many it filled.
    #[inline]
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() && n < slices.len() {
                slices[n] = IoSlice::new(bytes);
                n += 1;
            }
        };
        let Some(rest) = &self.rest else {
            push(&self.buf);
            return n;
        };
        let mut from = rest.written;
        for shared in rest.shared.iter().skip(rest.shared_written) {
            push(&self.buf[from..shared.at]);
            push(&shared.bytes);
            from = shared.at;
        }
        push(&self.buf[from..]);
        n
    }

    /// Notes that the socket took `n` bytes if those were all, and there is nothing more to know of
    /// them; returns whether that was so.
    #[inline]
    pub(crate) fn take_all(&mut self, n: usize) -> bool {
        let all = self.rest.is_none() && n == self.buf.len();
        if all {
            self.buf.clear();
        }
        all
    }

    /// Notes that the socket took `n` bytes, and returns how many of them were frames.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) -> usize {
        if self.take_all(n) {
            return n;
        }
        self.advance_rest(n)
    }

    fn advance_rest(&mut self, n: usize) -> usize {
        let rest = self.rest.get_or_insert_default();
        rest.blocked_since = None;
        let head = n.min(rest.head);
        rest.head -= head;
        rest.advance(n);
        if rest.written == self.buf.len() && rest.shared_len == 0 {
            self.buf.clear();
            rest.written = 0;
            rest.shared.clear();
            rest.shared_written = 0;
            self.rest.take_if(|rest| rest.unanswered.is_none());
        } else if rest.written >= COMPACT_FROM && rest.written > self.buf.len() / 2 {
            self.compact();
        }
        n - head
    }

    /// Cuts off the frames that were written, once they are more than what waits.
    fn compact(&mut self) {
        let end = self.frame_ends().take_while(|end| self.is_written(end)).last();
        let (Some(end), Some(rest)) = (end, &mut self.rest) else { return };
        self.buf.drain(..end.at);
        rest.written -= end.at;
        rest.shared.drain(..end.n_shared);
        rest.shared_written -= end.n_shared;
        rest.shared.iter_mut().for_each(|shared| shared.at -= end.at);
    }

    /// Counts the messages of which at least the end was not written.
    pub(crate) fn unsent(&self) -> u64 {
        self.frame_ends().filter(|end| end.is_message && !self.is_written(end)).count() as u64
    }

    fn is_written(&self, end: &FrameEnd) -> bool {
        self.rest
            .as_ref()
            .is_some_and(|rest| end.at <= rest.written && end.n_shared <= rest.shared_written)
    }

    /// Returns the ends of all frames that are still here, written or not. `buf` begins with a
    /// frame, or with the head of the opening handshake.
    fn frame_ends(&self) -> impl Iterator<Item = FrameEnd> {
        let head = match self.buf.starts_with(b"HTTP/") {
            true => self.buf.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4),
            false => None,
        };
        let mut last = FrameEnd { at: head.unwrap_or(0), ..FrameEnd::default() };
        std::iter::from_fn(move || {
            let next = self.rest.as_ref().and_then(|rest| rest.shared.get(last.n_shared));
            last = match next {
                // Only a whole frame begins in shared memory: that of a prepared message.
                Some(shared) if shared.at == last.at => {
                    FrameEnd { at: last.at, n_shared: last.n_shared + 1, is_message: true }
                }
                _ => {
                    let rest = self.buf.get(last.at..)?;
                    let (header, len) = FrameHeader::parse(rest).ok()??;
                    let is_message = header.fin && !header.opcode.is_control();
                    let at = last.at + len;
                    let payload = usize::try_from(header.payload_len).ok()?;
                    if next.is_some_and(|shared| shared.at == at && shared.len == payload) {
                        FrameEnd { at, n_shared: last.n_shared + 1, is_message }
                    } else {
                        FrameEnd { at: at + payload, n_shared: last.n_shared, is_message }
                    }
                }
            };
            Some(last)
        })
    }

    /// Notes that the socket is full.
    pub(crate) fn block(&mut self, now: Instant) {
        self.rest.get_or_insert_default().blocked_since.get_or_insert(now);
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Rest {
    fn advance(&mut self, mut n: usize) {
        while let Some(front) = self.shared.get_mut(self.shared_written) {
            let inline = n.min(front.at - self.written);
            self.written += inline;
            n -= inline;
            let taken = n.min(front.bytes.len());
            front.bytes.advance(taken);
            self.shared_len -= taken;
            n -= taken;
            if !front.bytes.is_empty() || self.written < front.at {
                return;
            }
            front.bytes = Bytes::new();
            self.shared_written += 1;
        }
        self.written += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(transmit: &mut Transmit, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !transmit.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let n = transmit.slices(&mut slices);
            let all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
            let taken = step.min(all.len());
            out.extend_from_slice(&all[..taken]);
            let before = transmit.len();
            transmit.advance(taken);
            assert_eq!(transmit.len(), before - taken);
        }
        out
    }

    #[test]
    fn order_is_kept_between_copied_and_shared_whatever_the_socket_takes() {
        for step in [101, 1000, 16 << 10, 100_000] {
            let mut transmit = Transmit::default();
            let mut expected = Vec::new();
            for (i, size) in [3, 20_000, 20_000, 5, 0, 17_000].into_iter().enumerate() {
                let payload = vec![i as u8; size];
                let header = FrameHeader::new(Opcode::Binary, true, size as u64);
                header.encode(&mut expected);
                expected.extend_from_slice(&payload);
                header.encode(transmit.buf());
                transmit.push_bytes(payload.into());
            }
            assert_eq!(transmit.len(), expected.len());
            assert_eq!(drain(&mut transmit, step), expected);
            assert!(transmit.reclaim().is_some());
        }
    }

    #[test]
    fn a_queue_that_is_never_empty_keeps_nothing_that_was_written() {
        let mut transmit = Transmit::default();
        for _ in 0..1000 {
            for size in [10_000, 20_000] {
                FrameHeader::new(Opcode::Binary, true, size as u64).encode(transmit.buf());
                transmit.push_bytes(Bytes::from(vec![0; size]));
            }
            transmit.advance(transmit.len().saturating_sub(35_000));
        }
        assert_eq!(transmit.len(), 35_000);
        assert!(transmit.buf.capacity() < 512 << 10, "{}", transmit.buf.capacity());
        let kept = transmit.rest.as_ref().map_or(0, |rest| rest.shared.len());
        assert!(kept < 50, "{kept}");
    }

    #[test]
    fn what_was_not_written_whole_is_counted_after_every_byte() {
        let sizes = [0, 3, 125, 300, 16 << 10, 70_000, 5, 40_000, 20_000, 1];
        let mut transmit = Transmit::default();
        transmit.set_head(b"HTTP/1.1 101 X\r\nA: b\r\n\r\n".to_vec());
        let mut ends = Vec::new();
        for (i, size) in sizes.into_iter().enumerate() {
            let payload = vec![0x81; size];
            let header = FrameHeader::new(Opcode::Binary, true, size as u64);
            match i % 3 {
                0 => transmit.push(&header, &payload),
                1 => {
                    header.encode(transmit.buf());
                    transmit.push_bytes(payload.into());
                }
                _ => {
                    let mut frame = Vec::new();
                    header.encode(&mut frame);
                    frame.extend_from_slice(&payload);
                    transmit.push_bytes(frame.into());
                }
            }
            ends.push(transmit.len());
            transmit.push_small(Opcode::Ping, true, b"no message");
        }
        let all = transmit.len();
        let mut written = 0;
        while written < all {
            let step = if ends.iter().any(|end| end.abs_diff(written) < 3) { 1 } else { 2 };
            let step = step.min(all - written);
            transmit.advance(step);
            written += step;
            let expected = ends.iter().filter(|end| **end > written).count() as u64;
            assert_eq!(transmit.unsent(), expected, "{written} of {all}");
        }
    }
}
