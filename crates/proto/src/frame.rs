//! Frame headers. See RFC 6455 §5.2.

use std::fmt;

use crate::{Opcode, ProtocolError};

/// The longest frame header: two bytes, an 8-byte length, a masking key.
pub(crate) const MAX_HEADER: usize = 14;

/// The longest payload of a control frame (§5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// The head of a frame: all but the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// First reserved bit; permessage-deflate uses it (RFC 7692 §6).
    pub rsv1: bool,
    /// Second reserved bit.
    pub rsv2: bool,
    /// Third reserved bit.
    pub rsv3: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key of a frame sent by a client.
    pub mask: Option<[u8; 4]>,
    /// Length of the payload in bytes, below 2⁶³.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Returns an unmasked header with no reserved bit set.
    #[must_use]
    pub fn new(opcode: Opcode, fin: bool, payload_len: u64) -> Self {
        Self { fin, rsv1: false, rsv2: false, rsv3: false, opcode, mask: None, payload_len }
    }

    /// Reads a header from the start of `bytes` and returns it with its length; `None` when more
    /// bytes are needed.
    ///
    /// # Errors
    /// What no state of a connection could allow: a reserved opcode, a fragmented or oversized
    /// control frame, a length that is not minimal or not below 2⁶³. Each is reported as soon as
    /// the bytes that show it are there.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let opcode = Opcode::try_from(first & 0x0F)?;
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl(opcode));
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & 0x7F;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(ProtocolError::ControlTooLong(opcode));
        }
        let (payload_len, mut len) = match short {
            126 => match bytes.get(2..4) {
                Some(long) => (u64::from(u16::from_be_bytes([long[0], long[1]])), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10) {
                Some(long) => (u64::from_be_bytes(long.try_into().expect("8 bytes")), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        // §5.2: "the minimal number of bytes MUST be used to encode the length", "the most
        // significant bit MUST be 0".
        if (len == 4 && payload_len < 126) || (len == 10 && payload_len <= 0xFFFF) {
            return Err(ProtocolError::NonMinimalLength(payload_len));
        }
        if payload_len > i64::MAX as u64 {
            return Err(ProtocolError::LengthTooBig(payload_len));
        }
        let mask = if second & 0x80 != 0 {
            let Some(key) = bytes.get(len..len + 4) else { return Ok(None) };
            len += 4;
            Some(key.try_into().expect("4 bytes"))
        } else {
            None
        };
        let header = Self {
            fin,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            mask,
            payload_len,
        };
        Ok(Some((header, len)))
    }

    /// Appends the header to `out`, with the shortest form of the length.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let first = u8::from(self.fin) << 7
            | u8::from(self.rsv1) << 6
            | u8::from(self.rsv2) << 5
            | u8::from(self.rsv3) << 4
            | self.opcode.bits();
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.payload_len {
            len @ 0..126 => out.extend_from_slice(&[first, masked | len as u8]),
            len @ 126..=0xFFFF => {
                let [high, low] = (len as u16).to_be_bytes();
                out.extend_from_slice(&[first, masked | 126, high, low]);
            }
            len => {
                out.extend_from_slice(&[first, masked | 127]);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }
}

/// Which way a frame went, for the log line of [`FrameLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer sent it.
    Received,
    /// We sent it.
    Sent,
}

/// One frame as one line for people: `> TEXT "hello" [5 bytes]`, `< CLOSE 1000 "bye"`.
///
/// Payloads are shortened, and control characters in them are escaped.
#[derive(Debug)]
#[non_exhaustive]
pub struct FrameLine<'a> {
    /// Which way it went.
    pub direction: Direction,
    /// Its head.
    pub header: &'a FrameHeader,
    /// Its payload, unmasked; may be cut when it is long.
    pub payload: &'a [u8],
}

/// How many payload bytes a log line shows.
const SHOWN: usize = 48;

impl fmt::Display for FrameLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Received => '<',
            Direction::Sent => '>',
        };
        write!(f, "{arrow} {}", self.header.opcode)?;
        if self.header.opcode == Opcode::Close {
            return match self.payload {
                [high, low, reason @ ..] => {
                    write!(f, " {}", u16::from_be_bytes([*high, *low]))?;
                    if !reason.is_empty() {
                        write!(f, " {:?}", String::from_utf8_lossy(reason))?;
                    }
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        let shown = &self.payload[..self.payload.len().min(SHOWN)];
        let more = if shown.len() < self.header.payload_len as usize { "…" } else { "" };
        match std::str::from_utf8(shown) {
            _ if shown.is_empty() => {}
            Ok(text) if self.header.opcode != Opcode::Binary => write!(f, " {text:?}{more}")?,
            Err(error) if self.header.opcode == Opcode::Text && error.error_len().is_none() => {
                write!(f, " {:?}{more}", String::from_utf8_lossy(&shown[..error.valid_up_to()]))?;
            }
            _ => {
                f.write_str(" ")?;
                for byte in &shown[..shown.len().min(SHOWN / 3)] {
                    write!(f, "{byte:02x}")?;
                }
                if shown.len() > SHOWN / 3 {
                    f.write_str("…")?;
                }
            }
        }
        let unit = if self.header.payload_len == 1 { "byte" } else { "bytes" };
        write!(f, " [{} {unit}]", self.header.payload_len)?;
        if self.header.rsv1 {
            f.write_str(" [rsv1]")?;
        }
        if !self.header.fin {
            f.write_str(" [more fragments follow]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(bytes: &[u8], expected: ProtocolError) {
        assert_eq!(FrameHeader::parse(bytes), Err(expected));
    }

    #[test]
    fn headers_round_trip_at_every_length_form() {
        for payload_len in [0, 1, 125, 126, 0xFFFF, 0x1_0000, i64::MAX as u64] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header =
                    FrameHeader { mask, ..FrameHeader::new(Opcode::Binary, true, payload_len) };
                let mut bytes = Vec::new();
                header.encode(&mut bytes);
                for cut in 0..bytes.len() {
                    assert_eq!(FrameHeader::parse(&bytes[..cut]), Ok(None));
                }
                assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, bytes.len()))));
            }
        }
    }

    #[test]
    fn reserved_opcode_is_refused_at_its_first_byte() {
        check_error(&[0x83], ProtocolError::ReservedOpcode(3));
        check_error(&[0x8F], ProtocolError::ReservedOpcode(15));
    }

    #[test]
    fn fragmented_control_frame_is_refused_at_its_first_byte() {
        check_error(&[0x09], ProtocolError::FragmentedControl(Opcode::Ping));
    }

    #[test]
    fn control_frame_of_126_bytes_is_refused() {
        check_error(&[0x89, 126], ProtocolError::ControlTooLong(Opcode::Ping));
    }

    #[test]
    fn length_must_be_minimal() {
        check_error(&[0x82, 126, 0, 125], ProtocolError::NonMinimalLength(125));
        check_error(
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            ProtocolError::NonMinimalLength(0xFFFF),
        );
    }

    #[test]
    fn length_with_the_top_bit_is_refused() {
        check_error(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthTooBig(1 << 63));
    }

    #[test]
    fn log_line_shows_direction_opcode_and_size() {
        let header = FrameHeader::new(Opcode::Text, true, 5);
        let line = FrameLine { direction: Direction::Sent, header: &header, payload: b"hello" };
        assert_eq!(line.to_string(), "> TEXT \"hello\" [5 bytes]");
        let header = FrameHeader::new(Opcode::Close, true, 5);
        let line =
            FrameLine { direction: Direction::Received, header: &header, payload: b"\x03\xe8bye" };
        assert_eq!(line.to_string(), "< CLOSE 1000 \"bye\"");
    }
}
