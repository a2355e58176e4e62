//! From a compressed message to its payload, in bounded steps. See RFC 7692 §7.2.2.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::Window;
use crate::Cause;

/// What a sender cuts off the end of a message and a receiver puts back (§7.2.1, §7.2.2).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Remembers which inflater has seen a connection's history; see [`Codecs`](super::Codecs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InflaterSlot(pub(super) u64);

/// Inflates one message.
pub(crate) struct Inflater {
    inner: Inflate,
    /// How many bytes it may give.
    limit: u64,
    /// How many it has given.
    given: u64,
    taken: u64,
    /// The last block was marked as the final one.
    has_ended: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("given", &self.given).finish_non_exhaustive()
    }
}

/// What one step came to.
pub(crate) struct Inflated {
    /// How many bytes of the input were taken.
    pub(crate) taken: usize,
    /// How many bytes of the output were filled. If that is all of it, there may be more.
    pub(crate) given: usize,
    /// What is wrong with what follows them: the data is corrupt, or the message too big.
    pub(crate) fault: Option<Cause>,
}

impl Inflated {
    /// Returns how many bytes of the input were taken.
    ///
    /// # Errors
    /// Something is wrong; it is asked last, so that text is judged in the order in which it came.
    pub(crate) fn checked(self) -> Result<usize, Cause> {
        self.fault.map_or(Ok(self.taken), Err)
    }
}

impl Inflater {
    pub(super) fn new() -> Self {
        // With the largest window whatever was agreed upon: how far a message refers back inside
        // itself costs nothing. What it can refer to before its beginning is what was kept.
        let inner = Inflate::new(false, 15);
        Self { inner, limit: 0, given: 0, taken: 0, has_ended: false }
    }

    /// Begins a message that must not exceed `limit`.
    pub(super) fn start(&mut self, limit: u64) {
        (self.limit, self.given, self.taken) = (limit, 0, 0);
    }

    /// Forgets everything but what `window` holds.
    pub(super) fn restore(&mut self, window: Option<&Window>) {
        self.inner.reset(false);
        self.has_ended = false;
        for part in window.map(Window::parts).into_iter().flatten().filter(|part| !part.is_empty())
        {
            self.inner.set_dictionary(part).expect("a raw stream takes any dictionary");
        }
    }

    /// Inflates as much of `input` as fits into `output`.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        window: Option<&mut Window>,
    ) -> Inflated {
        self.step_with(input, output, window, InflateFlush::NoFlush)
    }

    fn step_with(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        window: Option<&mut Window>,
        flush: InflateFlush,
    ) -> Inflated {
        if self.has_ended && !input.is_empty() {
            // §7.2.3.4: a block with BFINAL set may be followed by others.
            self.restore(window.as_deref());
        }
        // One byte more than is allowed tells that it is too much.
        let room = (self.limit - self.given).saturating_add(1).min(output.len() as u64) as usize;
        let (taken, given) = (self.inner.total_in(), self.inner.total_out());
        let status = self.inner.decompress(input, &mut output[..room], flush);
        let taken = (self.inner.total_in() - taken) as usize;
        let given = (self.inner.total_out() - given) as usize;
        self.has_ended |= status == Ok(Status::StreamEnd);
        self.taken += taken as u64;
        self.given += given as u64;
        if let Some(window) = window {
            window.push(&output[..given]);
        }
        let stands_still = taken == 0 && given == 0 && !input.is_empty();
        let fault = if self.given > self.limit {
            Some(Cause::MessageTooBig { limit: self.limit, size: self.given })
        } else {
            (status.is_err() || stands_still).then_some(Cause::InvalidDeflate)
        };
        Inflated { taken, given, fault }
    }

    /// Inflates all of `input`, handing what comes of it to `sink` in parts that fit into `scratch`.
    ///
    /// # Errors
    /// The data is corrupt, or the message exceeds its limit; those of `sink`.
    pub(crate) fn push(
        &mut self,
        mut input: &[u8],
        scratch: &mut [u8],
        mut window: Option<&mut Window>,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        loop {
            let step = self.step(input, scratch, window.as_deref_mut());
            let given = step.given;
            sink(&scratch[..given])?;
            input = &input[step.checked()?..];
            if given < scratch.len() && input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Ends the message, all of whose payload was pushed.
    ///
    /// # Errors
    /// The data is cut short.
    pub(crate) fn finish(
        &mut self,
        scratch: &mut [u8],
        window: Option<&mut Window>,
    ) -> Result<(), Cause> {
        // No payload at all has no block to end: some send this for an empty message.
        if self.has_ended || self.taken == 0 {
            return Ok(());
        }
        // The tail ends an empty block. Asked to stop at the end of a block, the inflater leaves
        // the byte behind it alone if, and only if, the tail was what it had been waiting for.
        let [a, b, c, d] = TAIL;
        let step = self.step_with(&[a, b, c, d, 0], scratch, window, InflateFlush::Block);
        let given = step.given;
        let is_whole = step.checked()? == TAIL.len() || self.has_ended;
        if is_whole && given == 0 { Ok(()) } else { Err(Cause::InvalidDeflate) }
    }
}
