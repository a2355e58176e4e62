//! Close codes.

use std::fmt;

/// A close code. See RFC 6455 §7.4 and the IANA registry.
///
/// An open set of numbers, so a newtype with constants like `http::StatusCode`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Returns the registered name in words, such as `going away`.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($label),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The purpose of the connection has been fulfilled.
    NORMAL_CLOSURE = 1000, "normal closure";
    /// A server goes down or a browser leaves the page.
    GOING_AWAY = 1001, "going away";
    /// The peer broke RFC 6455.
    PROTOCOL_ERROR = 1002, "protocol error";
    /// The endpoint cannot accept this type of data.
    UNSUPPORTED_DATA = 1003, "unsupported data";
    /// Never sent: stands for a Close frame without a code (§7.1.5).
    NO_STATUS_RCVD = 1005, "no status received";
    /// Never sent: stands for a connection that ended without a Close frame (§7.1.5).
    ABNORMAL_CLOSURE = 1006, "abnormal closure";
    /// Data that does not fit the type of the message, such as text that is not UTF-8.
    INVALID_FRAME_PAYLOAD_DATA = 1007, "invalid frame payload data";
    /// A policy of the endpoint, when no other code fits.
    POLICY_VIOLATION = 1008, "policy violation";
    /// A message is larger than the endpoint accepts.
    MESSAGE_TOO_BIG = 1009, "message too big";
    /// A client misses an extension that it needs.
    MANDATORY_EXTENSION = 1010, "mandatory extension";
    /// The endpoint met an unexpected condition.
    INTERNAL_ERROR = 1011, "internal error";
    /// The service restarts; come back after a random delay.
    SERVICE_RESTART = 1012, "service restart";
    /// The service is overloaded.
    TRY_AGAIN_LATER = 1013, "try again later";
    /// A gateway received an invalid answer from upstream.
    BAD_GATEWAY = 1014, "bad gateway";
    /// Never sent: stands for a failed TLS handshake.
    TLS_HANDSHAKE = 1015, "TLS handshake";
    /// Authentication is missing or has expired.
    UNAUTHORIZED = 3000, "unauthorized";
    /// Authenticated, but not allowed.
    FORBIDDEN = 3003, "forbidden";
    /// The peer took too long for something.
    TIMEOUT = 3008, "timeout";
}

impl CloseCode {
    /// Returns the code if it is between 1000 and 4999.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 1000 && code <= 4999 { Some(Self(code)) } else { None }
    }

    /// Returns whether a Close frame may carry this code (§7.4).
    ///
    /// 1000–1003 and 1007–1014 are defined for the wire, 3000–3999 are registered with IANA and
    /// 4000–4999 are private.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    /// Writes the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_allowed_on_the_wire_are_those_of_section_7_4() {
        let legal: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode::new(code).is_some_and(CloseCode::is_sendable))
            .collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(legal, expected);
    }
}
