//! Frame opcodes.

use std::fmt;

use crate::ProtocolError;

/// What a frame carries. See RFC 6455 §5.2 and §11.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// Continues a fragmented message.
    Continuation,
    /// Starts a text message.
    Text,
    /// Starts a binary message.
    Binary,
    /// Starts or answers the closing handshake.
    Close,
    /// Asks for a [`Pong`](Self::Pong).
    Ping,
    /// Answers a [`Ping`](Self::Ping), or comes unasked.
    Pong,
}

impl Opcode {
    /// Returns whether this is a control frame (§5.5): at most 125 bytes, never fragmented.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// Returns the four bits that stand for it on the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
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
