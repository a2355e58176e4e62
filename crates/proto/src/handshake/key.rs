//! `Sec-WebSocket-Key` and the `Sec-WebSocket-Accept` that answers it.

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

/// The GUID of RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns the value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 §4.2.2 item 5.4).
///
/// The key is taken as it was sent, still in base64, without white space around it.
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::accept_key;
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    BASE64.encode(&digest)
}

/// Returns the value of `Sec-WebSocket-Key` for 16 random bytes (RFC 6455 §4.1 item 7).
pub(super) fn encode_key(key: [u8; 16]) -> String {
    BASE64.encode(&key)
}

/// Tells whether `text` is the base64 of exactly 16 bytes (RFC 6455 §4.2.1 item 5).
///
/// The four bits that 22 characters hold beyond 16 bytes are not looked at (RFC 4648 §3.5 leaves that open): clients
/// with a made-up constant for a key exist, and the key itself is never decoded (§4.2.2: "It is not necessary").
pub(super) fn is_key(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len() == 24 && text.ends_with("==") && text.bytes().take(22).all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_base64_of_16_bytes() {
        assert_eq!(encode_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_key(&encode_key([0xff; 16])));
        assert!(is_key("AAAAAAAAAAAAAAAAAAAAAB=="), "unused bits are not looked at");
    }

    #[test]
    fn everything_else_is_no_key() {
        for text in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25jZTEy",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBs-SBub25jZQ==",
            "dGhlIHNhbXBs SBub25jZQ==",
        ] {
            assert!(!is_key(text), "{text}");
        }
    }
}
