//! The client's half of the opening handshake.

use std::fmt;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};

use super::bearer;
use super::client_request::{ClientRequest, RequestError};
use super::error::shorten;
use super::extension::{self, Extension, ExtensionError};
use super::field::{self, FieldError};
use super::head::HeadError;
use super::key;
use super::request::encode_request;

/// A client's opening handshake, waiting for the answer (RFC 6455 §4.1).
///
/// Write what [`encode`](Self::encode) appends, read the response with a [`HeadReader`](super::HeadReader), and
/// [`verify`](Self::verify) it. Responses of an informational status other than 101 come before the answer: pass over them.
#[derive(Debug, Clone)]
pub struct ClientHandshake {
    request: Request<()>,
    accept_key: String,
    subprotocols: Secret<Vec<String>>,
    extensions: Vec<Extension>,
}

/// What client and server have agreed upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The subprotocol, of those that were offered; `None` if the server chose none.
    pub subprotocol: Option<String>,
    /// The extensions, of those that were offered, each once. Their parameters are theirs to check.
    pub extensions: Vec<Extension>,
}

impl ClientHandshake {
    /// Makes the request of one attempt.
    ///
    /// `key` is 16 random bytes, fresh for each attempt (RFC 6455 §4.1 item 7: "The nonce MUST be selected randomly").
    ///
    /// # Errors
    /// A header is the handshake's own, or a subprotocol is not a token or offered twice.
    pub fn new(request: &ClientRequest, key: [u8; 16]) -> Result<Self, RequestError> {
        let mut headers = request.checked_headers()?;
        let key = key::encode_key(key);
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(
            SEC_WEBSOCKET_KEY,
            HeaderValue::try_from(key.as_str()).expect("base64 is ASCII"),
        );
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if !request.subprotocols.is_empty() {
            let value =
                HeaderValue::try_from(request.subprotocols.join(", ")).expect("tokens are ASCII");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        if let Some(value) = extension::list_value(&request.extensions) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        bearer::mark_sensitive(&mut headers);
        let mut message = Request::new(());
        *message.uri_mut() = resource_name(&request.uri);
        *message.headers_mut() = headers;
        Ok(Self {
            request: message,
            accept_key: key::accept_key(&key),
            subprotocols: Secret(request.subprotocols.clone()),
            extensions: request.extensions.clone(),
        })
    }

    /// Returns the request, its target in origin form.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// Appends the request as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_request(&self.request, out);
    }

    /// Checks the answer against RFC 6455 §4.1 and returns what the server has chosen.
    ///
    /// The bytes behind the head are the first frames.
    ///
    /// # Errors
    /// The server refuses ([`ClientHandshakeError::Refused`]), or its answer breaks the protocol: close the transport.
    pub fn verify<B>(&self, response: &Response<B>) -> Result<Agreed, ClientHandshakeError> {
        let headers = response.headers();
        // Item 1.
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientHandshakeError::Refused { status: response.status() });
        }
        // RFC 9110 §15.2: HTTP/1.0 has no 1xx; HTTP/2 has no 101.
        if response.version() != Version::HTTP_11 {
            return Err(ClientHandshakeError::HttpVersion(response.version()));
        }
        // Item 2: the value is "websocket" and not, as in the request, a list with it.
        let upgrade = field::required(headers, &UPGRADE)?;
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Err(ClientHandshakeError::Upgrade { found: shorten(upgrade) });
        }
        // Item 3.
        if !field::has_token(headers, &CONNECTION, "upgrade") {
            return Err(ClientHandshakeError::NoConnectionUpgrade);
        }
        // Item 4.
        if field::required(headers, &SEC_WEBSOCKET_ACCEPT)? != self.accept_key {
            return Err(ClientHandshakeError::Accept);
        }
        Ok(Agreed {
            subprotocol: self.agreed_subprotocol(headers)?,
            extensions: self.agreed_extensions(headers)?,
        })
    }

    /// Item 6.
    fn agreed_subprotocol(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<String>, ClientHandshakeError> {
        match field::single(headers, &SEC_WEBSOCKET_PROTOCOL)? {
            None => Ok(None),
            Some(chosen) if self.subprotocols.0.iter().any(|offered| offered == chosen) => {
                Ok(Some(chosen.to_owned()))
            }
            Some(chosen) => {
                Err(ClientHandshakeError::SubprotocolNotOffered { found: shorten(chosen) })
            }
        }
    }

    /// Item 5.
    fn agreed_extensions(
        &self,
        headers: &HeaderMap,
    ) -> Result<Vec<Extension>, ClientHandshakeError> {
        let chosen = Extension::parse_headers(headers)?;
        for (at, extension) in chosen.iter().enumerate() {
            let has_name = |other: &Extension| other.name() == extension.name();
            if !self.extensions.iter().any(has_name) {
                return Err(ClientHandshakeError::ExtensionNotOffered {
                    found: shorten(extension.name()),
                });
            }
            // One offer in several variants is one choice; RFC 7692 §5: a client fails on what it cannot make sense of.
            if chosen[..at].iter().any(has_name) {
                return Err(ClientHandshakeError::RepeatedExtension {
                    found: shorten(extension.name()),
                });
            }
        }
        Ok(chosen)
    }
}

