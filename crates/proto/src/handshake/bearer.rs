//! Bearer tokens, where a header can carry them and where none can.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, StatusCode};

use super::subprotocol::is_secret;

/// What a subprotocol that carries a token begins with.
pub(super) const BEARER_PREFIX: &str = "everwire.bearer.";

/// A bearer token (RFC 6750) that a client sent with its request.
///
/// It comes in `Authorization: Bearer <token>`, or, since a browser's `WebSocket` cannot set headers, as an offered
/// subprotocol `everwire.bearer.<token in base64url without padding>`. A client that offers the latter must offer a second
/// subprotocol, and the server must choose that one, for the answer to a browser's offer must name one of it and the
/// secret is not for the answer: [`select_subprotocol`] never returns it and [`accept`] refuses it.
///
/// It is not shown by `Debug`, and there is no `Display`.
///
/// [`select_subprotocol`]: super::ServerHandshake::select_subprotocol
/// [`accept`]: super::ServerHandshake::accept
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::BearerToken;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("sec-websocket-protocol", "chat, everwire.bearer.c2VjcmV0".parse()?);
/// let token = BearerToken::from_headers(&headers)?.expect("there is one");
/// assert_eq!(token.as_str(), "secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// Returns the token the request carries, if it carries one.
    ///
    /// Other schemes of `Authorization` are none of it and give `None`.
    ///
    /// # Errors
    /// The token is malformed, or there are two (RFC 6750 §2).
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, BearerError> {
        let mut token = None;
        for value in headers.get_all(AUTHORIZATION) {
            // RFC 9110 §11.4: the scheme, case-insensitively, and one or more spaces.
            let (scheme, rest) = value.as_bytes().split_at_checked(6).unwrap_or_default();
            if !scheme.eq_ignore_ascii_case(b"bearer")
                || rest.first().is_some_and(|&byte| byte != b' ')
            {
                continue;
            }
            let text = str::from_utf8(rest.trim_ascii()).map_err(|_| BearerError::Malformed)?;
            replace(&mut token, Self::parse(text)?)?;
        }
        for subprotocol in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            let elements =
                subprotocol.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            for encoded in
                elements.filter_map(|element| element.strip_prefix(BEARER_PREFIX.as_bytes()))
            {
                let bytes = BASE64URL_NOPAD.decode(encoded).map_err(|_| BearerError::Malformed)?;
                let text = str::from_utf8(&bytes).map_err(|_| BearerError::Malformed)?;
                replace(&mut token, Self::parse(text)?)?;
            }
        }
        Ok(token)
    }

    /// Returns the subprotocol with which a client offers a token.
    pub fn to_subprotocol(token: &str) -> String {
        format!("{BEARER_PREFIX}{}", BASE64URL_NOPAD.encode(token.as_bytes()))
    }

    /// Returns the token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 6750 §2.1: `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
    fn parse(text: &str) -> Result<Self, BearerError> {
        let body = text.trim_end_matches('=');
        let is_b64token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if body.is_empty() || !body.bytes().all(is_b64token) {
            return Err(BearerError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

fn replace(token: &mut Option<BearerToken>, found: BearerToken) -> Result<(), BearerError> {
    if token.replace(found).is_some() { Err(BearerError::Repeated) } else { Ok(()) }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({} bytes)", self.0.len())
    }
}

/// Says why a request has no usable token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerError {
    /// The token is not of the grammar of RFC 6750 §2.1, or its base64url (RFC 4648 §5) is broken.
    Malformed,
    /// RFC 6750 §2: "Clients MUST NOT use more than one method to transmit the token in each request."
    Repeated,
}

impl BearerError {
    /// Returns the status to answer with: 400 (RFC 6750 §3.1, `invalid_request`).
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

impl fmt::Display for BearerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "bearer token is malformed",
            Self::Repeated => "request carries more than one bearer token",
        })
    }
}

impl std::error::Error for BearerError {}

/// Marks the values that are secrets, so that `Debug` does not show them.
pub(super) fn mark_sensitive(headers: &mut HeaderMap) {
    let secrets = headers.iter_mut().filter(|(name, value)| {
        let offers_token = || {
            value
                .as_bytes()
                .split(|&byte| byte == b',')
                .any(|element| str::from_utf8(element.trim_ascii()).is_ok_and(is_secret))
        };
        [AUTHORIZATION, COOKIE].contains(name)
            || (*name == SEC_WEBSOCKET_PROTOCOL && offers_token())
    });
    secrets.for_each(|(_, value)| value.set_sensitive(true));
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &str)], expected: Result<Option<&str>, BearerError>) {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let headers: HeaderMap = fields.iter().map(field).collect();
        let token = BearerToken::from_headers(&headers);
        assert_eq!(
            token.as_ref().map(|token| token.as_ref().map(BearerToken::as_str)),
            expected.as_ref().map(|t| *t)
        );
    }

    const AUTH: &str = "authorization";
    const PROTOCOL: &str = "sec-websocket-protocol";

    #[test]
    fn a_token_is_found_in_either_place() {
        check(&[], Ok(None));
        check(&[(AUTH, "Basic dTpw"), (PROTOCOL, "chat")], Ok(None));
        check(&[(AUTH, "Bearers x")], Ok(None));
        check(&[(AUTH, "Bearer a.b-c_d~e+f/g==")], Ok(Some("a.b-c_d~e+f/g==")));
        check(&[(AUTH, "bEARER   x ")], Ok(Some("x")));
        check(&[(PROTOCOL, "chat"), (PROTOCOL, "x ,everwire.bearer.c2VjcmV0")], Ok(Some("secret")));
    }

    #[test]
    fn malformed_tokens_are_errors() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer =",
            "Bearer a=b",
            "Bearer ä",
            "Bearer \"a\"",
        ] {
            check(&[(AUTH, value)], Err(BearerError::Malformed));
        }
        for value in [
            "everwire.bearer.",
            "everwire.bearer.c2VjcmV0=",
            "everwire.bearer.!",
            "everwire.bearer.DQo",
        ] {
            check(&[(PROTOCOL, value)], Err(BearerError::Malformed));
        }
    }

    #[test]
    fn two_tokens_are_an_error() {
        check(&[(AUTH, "Bearer a"), (AUTH, "Bearer a")], Err(BearerError::Repeated));
        check(
            &[(AUTH, "Bearer secret"), (PROTOCOL, "everwire.bearer.c2VjcmV0")],
            Err(BearerError::Repeated),
        );
    }

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(format!("{:?}", BearerToken("secret".into())), "BearerToken(6 bytes)");
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, "chat, everwire.bearer.c2VjcmV0".parse().unwrap());
        mark_sensitive(&mut headers);
        assert!(!format!("{headers:?}").contains("c2VjcmV0"));
    }

    proptest! {
        #[test]
        fn an_offered_token_arrives(token in "[A-Za-z0-9._~+/-]{1,40}={0,2}") {
            check(&[(PROTOCOL, &BearerToken::to_subprotocol(&token))], Ok(Some(&token)));
        }
    }
}
