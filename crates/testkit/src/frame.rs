//! Frames as a peer may write them, legal or not, and frames as we wrote them.

use everwire_proto::{FrameHeader, Opcode, Role, apply_mask};

/// How a frame's length is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Minimal,
    Word,
    Long,
}

/// A frame of a scripted peer: every bit of it can be chosen.
#[derive(Clone, Debug)]
pub struct Frame {
    first: u8,
    payload: Vec<u8>,
    mask: Option<Option<[u8; 4]>>,
    form: Form,
    declared: Option<u64>,
}

impl Frame {
    /// Returns a final frame with these four opcode bits.
    #[must_use]
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self { first: 0x80 | opcode, payload, mask: None, form: Form::Minimal, declared: None }
    }

    /// Returns a text frame.
    #[must_use]
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(1, payload)
    }

    /// Returns a binary frame.
    #[must_use]
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(2, payload)
    }

    /// Returns a continuation frame.
    #[must_use]
    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0, payload)
    }

    /// Returns a Ping.
    #[must_use]
    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(9, payload)
    }

    /// Returns a Pong.
    #[must_use]
    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(10, payload)
    }

    /// Returns a Close with a code and a reason.
    #[must_use]
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(8, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// Makes it a frame that is not the last of its message.
    #[must_use]
    pub fn more(mut self) -> Self {
        self.first &= 0x7F;
        self
    }

    /// Sets reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    #[must_use]
    pub fn reserved(mut self, bits: u8) -> Self {
        self.first |= bits << 4;
        self
    }

    /// Masks it with this key, whatever the role of the sender.
    #[must_use]
    pub fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(Some(key));
        self
    }

    /// Leaves it without a mask, whatever the role of the sender.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.mask = Some(None);
        self
    }

    /// Writes the length in two bytes.
    #[must_use]
    pub fn length_in_2_bytes(mut self) -> Self {
        self.form = Form::Word;
        self
    }

    /// Writes the length in eight bytes.
    #[must_use]
    pub fn length_in_8_bytes(mut self) -> Self {
        self.form = Form::Long;
        self
    }

    /// Declares another length than that of the payload.
    #[must_use]
    pub fn declare(mut self, len: u64) -> Self {
        self.declared = Some(len);
        self
    }

    /// Returns the bytes that an endpoint of the role `from` puts on the wire.
    #[must_use]
    pub fn bytes(&self, from: Role) -> Vec<u8> {
        let key = self.mask.unwrap_or((from == Role::Client).then_some([0x37, 0xfa, 0x21, 0x3d]));
        let len = self.declared.unwrap_or(self.payload.len() as u64);
        let masked = u8::from(key.is_some()) << 7;
        let mut out = vec![self.first];
        match (self.form, len) {
            (Form::Minimal, 0..126) => out.push(masked | len as u8),
            (Form::Minimal, 126..=0xFFFF) | (Form::Word, _) => {
                out.push(masked | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            (Form::Minimal | Form::Long, _) => {
                out.push(masked | 127);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        out.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
        let from = out.len();
        out.extend_from_slice(&self.payload);
        apply_mask(&mut out[from..], key.unwrap_or_default(), 0);
        out
    }
}

/// A frame that a connection sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SentFrame {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, unmasked.
    pub payload: Vec<u8>,
}

impl SentFrame {
    /// Returns its opcode.
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        self.header.opcode
    }

    /// Returns the code of a Close frame; 1005 if it has none.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        assert_eq!(self.opcode(), Opcode::Close);
        self.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
    }
}

impl std::fmt::Debug for SentFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.payload[..self.payload.len().min(64)];
        let fin = if self.header.fin { "" } else { " (more)" };
        write!(f, "{}{fin} {}", self.header.opcode, shown.escape_ascii())
    }
}

/// Reads whole frames that a connection sent.
///
/// # Panics
/// If they are not whole, valid frames, or their masks are not those of the role `from`.
#[must_use]
#[track_caller]
pub fn parse_frames(mut bytes: &[u8], from: Role) -> Vec<SentFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (header, len) = FrameHeader::parse(bytes)
            .expect("we send valid headers")
            .expect("we send whole headers");
        assert_eq!(header.mask.is_some(), from == Role::Client, "only clients mask");
        let end = len + header.payload_len as usize;
        let mut payload = bytes[len..end].to_vec();
        apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
        frames.push(SentFrame { header, payload });
        bytes = &bytes[end..];
    }
    frames
}
