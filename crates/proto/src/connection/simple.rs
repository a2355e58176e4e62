//! Which frames may go the short way.

/// What a connection may do without looking further.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Simple(u8);

const TAKES: u8 = 1;
const WRITES: u8 = 2;

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

    pub(super) fn take_no_more(&mut self) {
        self.0 &= !TAKES;
    }

    pub(super) fn write_no_more(&mut self) {
        self.0 &= !WRITES;
    }
}
