//! From a payload to a compressed message. See RFC 7692 §7.2.1.

use std::fmt;

use zlib_rs::{Deflate, DeflateFlush};

use super::{Window, inflater::TAIL};

/// Remembers which compressor has seen all that a connection sent; see [`Codecs`](super::Codecs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeflaterSlot {
    pub(super) at: usize,
    /// 0 for none.
    pub(super) owner: u64,
}

/// A compressor of one window size and level.
pub(super) struct Deflater {
    inner: Deflate,
    pub(super) bits: u8,
    pub(super) level: u8,
    /// Whose history it has, or 0.
    pub(super) owner: u64,
    /// When it was used last, by the pool's own count.
    pub(super) used: u64,
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("bits", &self.bits).finish_non_exhaustive()
    }
}

impl Deflater {
    pub(super) fn new(bits: u8, level: u8) -> Self {
        // For 256 bytes the compressor runs at 512, of which it reaches back 512 - 262 = 250.
        let inner = Deflate::new(i32::from(level.clamp(1, 9)), false, bits.clamp(9, 15));
        Self { inner, bits, level, owner: 0, used: 0 }
    }

    /// Forgets all that was sent.
    pub(super) fn reset(&mut self) {
        self.inner.reset();
    }

    /// Lets what comes refer to what was sent before.
    pub(super) fn recall(&mut self, sent: &Window) {
        for part in sent.parts().into_iter().filter(|part| !part.is_empty()) {
            self.inner.set_dictionary(part).expect("between messages any dictionary is taken");
        }
    }

    /// Compresses `payload` into `out`, of which it overwrites everything, and returns how many
    /// bytes that are. They end at the end of a block, with the four bytes of a flush; or they are
    /// none if there was nothing to flush.
    pub(super) fn compress(&mut self, mut payload: &[u8], out: &mut Vec<u8>) -> usize {
        let bound = payload.len() + payload.len() / 8 + 64;
        if out.len() < bound {
            out.resize(bound, 0);
        }
        let mut len = 0;
        loop {
            let (taken, given) = (self.inner.total_in(), self.inner.total_out());
            self.inner
                .compress(payload, &mut out[len..], DeflateFlush::SyncFlush)
                .expect("a compressor that was set up takes any input");
            payload = &payload[(self.inner.total_in() - taken) as usize..];
            len += (self.inner.total_out() - given) as usize;
            if len < out.len() && payload.is_empty() {
                return len;
            }
            out.resize(out.len() * 2, 0);
        }
    }
}

/// Cuts the tail off a message that ends in `out[..len]`, and returns what is left.
///
/// §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end." Where nothing was
/// flushed, a block is begun whose rest is that tail.
pub(super) fn cut_tail(out: &mut [u8], len: usize) -> usize {
    if len > TAIL.len() && out[..len].ends_with(&TAIL) {
        return len - TAIL.len();
    }
    out[len] = 0;
    len + 1
}
