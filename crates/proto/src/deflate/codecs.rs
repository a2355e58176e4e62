//! The codecs of a thread, which its connections share.

use std::fmt;

use bytes::Bytes;

use super::{
    Contexts, DeflateParams, Inflater, Window,
    deflater::{Deflater, DeflaterSlot, cut_tail},
};

/// How much is inflated at a time.
pub(crate) const SCRATCH: usize = 16 << 10;

/// How many compressors there are, of which all but one stay with connections. Each has tables of some
/// 300 KiB. Measured with 64 connections that send 1 KiB in turn: a compressor for each took 29 µs a
/// message, because their tables do not fit into the cache, a few that are told what was sent 8 µs.
const DEFLATERS: usize = 4;

/// After how many messages of others a compressor is taken from its connection.
const IDLE_AFTER: u64 = 256;

/// How many inflaters do, and how many are kept for messages to come.
const INFLATERS: usize = 16;

/// An output buffer that grew beyond this is not kept.
const KEEP_OUT: usize = 64 << 10;

/// Lends the codecs of the thread: calls the function that it is given, once, with them.
///
/// Compressors and inflaters are large, so a connection has none of its own. The engine keeps
/// [`Codecs`] for each thread and lends them for as long as a message is compressed or inflated.
pub type LendCodecs = fn(&mut dyn FnMut(&mut Codecs));

/// Compressors and inflaters of one thread.
///
/// Where history is kept, a compressor stays with its connection while that is busy. One that is
/// taken afterwards is told the last 2 KiB that were sent: a sender may forget as much of its own
/// history as it likes, because the receiver keeps it. An inflater
/// that was taken is filled again from the window that the connection keeps.
pub struct Codecs {
    scratch: Box<[u8]>,
    out: Vec<u8>,
    deflaters: Vec<Deflater>,
    /// Those used last come last.
    inflaters: Vec<(u64, Box<Inflater>)>,
    /// The last number that was given to a connection for its history.
    last_owner: u64,
    /// Counts uses.
    clock: u64,
}