/// §3: `resource-name = path or "/", [ "?" query ]`.
fn resource_name(uri: &Uri) -> Uri {
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    let name = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    name.parse().expect("path and query come from a URI")
}

/// Says why the server's answer does not open a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientHandshakeError {
    /// The bytes are no acceptable head of a response (RFC 9112 §4).
    Head(HeadError),
    /// The server answers with another status than 101 (RFC 6455 §4.1 item 1). Its headers and body say more.
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// The response is not HTTP/1.1 (RFC 6455 §4.2.2 item 5.1).
    HttpVersion(Version),
    /// `Upgrade` is not `websocket` (RFC 6455 §4.1 item 2).
    Upgrade {
        /// What it is, shortened.
        found: String,
    },
    /// `Connection` does not name `upgrade` (RFC 6455 §4.1 item 3).
    NoConnectionUpgrade,
    /// `Sec-WebSocket-Accept` does not answer our key (RFC 6455 §4.1 item 4): a cache, or no WebSocket server.
    Accept,
    /// A header field is missing, repeated or malformed (RFC 6455 §4.1 items 2, 4 and 6).
    Field(FieldError),
    /// The server chose a subprotocol we have not offered (RFC 6455 §4.1 item 6).
    SubprotocolNotOffered {
        /// Its name, shortened.
        found: String,
    },
    /// The server chose an extension we have not offered (RFC 6455 §4.1 item 5).
    ExtensionNotOffered {
        /// Its name, shortened.
        found: String,
    },
    /// The server chose an extension twice (RFC 6455 §9.1).
    RepeatedExtension {
        /// Its name, shortened.
        found: String,
    },
    /// The chosen extensions are malformed (RFC 6455 §9.1).
    Extensions(ExtensionError),
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Refused { status } => write!(f, "server answers with {status} and not with 101"),
            Self::HttpVersion(version) => write!(f, "response is {version:?} and not HTTP/1.1"),
            Self::Upgrade { found } => write!(f, "header upgrade is {found:?} and not websocket"),
            Self::NoConnectionUpgrade => f.write_str("header connection does not name upgrade"),
            Self::Accept => f.write_str("header sec-websocket-accept does not answer the key"),
            Self::Field(error) => error.fmt(f),
            Self::SubprotocolNotOffered { found } => {
                write!(f, "server chose subprotocol {found:?}, which was not offered")
            }
            Self::ExtensionNotOffered { found } => {
                write!(f, "server chose extension {found:?}, which was not offered")
            }
            Self::RepeatedExtension { found } => {
                write!(f, "server chose extension {found:?} twice")
            }
            Self::Extensions(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientHandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            Self::Field(error) => Some(error),
            Self::Extensions(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HeadError> for ClientHandshakeError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<FieldError> for ClientHandshakeError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<ExtensionError> for ClientHandshakeError {
    fn from(error: ExtensionError) -> Self {
        Self::Extensions(error)
    }
}

/// Holds what may be a token: the request shows the rest of it.
#[derive(Clone)]
struct Secret<T>(T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::handshake::{BearerToken, HeadLimits, parse_response};

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
        Sec-WebSocket-Extensions: x; a=1\r\n\r\n";

    fn handshake() -> ClientHandshake {
        let request = ClientRequest::new("ws://server.example.com:8080/chat?x=1").unwrap();
        let request = request
            .subprotocol("chat")
            .subprotocol("super")
            .origin(HeaderValue::from_static("http://a"));
        let request = ["x", "x", "y"]
            .iter()
            .fold(request, |request, name| request.extension(Extension::new(name).unwrap()));
        ClientHandshake::new(&request, *b"the sample nonce").unwrap()
    }

    fn verify(line: &str, replacement: &str) -> Result<Agreed, ClientHandshakeError> {
        assert!(ANSWER.contains(line), "{line}");
        let replacement =
            if replacement.is_empty() { String::new() } else { format!("{replacement}\r\n") };
        let answer = ANSWER.replace(&format!("{line}\r\n"), &replacement);
        let (response, _) =
            parse_response(answer.as_bytes(), &HeadLimits::default()).unwrap().expect("complete");
        handshake().verify(&response)
    }

    #[track_caller]
    fn check(line: &str, replacement: &str, expected: impl Into<ClientHandshakeError>) {
        assert_eq!(verify(line, replacement), Err(expected.into()), "{replacement}");
    }

    const STATUS: &str = "HTTP/1.1 101 Switching Protocols";
    const UPGRADE_LINE: &str = "Upgrade: websocket";
    const CONNECTION_LINE: &str = "Connection: Upgrade";
    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const PROTOCOL: &str = "Sec-WebSocket-Protocol: chat";
    const EXTENSIONS: &str = "Sec-WebSocket-Extensions: x; a=1";

    fn twice(name: HeaderName) -> FieldError {
        FieldError::Repeated { name, count: 2 }
    }

    #[test]
    fn the_request_is_that_of_the_rfc() {
        let mut out = Vec::new();
        handshake().encode(&mut out);
        let expected = "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com:8080\r\nOrigin: http://a\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Protocol: chat, super\r\nSec-WebSocket-Extensions: x, x, y\r\n\r\n";
        assert_eq!(str::from_utf8(&out), Ok(expected));
        assert_eq!(handshake().request().uri(), "/chat?x=1");
    }

    #[test]
    fn without_an_offer_nothing_is_offered() {
        let handshake =
            ClientHandshake::new(&ClientRequest::new("ws://a?q").unwrap(), [0; 16]).unwrap();
        assert_eq!(handshake.request().uri(), "/?q");
        assert!(!handshake.request().headers().contains_key("sec-websocket-protocol"));
        assert!(!handshake.request().headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn a_right_answer_tells_what_was_agreed() {
        let extensions = Extension::parse_list("x; a=1").unwrap();
        assert_eq!(
            verify(STATUS, STATUS),
            Ok(Agreed { subprotocol: Some("chat".into()), extensions })
        );
        assert_eq!(verify(PROTOCOL, "").unwrap().subprotocol, None);
        assert_eq!(
            verify(EXTENSIONS, "Sec-WebSocket-Extensions: y\r\nSec-WebSocket-Extensions: x")
                .unwrap()
                .extensions
                .len(),
            2
        );
        assert!(verify(UPGRADE_LINE, "UPGRADE:  WebSocket ").is_ok());
        assert!(verify(CONNECTION_LINE, "Connection: keep-alive, upgrade").is_ok());
    }

    #[test]
    fn another_status_is_a_refusal() {
        for status in [100, 200, 301, 401, 403, 426, 503] {
            let expected =
                ClientHandshakeError::Refused { status: StatusCode::from_u16(status).unwrap() };
            check(STATUS, &format!("HTTP/1.0 {status} X"), expected);
        }
    }

    #[test]
    fn http_1_0_cannot_switch() {
        check(STATUS, "HTTP/1.0 101 X", ClientHandshakeError::HttpVersion(Version::HTTP_10));
    }

    #[test]
    fn upgrade_is_websocket_alone() {
        check(UPGRADE_LINE, "", FieldError::Missing(UPGRADE));
        check(UPGRADE_LINE, "Upgrade: websocket\r\nUpgrade: websocket", twice(UPGRADE));
        for found in ["h2c", "websocket, h2c", "websockets", ""] {
            check(
                UPGRADE_LINE,
                &format!("Upgrade: {found}"),
                ClientHandshakeError::Upgrade { found: found.into() },
            );
        }
    }

    #[test]
    fn connection_names_upgrade() {
        for line in ["", "Connection: close", "Connection: upgraded"] {
            check(CONNECTION_LINE, line, ClientHandshakeError::NoConnectionUpgrade);
        }
    }

    #[test]
    fn the_key_is_answered_once_and_rightly() {
        check(ACCEPT, "", FieldError::Missing(SEC_WEBSOCKET_ACCEPT));
        check(ACCEPT, &format!("{ACCEPT}\r\n{ACCEPT}"), twice(SEC_WEBSOCKET_ACCEPT));
        for value in [
            "",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
            "S3PPLMBITXAQ9KYGZZHZRBK+XOO=",
            "dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            check(ACCEPT, &format!("Sec-WebSocket-Accept: {value}"), ClientHandshakeError::Accept);
        }
    }

    #[test]
    fn the_subprotocol_was_offered() {
        check(PROTOCOL, &format!("{PROTOCOL}\r\n{PROTOCOL}"), twice(SEC_WEBSOCKET_PROTOCOL));
        for found in ["", "Chat", "other", "chat, super"] {
            let expected = ClientHandshakeError::SubprotocolNotOffered { found: found.into() };
            check(PROTOCOL, &format!("Sec-WebSocket-Protocol: {found}"), expected);
        }
    }

    #[test]
    fn the_extensions_were_offered() {
        check(
            EXTENSIONS,
            "Sec-WebSocket-Extensions: x, z",
            ClientHandshakeError::ExtensionNotOffered { found: "z".into() },
        );
        check(
            EXTENSIONS,
            "Sec-WebSocket-Extensions: x, x",
            ClientHandshakeError::RepeatedExtension { found: "x".into() },
        );
        check(EXTENSIONS, "Sec-WebSocket-Extensions:", ExtensionError::Empty);
        check(EXTENSIONS, "Sec-WebSocket-Extensions: x;", ExtensionError::Malformed { at: 2 });
    }

    #[test]
    fn debug_shows_no_token() {
        let request = ClientRequest::new("ws://a")
            .unwrap()
            .subprotocol(BearerToken::to_subprotocol("secret"));
        let handshake = ClientHandshake::new(&request.subprotocol("chat"), [0; 16]).unwrap();
        assert!(!format!("{handshake:?}").contains("c2VjcmV0"), "{handshake:?}");
    }

    #[test]
    fn errors_carry_their_numbers() {
        let error = ClientHandshakeError::Refused { status: StatusCode::FORBIDDEN };
        assert_eq!(error.to_string(), "server answers with 403 Forbidden and not with 101");
    }
}
