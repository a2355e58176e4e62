//! Which frames may go a short way.

/// What a connection may do without looking further.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Simple(u8);

const TAKES: u8 = 1;
const WRITES: u8 = 2;
const PLAIN_PIECES: u8 = 4;
const ENDS: u8 = 8;

impl Simple {
    pub(super) fn new(takes: bool, writes: bool) -> Self {
        Self((u8::from(takes) * TAKES) | (u8::from(writes) * WRITES))
    }

    /// Whether nothing but the bytes decides what a small frame is: a server that takes whole
    /// messages, unobserved, and is not finishing.
    #[inline]
    pub(super) fn takes(self) -> bool {
        self.0 & TAKES != 0
    }

    /// Whether nothing but the payload decides how a small frame is written: by a server,
    /// unobserved, and not compressed.
    #[inline]
    pub(super) fn writes(self) -> bool {
        self.0 & WRITES != 0
    }

    /// Whether the message that is being sent in pieces is not compressed, though others may be.
    pub(super) fn has_plain_pieces(self) -> bool {
        self.0 & PLAIN_PIECES != 0
    }

    pub(super) fn set_plain_pieces(&mut self, plain: bool) {
        self.0 = self.0 & !PLAIN_PIECES | if plain { PLAIN_PIECES } else { 0 };
    }

    /// Whether the socket may be closed when both Closes have passed.
    pub(super) fn ends(self) -> bool {
        self.0 & ENDS != 0
    }

    pub(super) fn set_ends(&mut self) {
        self.0 |= ENDS;
    }

    pub(super) fn end_no_more(&mut self) {
        self.0 &= !ENDS;
    }

    pub(super) fn take_no_more(&mut self) {
        self.0 &= !TAKES;
    }

    pub(super) fn write_no_more(&mut self) {
        self.0 &= !WRITES;
    }
}
