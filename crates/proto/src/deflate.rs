//! permessage-deflate: how messages are compressed. See RFC 7692.
//!
//! What the two ends agree upon is in [`handshake`](crate::handshake): [`DeflateConfig::accept`] and
//! [`DeflateConfig::offer`]. What a connection does with it, in `connection/`.

mod codecs;
mod deflater;
mod inflater;
mod window;

pub use self::codecs::{Codecs, LendCodecs};
pub(crate) use self::{codecs::SCRATCH, inflater::Inflater};
use self::{deflater::DeflaterSlot, inflater::InflaterSlot, window::Window};

/// How messages are compressed, where both ends want it. Plain data.
///
/// What compression costs beside time: the length of what is sent tells something about its content.
/// Where one message, or one history that is kept, holds a secret and text that somebody else
/// chose, that somebody can find the secret by trying and watching lengths, encrypted or not. Send
/// secrets with [`Compress::Never`], or do not compress at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// Whether the history of earlier messages is kept. Default: shared, which keeps none.
    pub mode: DeflateMode,
    /// Messages of fewer bytes are sent uncompressed. Messages in pieces are compressed whatever
    /// their size. Default: 512.
    pub threshold: usize,
    /// How hard to try, from 1 (fast) to 9. Default: 1, which with history kept yields about what
    /// others need level 6 for without.
    pub level: u8,
}

impl DeflateConfig {
    /// Returns the configuration of a mode, with everything else as it is by default.
    #[must_use]
    pub const fn new(mode: DeflateMode) -> Self {
        Self { mode, threshold: 512, level: 1 }
    }
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self::new(DeflateMode::Shared)
    }
}

/// Whether one message is compressed, on a connection that agreed on compression. On others it makes
/// no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compress {
    /// From [`DeflateConfig::threshold`] bytes on. A message in pieces is, whatever its size.
    #[default]
    ByThreshold,
    /// Never, and nothing that is compressed later refers to it. For a message that holds a secret
    /// beside text that somebody else chose: its compressed length would tell about the secret. And
    /// for what is compressed already, such as images.
    Never,
    /// However small it is. For small messages that resemble those before them, where history is
    /// kept; else one that would not become smaller is sent as it is.
    Always,
}

/// Whether the history of earlier messages is kept for compressing the next ("context takeover").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeflateMode {
    /// Nothing is kept: each message is compressed by itself, by a codec that all connections of a
    /// thread share. An idle connection needs no memory for it.
    #[default]
    Shared,
    /// History is kept in both directions, so that messages which resemble each other become much
    /// smaller. A connection keeps the peer's window, up to 32 KiB, or 4 KiB where the peer lets us
    /// choose, and 2 KiB of what it sent; compressors stay with the few that are busiest.
    Dedicated,
}

/// What was agreed upon for one connection, seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The size of the window for what we send, as a power of two: 8 to 15.
    pub send_window_bits: u8,
    /// Whether what we send may refer to earlier messages.
    pub send_takeover: bool,
    /// The size of the window for what we receive, as a power of two: 8 to 15.
    pub recv_window_bits: u8,
    /// Whether what we receive may refer to earlier messages.
    pub recv_takeover: bool,
}

impl Default for DeflateParams {
    /// What an answer without parameters means.
    fn default() -> Self {
        Self {
            send_window_bits: 15,
            send_takeover: true,
            recv_window_bits: 15,
            recv_takeover: true,
        }
    }
}

/// The same in one byte, for every connection has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PackedParams(u8);

impl From<DeflateParams> for PackedParams {
    fn from(params: DeflateParams) -> Self {
        let bits = |bits: u8| bits.clamp(8, 15) - 8;
        Self(
            bits(params.send_window_bits)
                | bits(params.recv_window_bits) << 3
                | u8::from(params.send_takeover) << 6
                | u8::from(params.recv_takeover) << 7,
        )
    }
}

impl From<PackedParams> for DeflateParams {
    fn from(PackedParams(packed): PackedParams) -> Self {
        Self {
            send_window_bits: 8 + (packed & 7),
            recv_window_bits: 8 + (packed >> 3 & 7),
            send_takeover: packed & 1 << 6 != 0,
            recv_takeover: packed & 1 << 7 != 0,
        }
    }
}

/// How much of what was sent is kept, as a power of two: 2 KiB.
const SENT_BITS: u8 = 11;

/// The history of both directions, for a connection that keeps one.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// What the peer may refer to.
    pub(crate) window: Option<Window>,
    /// The end of what we sent, which what we send may refer to.
    pub(crate) sent: Option<Window>,
    /// The inflater that has seen all of it, if it was not taken since.
    pub(crate) inflater: InflaterSlot,
    /// The compressor that has seen all that we sent, if it was not taken since.
    pub(crate) deflater: DeflaterSlot,
}

impl Contexts {
    pub(crate) fn new(params: DeflateParams) -> Option<Box<Self>> {
        let window = params.recv_takeover.then(|| Window::new(params.recv_window_bits));
        let bits = params.send_window_bits.min(SENT_BITS);
        let sent = params.send_takeover.then(|| Window::new(bits));
        (params.recv_takeover || params.send_takeover)
            .then(|| Box::new(Self { window, sent, ..Self::default() }))
    }
}
