//! A user name and a password, for HTTP basic authentication and SOCKS5.

use std::fmt;

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::authority::UrlError;

/// A user name and a password. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Takes a user name and a password as they are, not percent-encoded.
    ///
    /// # Errors
    /// RFC 7617 §2 forbids a colon in the user name, and control characters in both.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Result<Self, UrlError> {
        let (user, password) = (user.into(), password.into());
        if user.contains(':') {
            return Err(UrlError::Userinfo { problem: "the user name contains a colon" });
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err(UrlError::Userinfo { problem: "they contain a control character" });
        }
        Ok(Self { user, password })
    }

    /// Parses the userinfo of a URL: `user` or `user:password`, percent-encoded.
    pub(super) fn parse(userinfo: &str) -> Result<Self, UrlError> {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Self::new(decode(user)?, decode(password)?)
    }

    /// Returns the user name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password, empty if none was given.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Returns the value of an `Authorization` or `Proxy-Authorization` header, marked as sensitive.
    /// See RFC 7617 §2.
    pub fn basic(&self) -> HeaderValue {
        let encoded = base64(format!("{}:{}", self.user, self.password).as_bytes());
        let mut value =
            HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is visible ASCII");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("password", &"***").finish()
    }
}

fn decode(part: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| UrlError::Userinfo { problem: "they are not UTF-8 after percent-decoding" })
}

/// Encodes by RFC 4648 §4. Twenty lines for one short header are cheaper than a dependency.
fn base64(input: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut output = String::with_capacity(input.len().div_ceil(3) * 4);
    for chunk in input.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sextet in 0..4 {
            let idx = (bits >> (18 - 6 * sextet) & 0x3f) as usize;
            output.push(if sextet <= chunk.len() { char::from(ALPHABET[idx]) } else { '=' });
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (input, expected) in vectors {
            assert_eq!(base64(input.as_bytes()), expected);
        }
    }

    #[test]
    fn basic_matches_the_example_of_rfc_7617() {
        let credentials = Credentials::new("Aladdin", "open sesame").unwrap();
        assert_eq!(credentials.basic(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(credentials.basic().is_sensitive());
    }

    #[test]
    fn userinfo_is_percent_decoded() {
        let credentials = Credentials::parse("us%20er:p%40ss:word").unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("us er", "p@ss:word"));
    }

    #[test]
    fn a_missing_password_is_empty() {
        assert_eq!(Credentials::parse("token").unwrap().password(), "");
    }

    #[test]
    fn userinfo_that_basic_authentication_cannot_carry_is_refused() {
        for userinfo in ["a%3Ab:c", "a%0Ab", "a:%ff"] {
            assert!(
                matches!(Credentials::parse(userinfo), Err(UrlError::Userinfo { .. })),
                "{userinfo}"
            );
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let credentials = Credentials::new("user", "secret").unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
