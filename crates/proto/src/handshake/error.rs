//! Why a request does not open a connection, and what to answer.

use std::fmt;

use http::header::{ALLOW, CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode, Version};

use super::extension::ExtensionError;
use super::field::FieldError;
use super::head::HeadError;
use super::rejection::Rejection;

/// Says what a client's opening handshake lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The bytes are no acceptable head of a request (RFC 6455 §4.2.1 item 1); 431, 505 or 400.
    Head(HeadError),
    /// The request is not HTTP/1.1 (RFC 6455 §4.2.1 item 1); 400 for older versions, 505 for HTTP/2 and later, whose
    /// handshake is another (RFC 8441).
    HttpVersion(Version),
    /// The request does not ask for `Upgrade: websocket` (RFC 6455 §4.2.1 item 3); 426.
    NoUpgrade,
    /// The method is not GET (RFC 6455 §4.2.1 item 1); 405.
    Method(Method),
    /// `Connection` does not name `upgrade` (RFC 6455 §4.2.1 item 4); 400.
    NoConnectionUpgrade,
    /// The request target is not a resource name (RFC 6455 §3, §4.2.1 item 1); 400.
    Target,
    /// The request announces a body, which would be taken for frames (RFC 6455 §4.1, RFC 9112 §6.3); 400.
    Body,
    /// A header field is missing, repeated or malformed (RFC 6455 §4.2.1 items 2, 5, 7 and 8); 400.
    Field(FieldError),
    /// `Sec-WebSocket-Version` is not 13 (RFC 6455 §4.2.1 item 6, §4.4); 426 with the version we speak.
    WebSocketVersion {
        /// What the client sent, shortened; `None` if it sent no version.
        found: Option<String>,
    },
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes (RFC 6455 §4.2.1 item 5); 400.
    Key {
        /// The number of characters found, of which there should be 24.
        length: usize,
    },
    /// A subprotocol is offered twice (RFC 6455 §4.1 item 10); 400.
    RepeatedSubprotocol {
        /// Its place in the offer, counted from 0. The name may be a secret and is not told.
        at: usize,
    },
    /// The offered extensions are malformed (RFC 6455 §9.1); 400.
    Extensions(ExtensionError),
}

impl HandshakeError {
    /// Returns the status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Head(error) => error.status(),
            Self::HttpVersion(version) if *version > Version::HTTP_11 => {
                StatusCode::HTTP_VERSION_NOT_SUPPORTED
            }
            Self::NoUpgrade | Self::WebSocketVersion { .. } => StatusCode::UPGRADE_REQUIRED,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the whole answer, with the headers its status needs and a body that says what was wrong.
    pub fn response(&self) -> Response<String> {
        Rejection::from(self).response()
    }
}

impl From<&HandshakeError> for Rejection {
    fn from(error: &HandshakeError) -> Self {
        let rejection = Self::new(error.status()).body(format!("{error}\n"));
        match error.status() {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
            StatusCode::METHOD_NOT_ALLOWED => {
                rejection.header(ALLOW, HeaderValue::from_static("GET"))
            }
            // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response"; RFC 6455 §4.4: and
            // the versions it speaks.
            StatusCode::UPGRADE_REQUIRED => rejection
                .header(UPGRADE, HeaderValue::from_static("websocket"))
                .header(CONNECTION, HeaderValue::from_static("Upgrade"))
                .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            _ => rejection,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::HttpVersion(version) if *version < Version::HTTP_11 => {
                // The commonest cause by far is a proxy that speaks 1.0 to its backends unless told otherwise.
                write!(
                    f,
                    "request is {version:?} and not HTTP/1.1 (behind nginx set proxy_http_version 1.1)"
                )
            }
            Self::HttpVersion(version) => write!(f, "request is {version:?} and not HTTP/1.1"),
            Self::NoUpgrade => f.write_str("request does not ask for upgrade: websocket"),
            Self::Method(method) => write!(f, "method is {} and not GET", shorten(method.as_str())),
            Self::NoConnectionUpgrade => f.write_str("header connection does not name upgrade"),
            Self::Target => f.write_str("request target is not a path"),
            Self::Body => f.write_str("request has a body"),
            Self::Field(error) => error.fmt(f),
            Self::WebSocketVersion { found: Some(found) } => {
                write!(f, "websocket version is {found:?} and not 13")
            }
            Self::WebSocketVersion { found: None } => {
                f.write_str("websocket version is missing, expected 13")
            }
            Self::Key { length } => write!(
                f,
                "header sec-websocket-key of {length} characters is not the base64 of 16 bytes"
            ),
            Self::RepeatedSubprotocol { at } => {
                write!(f, "subprotocol {at} of the offer is offered twice")
            }
            Self::Extensions(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            Self::Field(error) => Some(error),
            Self::Extensions(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HeadError> for HandshakeError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<FieldError> for HandshakeError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<ExtensionError> for HandshakeError {
    fn from(error: ExtensionError) -> Self {
        Self::Extensions(error)
    }
}

/// Cuts what a peer sent to what a log line bears.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(error: &HandshakeError, name: &str) -> Option<String> {
        error.response().headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_405_names_the_method_allowed() {
        let error = HandshakeError::Method(Method::POST);
        assert_eq!((error.status().as_u16(), header(&error, "allow")), (405, Some("GET".into())));
    }

    #[test]
    fn a_426_names_protocol_and_version() {
        for error in [
            HandshakeError::NoUpgrade,
            HandshakeError::WebSocketVersion { found: Some("8".into()) },
        ] {
            assert_eq!(error.status().as_u16(), 426);
            assert_eq!(header(&error, "upgrade").as_deref(), Some("websocket"));
            assert_eq!(header(&error, "connection").as_deref(), Some("Upgrade"));
            assert_eq!(header(&error, "sec-websocket-version").as_deref(), Some("13"));
        }
    }

    #[test]
    fn old_http_is_a_400_and_new_http_a_505() {
        assert_eq!(HandshakeError::HttpVersion(Version::HTTP_10).status().as_u16(), 400);
        assert_eq!(HandshakeError::HttpVersion(Version::HTTP_2).status().as_u16(), 505);
    }

    #[test]
    fn the_body_says_what_was_wrong() {
        let error = HandshakeError::from(HeadError::TooManyHeaders { limit: 100 });
        assert_eq!(error.response().status().as_u16(), 431);
        assert_eq!(error.response().body(), "head exceeds the limit of 100 headers\n");
        let error = HandshakeError::Key { length: 20 };
        assert_eq!(
            error.response().body(),
            "header sec-websocket-key of 20 characters is not the base64 of 16 bytes\n"
        );
    }

    #[test]
    fn errors_are_send_and_sync() {
        fn check<T: Send + Sync + 'static>() {}
        check::<HandshakeError>();
    }
}
