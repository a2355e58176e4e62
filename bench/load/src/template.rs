//! The bytes of a message: a stamp that is different for each, and a tail that all messages of a run share.

use std::str::FromStr;

/// Bytes at the start of a payload that carry the connection and the sequence number.
pub const STAMP_LEN: usize = 16;

/// One fixed key, so that the tail is masked once and not per message. It is not a key for a client on a real network.
const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Two, three and four bytes a character, and one of one byte.
const CHARACTERS: [char; 4] = ['é', '€', '🦀', 'x'];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Binary,
    Text,
}

impl Kind {
    pub fn opcode(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
        }
    }

    /// Returns the stamp of message `seq` on connection `id`; in text, as hexadecimal digits.
    fn stamp(self, id: usize, seq: u64) -> [u8; STAMP_LEN] {
        let mut stamp = [0; STAMP_LEN];
        let mut number = (id as u64) << 40 | seq & 0xff_ffff_ffff;
        match self {
            Self::Binary => stamp[..8].copy_from_slice(&number.to_le_bytes()),
            Self::Text => stamp.iter_mut().rev().for_each(|digit| {
                *digit = b"0123456789abcdef"[(number & 15) as usize];
                number >>= 4;
            }),
        }
        stamp
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "binary" => Ok(Self::Binary),
            "text" => Ok(Self::Text),
            _ => Err(format!("{name:?} is neither binary nor text")),
        }
    }
}

/// What carries the messages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Nothing: bytes of TCP.
    Raw,
    WebSocket,
    /// A session: DATA frames of `everwire.v1`.
    Session,
}

/// How every message of a run looks, on the way out and on the way back.
#[derive(Debug)]
pub struct Template {
    kind: Kind,
    carrier: Carrier,
    /// With the first byte of a DATA frame, if there is one.
    header: Vec<u8>,
    tail: Vec<u8>,
    masked_tail: Vec<u8>,
}

impl Template {
    pub fn new(kind: Kind, size: usize, carrier: Carrier) -> Self {
        let is_session = carrier == Carrier::Session;
        let opcode = if is_session { Kind::Binary.opcode() } else { kind.opcode() };
        let mut header = vec![0x80 | opcode];
        let len = size + usize::from(is_session);
        match len {
            0..=125 => header.push(0x80 | len as u8),
            126..=0xffff => {
                header.push(0x80 | 126);
                header.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                header.push(0x80 | 127);
                header.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        header.extend_from_slice(&MASKING_KEY);
        if is_session {
            let first = if kind == Kind::Text { 0x11 } else { 0x10 };
            header.push(first ^ MASKING_KEY[0]);
        }
        let tail = match kind {
            Kind::Binary => (0..size - STAMP_LEN).map(|i| ((i * 31) >> 3) as u8).collect(),
            Kind::Text => text(size - STAMP_LEN).into_bytes(),
        };
        // The stamp is a whole number of masking keys long, so the tail starts at the same phase.
        let mut masked_tail = tail.clone();
        mask(&mut masked_tail, usize::from(is_session));
        Self { kind, carrier, header, tail, masked_tail }
    }

    /// Returns the opcode of every message that comes back.
    pub fn opcode(&self) -> u8 {
        if self.is_session() { Kind::Binary.opcode() } else { self.kind.opcode() }
    }

    pub fn is_raw(&self) -> bool {
        self.carrier == Carrier::Raw
    }

    pub fn is_session(&self) -> bool {
        self.carrier == Carrier::Session
    }

    pub fn frame_len(&self) -> usize {
        self.header.len() + STAMP_LEN + self.tail.len()
    }

    /// Appends the frame's header and masked stamp; [`masked_tail`](Self::masked_tail) follows on the wire.
    pub fn encode_head(&self, id: usize, seq: u64, output: &mut Vec<u8>) {
        let mut stamp = self.kind.stamp(id, seq);
        mask(&mut stamp, usize::from(self.is_session()));
        output.extend_from_slice(&self.header);
        output.extend_from_slice(&stamp);
    }

    pub fn masked_tail(&self) -> &[u8] {
        &self.masked_tail
    }

    /// Returns the number of bytes that answer one message, frame headers of a WebSocket server not counted.
    pub fn echo_len(&self) -> usize {
        if self.is_raw() { self.frame_len() } else { STAMP_LEN + self.tail.len() }
    }

    /// Says whether `bytes` stand at `offset` in the echo of message `seq` of connection `id`.
    ///
    /// Every byte is compared: what the server sent is right or the run fails.
    pub fn matches(&self, id: usize, seq: u64, offset: usize, bytes: &[u8]) -> bool {
        if offset + bytes.len() > self.echo_len() {
            return false;
        }
        let mut raw_head = Vec::new();
        let stamp;
        let (head, tail) = if self.is_raw() {
            self.encode_head(id, seq, &mut raw_head);
            (raw_head.as_slice(), &self.masked_tail)
        } else {
            stamp = self.kind.stamp(id, seq);
            (stamp.as_slice(), &self.tail)
        };
        let in_head = head.len().saturating_sub(offset).min(bytes.len());
        let (of_head, of_tail) = bytes.split_at(in_head);
        let tail_offset = (offset + in_head).saturating_sub(head.len());
        (in_head == 0 || head[offset..offset + in_head] == *of_head)
            && tail[tail_offset..tail_offset + of_tail.len()] == *of_tail
    }
}

/// Returns `len` bytes of text with one to four bytes a character; ASCII fills what is left.
fn text(len: usize) -> String {
    let mut text = String::with_capacity(len);
    for character in CHARACTERS.into_iter().cycle() {
        if text.len() + character.len_utf8() > len {
            break;
        }
        text.push(character);
    }
    while text.len() < len {
        text.push('.');
    }
    text
}

fn mask(bytes: &mut [u8], phase: usize) {
    bytes
        .iter_mut()
        .zip(MASKING_KEY.into_iter().cycle().skip(phase))
        .for_each(|(byte, key)| *byte ^= key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &Template, at: usize, id: usize, seq: u64, expected: bool) {
        let mut echo = template.kind.stamp(3, 7).to_vec();
        echo.extend_from_slice(&template.tail);
        assert_eq!(template.matches(id, seq, at, &echo[at..]), expected);
    }

    #[test]
    fn an_echo_matches_from_any_offset() {
        let template = Template::new(Kind::Binary, 200, Carrier::WebSocket);
        (0..200).for_each(|at| check(&template, at, 3, 7, true));
    }

    #[test]
    fn an_echo_of_another_message_does_not_match() {
        let template = Template::new(Kind::Text, 20, Carrier::WebSocket);
        check(&template, 0, 3, 8, false);
        check(&template, 0, 4, 7, false);
    }

    #[test]
    fn a_longer_echo_does_not_match() {
        let template = Template::new(Kind::Binary, 16, Carrier::WebSocket);
        assert!(!template.matches(0, 0, 0, &[0; 17]));
    }

    #[test]
    fn text_of_every_length_is_valid() {
        for len in 0..40 {
            assert_eq!(text(len).len(), len);
        }
    }
}
