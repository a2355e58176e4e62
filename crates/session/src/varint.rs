//! The elements of frame bodies: numbers, bytes, text (protocol §2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::Malformed;

/// The largest number on the wire: what a double represents exactly, with all below it.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Reads the elements of one frame.
#[derive(Debug)]
pub(crate) struct Reader<'b> {
    frame: &'b Bytes,
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(frame: &'b Bytes) -> Self {
        Self { frame, at: 0 }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let byte = *self.frame.get(self.at).ok_or(Malformed::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return match (byte, shift) {
                    (0, 1..) => Err(Malformed::NotShortest),
                    _ if number > MAX_NUMBER => Err(Malformed::NumberTooBig),
                    _ => Ok(number),
                };
            }
        }
        Err(Malformed::NumberTooBig)
    }

    /// Reads a number that must be at least 1.
    pub(crate) fn positive(&mut self, name: &'static str) -> Result<u64, Malformed> {
        match self.number()? {
            0 => Err(Malformed::OutOfRange(name)),
            number => Ok(number),
        }
    }

    pub(crate) fn bytes(&mut self, name: &'static str, limit: usize) -> Result<Bytes, Malformed> {
        let len = self.number()?;
        if len > limit as u64 {
            return Err(Malformed::TooLong(name));
        }
        let end = self.at + len as usize;
        if end > self.frame.len() {
            return Err(Malformed::Truncated);
        }
        let bytes = self.frame.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, name: &'static str, limit: usize) -> Result<String, Malformed> {
        let bytes = self.bytes(name, limit)?;
        str::from_utf8(&bytes).map(str::to_owned).map_err(|_| Malformed::NotUtf8)
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        let rest = self.frame.slice(self.at..);
        self.at = self.frame.len();
        rest
    }

    /// Checks that nothing is left.
    pub(crate) fn end<T>(&self, value: T) -> Result<T, Malformed> {
        if self.at == self.frame.len() { Ok(value) } else { Err(Malformed::Trailing) }
    }
}

/// Writes the elements of one frame.
#[derive(Debug)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn new(first: u8) -> Self {
        let mut bytes = BytesMut::with_capacity(48);
        bytes.put_u8(first);
        Self(bytes)
    }

    pub(crate) fn u8(mut self, byte: u8) -> Self {
        self.0.put_u8(byte);
        self
    }

    pub(crate) fn number(mut self, mut number: u64) -> Self {
        debug_assert!(number <= MAX_NUMBER, "no number of ours exceeds 2^53 - 1");
        while number >= 0x80 {
            self.0.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.put_u8(number as u8);
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.number(bytes.len() as u64);
        this.0.put_slice(bytes);
        this
    }

    pub(crate) fn rest(mut self, bytes: &[u8]) -> Self {
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}
