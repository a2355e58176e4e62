//! Frame opcodes.

use std::fmt;

use crate::ProtocolError;

/// What a frame carries. See RFC 6455 §5.2 and §11.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Continues a fragmented message.
    Continuation = 0x0,
    /// Starts a text message.
    Text = 0x1,
    /// Starts a binary message.
    Binary = 0x2,
    /// Starts or answers the closing handshake.
    Close = 0x8,
    /// Asks for a [`Pong`](Self::Pong).
    Ping = 0x9,
    /// Answers a [`Ping`](Self::Ping), or comes unasked.
    Pong = 0xA,
}

impl Opcode {
    /// Returns whether this is a control frame (§5.5): at most 125 bytes, never fragmented.
    #[must_use]
    #[inline]
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }

    /// Returns the four bits that stand for it on the wire.
    #[must_use]
    #[inline]
    pub fn bits(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for Opcode {
    type Error = ProtocolError;

    #[inline]
    fn try_from(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            reserved => return Err(ProtocolError::ReservedOpcode(reserved)),
        })
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "CONTINUATION",
            Self::Text => "TEXT",
            Self::Binary => "BINARY",
            Self::Close => "CLOSE",
            Self::Ping => "PING",
            Self::Pong => "PONG",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defined_opcode_round_trips_and_the_rest_are_reserved() {
        for bits in 0..=15 {
            match Opcode::try_from(bits) {
                Ok(opcode) => assert_eq!(opcode.bits(), bits),
                Err(error) => {
                    assert_eq!(error, ProtocolError::ReservedOpcode(bits));
                    assert!(matches!(bits, 3..=7 | 0xB..=0xF));
                }
            }
        }
    }
}
