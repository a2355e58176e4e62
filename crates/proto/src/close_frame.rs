//! The body of a Close frame.

use std::fmt;

use crate::{CloseCode, ProtocolError, SendError};

/// The longest reason that fits beside the code into a control frame (§5.5).
pub(crate) const MAX_REASON: usize = 123;

/// A close code and a reason. See RFC 6455 §5.5.1.
///
/// A Close frame without a body has the code [`CloseCode::NO_STATUS_RCVD`] (§7.1.5).
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CloseFrame {
    /// Why the connection closes, as a number.
    pub code: CloseCode,
    /// Why the connection closes, for people; at most 123 bytes on the wire.
    pub reason: Box<str>,
}

impl CloseFrame {
    /// Returns a frame with this code and reason.
    ///
    /// A reason of more than 123 bytes is cut at the last character that fits.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for codes that must never be sent, such as 1006.
    /// [`CloseCode::NO_STATUS_RCVD`] is allowed: it stands for a Close frame without a body.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, SendError> {
        if code == CloseCode::NO_STATUS_RCVD {
            return Ok(Self { code, reason: "".into() });
        }
        if !code.is_sendable() {
            return Err(SendError::ReservedCloseCode(code));
        }
        Ok(Self { code, reason: reason[..reason.floor_char_boundary(MAX_REASON)].into() })
    }

    /// Like [`new`](Self::new), for codes that this crate itself chose.
    pub(crate) fn internal(code: CloseCode, reason: &str) -> Self {
        Self::new(code, reason).expect("only sendable codes are chosen inside the crate")
    }

    /// Reads the payload of a received Close frame.
    ///
    /// # Errors
    /// A payload of one byte, a code that is not allowed on the wire, a reason that is not UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(Self { code: CloseCode::NO_STATUS_RCVD, reason: "".into() }),
            // §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
            // unsigned integer".
            [_] => return Err(ProtocolError::CloseTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code)
            .filter(|code| code.is_sendable())
            .ok_or(ProtocolError::InvalidCloseCode(code))?;
        let reason =
            simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Self { code, reason: reason.into() })
    }

    /// Appends the payload to `out`: nothing for [`CloseCode::NO_STATUS_RCVD`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.code.is_sendable() {
            out.extend_from_slice(&u16::from(self.code).to_be_bytes());
            // The fields are public, so the reason may have grown since `new`.
            let end = self.reason.floor_char_boundary(MAX_REASON);
            out.extend_from_slice(&self.reason.as_bytes()[..end]);
        }
    }
}

impl fmt::Display for CloseFrame {
    /// Writes the code, its name, and the reason: `1001 (going away) "deploy"`. One without a body
    /// is `a Close without a code`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code == CloseCode::NO_STATUS_RCVD {
            return f.write_str("a Close without a code");
        }
        write!(f, "{:?}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {:?}", self.reason)?;
        }
        Ok(())
    }
}

impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &[u8], expected: Result<(u16, &str), ProtocolError>) {
        let parsed = CloseFrame::parse(payload);
        assert_eq!(
            parsed.as_ref().map(|f| (f.code.into(), &*f.reason)).map_err(Clone::clone),
            expected
        );
        if let Ok(frame) = parsed {
            let mut out = Vec::new();
            frame.encode(&mut out);
            assert_eq!(out, payload);
        }
    }

    #[test]
    fn empty_body_means_1005() {
        check(b"", Ok((1005, "")));
    }

    #[test]
    fn one_byte_body_is_a_protocol_error() {
        check(b"\x03", Err(ProtocolError::CloseTooShort));
    }

    #[test]
    fn code_and_reason_round_trip() {
        check("\x03\u{e8}".as_bytes(), Err(ProtocolError::InvalidCloseCode(0x03c3)));
        check(b"\x03\xe8bye", Ok((1000, "bye")));
        check(b"\x13\x87", Ok((4999, "")));
    }

    #[test]
    fn reserved_codes_and_bad_utf8_are_refused() {
        check(&1006u16.to_be_bytes(), Err(ProtocolError::InvalidCloseCode(1006)));
        check(&5000u16.to_be_bytes(), Err(ProtocolError::InvalidCloseCode(5000)));
        check(b"\x03\xe8\xff", Err(ProtocolError::InvalidCloseReason));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let frame = CloseFrame::new(CloseCode::NORMAL_CLOSURE, &"é".repeat(70)).unwrap();
        assert_eq!(frame.reason.len(), 122);
    }

    #[test]
    fn codes_that_must_never_be_sent_are_refused() {
        for code in [CloseCode::ABNORMAL_CLOSURE, CloseCode::TLS_HANDSHAKE] {
            assert_eq!(CloseFrame::new(code, ""), Err(SendError::ReservedCloseCode(code)));
        }
    }
    #[test]
    fn a_close_without_a_code_is_not_said_to_have_1005() {
        let frame = CloseFrame::new(CloseCode::NO_STATUS_RCVD, "not sent either").unwrap();
        assert_eq!(frame.to_string(), "a Close without a code");
        let frame = CloseFrame::new(CloseCode::GOING_AWAY, "deploy").unwrap();
        assert_eq!(frame.to_string(), "1001 (going away) \"deploy\"");
    }
}
