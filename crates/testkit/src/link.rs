//! One direction of an in-memory wire.

/// One direction of the wire between two ends. It can be held, cut, and given little room, so that
/// the socket of the sender is full.
#[derive(Debug, Default)]
pub struct Link {
    /// What is on its way.
    bytes: Vec<u8>,
    /// Everything that was ever written to it.
    history: Vec<u8>,
    held: bool,
    cut: bool,
    room: Option<usize>,
    /// The sender has ended its stream.
    eof: bool,
    eof_delivered: bool,
}

impl Link {
    /// Keeps what is written on its way until [`release`](Self::release).
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Delivers again.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// Loses everything from now on, as an unplugged cable does: no end is told.
    pub fn cut(&mut self) {
        self.cut = true;
        self.bytes.clear();
    }

    /// Lets at most `bytes` be on their way; `None` for as many as come. With a
    /// [held](Self::hold) link, this fills the sender's socket.
    pub fn limit(&mut self, bytes: impl Into<Option<usize>>) {
        self.room = bytes.into();
    }

    /// Returns everything that was ever written.
    #[must_use]
    pub fn history(&self) -> &[u8] {
        &self.history
    }

    /// Returns how many bytes are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.bytes.len()
    }

    /// Takes bytes as a socket does and returns how many.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.room.map_or(usize::MAX, |room| room.saturating_sub(self.bytes.len()));
        let n = bytes.len().min(room);
        self.history.extend_from_slice(&bytes[..n]);
        if !self.cut {
            self.bytes.extend_from_slice(&bytes[..n]);
        }
        n
    }

    /// Ends the stream after what is on its way.
    pub(crate) fn end(&mut self) {
        self.eof = true;
    }

    /// Returns what arrives now.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        if self.held { Vec::new() } else { std::mem::take(&mut self.bytes) }
    }

    /// Returns whether the end of the stream arrives now; once.
    pub(crate) fn read_eof(&mut self) -> bool {
        let arrives =
            self.eof && !self.eof_delivered && !self.cut && !self.held && self.bytes.is_empty();
        self.eof_delivered |= arrives;
        arrives
    }
}
