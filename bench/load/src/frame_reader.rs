//! Reads the frames a server sends: unmasked, split anywhere. See RFC 6455 §5.2.

use anyhow::{Result, bail};

const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;

/// What the next bytes of the stream were.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The first frame of a message with its opcode; the payload follows.
    MessageStart(u8),
    Payload(&'a [u8]),
    MessageEnd,
    Ping(Vec<u8>),
    Pong,
    Close,
}

#[derive(Debug, Default)]
pub struct FrameReader {
    header: [u8; 10],
    n_header: usize,
    frame: Option<Frame>,
    control: Vec<u8>,
    in_message: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: u8,
    left: u64,
}

impl FrameReader {
    /// Takes the next piece off the front of `input`, or returns `None` when `input` is used up.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>> {
        loop {
            let Some(frame) = &mut self.frame else {
                if !self.read_header(input)? {
                    return Ok(None);
                }
                if let Some(Frame { opcode: opcode @ 1..=2, .. }) = self.frame {
                    return Ok(Some(Piece::MessageStart(opcode)));
                }
                continue;
            };
            if frame.left == 0 {
                let frame = *frame;
                self.frame = None;
                if let Some(piece) = self.frame_end(frame) {
                    return Ok(Some(piece));
                }
                continue;
            }
            if input.is_empty() {
                return Ok(None);
            }
            let n = input.len().min(usize::try_from(frame.left)?);
            let (payload, rest) = input.split_at(n);
            *input = rest;
            frame.left -= n as u64;
            if frame.opcode < OPCODE_CLOSE {
                return Ok(Some(Piece::Payload(payload)));
            }
            self.control.extend_from_slice(payload);
        }
    }

    fn frame_end(&mut self, frame: Frame) -> Option<Piece<'static>> {
        match frame.opcode {
            OPCODE_PING => Some(Piece::Ping(std::mem::take(&mut self.control))),
            OPCODE_PONG => {
                self.control.clear();
                Some(Piece::Pong)
            }
            OPCODE_CLOSE => Some(Piece::Close),
            _ if frame.fin => {
                self.in_message = false;
                Some(Piece::MessageEnd)
            }
            _ => None,
        }
    }

    /// Says whether a whole header has been read; it is then in `self.frame`.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.header[self.n_header] = byte;
            self.n_header += 1;
            let length = self.header[1] & 0x7f;
            let n_needed = match (self.n_header, length) {
                (1, _) | (_, 0..=125) => 2,
                (_, 126) => 4,
                _ => 10,
            };
            if self.n_header == n_needed {
                self.frame = Some(self.parse_header(length)?);
                self.n_header = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn parse_header(&mut self, length: u8) -> Result<Frame> {
        let [first, second, ..] = self.header;
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 || second & 0x80 != 0 {
            bail!("the server set a reserved or the mask bit in {first:#04x} {second:#04x}");
        }
        match (opcode, self.in_message) {
            (0, true) | (1 | 2, false) => self.in_message = true,
            (OPCODE_CLOSE..=OPCODE_PONG, _) if fin && length <= 125 => {}
            _ => bail!("a frame with opcode {opcode} is out of place"),
        }
        let left = match length {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => u64::from_be_bytes(
                *self.header.last_chunk().expect("the header array holds 10 bytes"),
            ),
            short => u64::from(short),
        };
        Ok(Frame { fin, opcode, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], step: usize) -> Vec<String> {
        let mut reader = FrameReader::default();
        let mut pieces: Vec<String> = Vec::new();
        for mut input in wire.chunks(step) {
            while let Some(piece) = reader.next(&mut input).expect("the wire bytes are valid") {
                match (pieces.last_mut(), piece) {
                    (Some(last), Piece::Payload(bytes)) => {
                        last.push_str(&String::from_utf8_lossy(bytes))
                    }
                    (_, piece) => pieces.push(format!("{piece:?} ")),
                }
            }
        }
        pieces
    }

    #[test]
    fn a_fragmented_message_around_a_ping_reads_the_same_however_it_is_split() {
        let wire = b"\x01\x02ab\x89\x01p\x80\x7e\x00\x03cde\x82\x00";
        let whole = read(wire, wire.len());
        assert_eq!(
            whole,
            [
                "MessageStart(1) ab",
                "Ping([112]) cde",
                "MessageEnd ",
                "MessageStart(2) ",
                "MessageEnd "
            ]
        );
        (1..wire.len()).for_each(|step| assert_eq!(read(wire, step), whole));
    }

    #[test]
    fn a_masked_frame_is_an_error() {
        assert!(FrameReader::default().next(&mut &b"\x81\x80"[..]).is_err());
    }
}