impl Codecs {
    /// Returns codecs for one thread, which needs memory only for what it uses.
    ///
    /// `number` is a different one for each thread, below 2²⁴, because a connection may move from
    /// one to another and take up codecs of its own only.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self {
            scratch: Box::default(),
            out: Vec::new(),
            deflaters: Vec::new(),
            inflaters: Vec::new(),
            last_owner: u64::from(number & 0xFF_FFFF) << 40,
            clock: 0,
        }
    }

    fn next_owner(&mut self) -> u64 {
        self.last_owner += 1;
        self.last_owner
    }

    /// Takes an inflater for a message, with the connection's history if there is one.
    pub(crate) fn start_inflating(
        &mut self,
        limit: u64,
        contexts: Option<&mut Contexts>,
    ) -> Box<Inflater> {
        let contexts = contexts.filter(|contexts| contexts.window.is_some());
        let slot = contexts.as_ref().map_or(0, |contexts| contexts.inflater.0);
        let own = self.inflaters.iter().position(|(owner, _)| slot != 0 && *owner == slot);
        let mut inflater = match own {
            Some(at) => self.inflaters.remove(at).1,
            None => {
                let spare = match contexts {
                    Some(_) if self.inflaters.len() < INFLATERS => None,
                    // Those used last stay with whom they belong to.
                    Some(_) => Some(self.inflaters.remove(0).1),
                    None => self.inflaters.pop().map(|(_, inflater)| inflater),
                };
                let mut inflater = spare.unwrap_or_else(|| Box::new(Inflater::new()));
                inflater.restore(contexts.and_then(|contexts| contexts.window.as_ref()));
                inflater
            }
        };
        inflater.start(limit);
        inflater
    }

    /// Takes an inflater back that has ended its message.
    pub(crate) fn end_inflating(
        &mut self,
        inflater: Box<Inflater>,
        contexts: Option<&mut Contexts>,
    ) {
        if self.inflaters.len() >= INFLATERS {
            self.inflaters.remove(0);
        }
        let mut owner = 0;
        let window = contexts.as_ref().and_then(|contexts| contexts.window.as_ref());
        // An inflater knows 32 KiB. Where less was agreed upon, more must not become visible by chance.
        let knows_the_same = window.is_some_and(Window::is_largest);
        if let Some(contexts) = contexts.filter(|_| knows_the_same) {
            owner = self.next_owner();
            contexts.inflater.0 = owner;
        }
        self.inflaters.push((owner, inflater));
    }

    /// Returns memory to inflate into.
    pub(crate) fn scratch(&mut self) -> &mut [u8] {
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH].into();
        }
        &mut self.scratch
    }

    /// Compresses a part of a message, or all of it, and returns what is to be sent.
    ///
    /// Parts that are not the last end with the bytes that are cut off the end of a message.
    pub(crate) fn deflate(
        &mut self,
        params: DeflateParams,
        level: u8,
        contexts: Option<&mut Contexts>,
        payload: &[u8],
        is_last: bool,
    ) -> &[u8] {
        let mut contexts = contexts.filter(|_| params.send_takeover);
        let slot = contexts.as_deref_mut().map(|contexts| &mut contexts.deflater);
        let Claimed { at, is_fresh } = self.claim(params.send_window_bits, level, slot);
        let mut sent = contexts.and_then(|contexts| contexts.sent.as_mut());
        if let Some(sent) = sent.as_ref().filter(|_| is_fresh) {
            self.deflaters[at].recall(sent);
        }
        let mut len = self.deflaters[at].compress(payload, &mut self.out);
        if is_last {
            len = cut_tail(&mut self.out, len);
        }
        if let Some(sent) = &mut sent {
            sent.push(payload);
        }
        &self.out[..len]
    }

    /// Compresses a whole message that refers to no other, for a window of so many bits.
    pub(crate) fn deflate_alone(&mut self, bits: u8, level: u8, payload: &[u8]) -> Bytes {
        let at = self.claim(bits, level, None).at;
        let len = self.deflaters[at].compress(payload, &mut self.out);
        let len = cut_tail(&mut self.out, len);
        let deflated = Bytes::copy_from_slice(&self.out[..len]);
        self.tidy();
        deflated
    }

    /// Lets go of what one large message left behind.
    pub(crate) fn tidy(&mut self) {
        if self.out.len() > KEEP_OUT {
            self.out = Vec::new();
        }
    }

    /// Returns the compressor that belongs to `slot`, or one without a history.
    fn claim(&mut self, bits: u8, level: u8, slot: Option<&mut DeflaterSlot>) -> Claimed {
        self.clock += 1;
        if let Some(slot) = slot {
            let own = self.deflaters.get_mut(slot.at).filter(|it| it.owner == slot.owner);
            if let Some(own) = own.filter(|_| slot.owner != 0) {
                own.used = self.clock;
                return Claimed { at: slot.at, is_fresh: false };
            }
            *slot = DeflaterSlot::default();
            if let Some(at) = self.idle(bits, level) {
                let owner = self.next_owner();
                *slot = DeflaterSlot { at, owner };
                return self.take_over(at, owner);
            }
        }
        let at =
            self.deflaters.iter().position(|it| (it.bits, it.level, it.owner) == (bits, level, 0));
        let at = at.unwrap_or_else(|| self.replace(bits, level));
        self.take_over(at, 0)
    }

    /// Returns a compressor that nobody has used lately, or a new one.
    fn idle(&mut self, bits: u8, level: u8) -> Option<usize> {
        let has_room = self.deflaters.len() < DEFLATERS;
        let mut used = self.deflaters.iter().map(|it| it.used);
        let is_idle = used.any(|used| self.clock - used > IDLE_AFTER);
        (has_room || is_idle).then(|| self.replace(bits, level))
    }

    fn take_over(&mut self, at: usize, owner: u64) -> Claimed {
        let deflater = &mut self.deflaters[at];
        deflater.reset();
        (deflater.owner, deflater.used) = (owner, self.clock);
        Claimed { at, is_fresh: true }
    }

    /// Makes a compressor, in place of the one that was not used for the longest time if there are
    /// too many.
    fn replace(&mut self, bits: u8, level: u8) -> usize {
        if self.deflaters.len() < DEFLATERS {
            self.deflaters.push(Deflater::new(bits, level));
            return self.deflaters.len() - 1;
        }
        let oldest = self.deflaters.iter().enumerate().min_by_key(|(_, it)| it.used);
        let at = oldest.map_or(0, |(at, _)| at);
        let it = &self.deflaters[at];
        if (it.bits, it.level) != (bits, level) {
            self.deflaters[at] = Deflater::new(bits, level);
        }
        at
    }
}

/// A compressor that was found.
struct Claimed {
    at: usize,
    /// It has forgotten everything.
    is_fresh: bool,
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codecs")
            .field("deflaters", &self.deflaters.len())
            .field("inflaters", &self.inflaters.len())
            .finish_non_exhaustive()
    }
}
