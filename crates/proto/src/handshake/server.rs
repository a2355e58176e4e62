//! The server's half of the opening handshake.

use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    request::Parts,
};

use super::error::{HandshakeError, shorten};
use super::extension::{self, Extension};
use super::field::{self, FieldError};
use super::key;
use super::origin;
use super::subprotocol::{self, Redacted};

/// Tells whether the request asks for a WebSocket at all; if not, it is ordinary HTTP.
///
/// Nothing else about it is checked: [`ServerHandshake::verify`] says what is missing. A request of HTTP/1.0 asks as well,
/// in vain: RFC 9110 §7.8 forbids to switch, and whoever sent it should hear that.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    field::has_token(request.headers(), &UPGRADE, "websocket")
}

/// A client's opening handshake that has passed every check of RFC 6455 §4.2.1.
///
/// Look at what it offers, authenticate it, then [`accept`](Self::accept) it, or answer with a
/// [`Rejection`](super::Rejection). The origin is *not* judged yet: ask [`is_same_origin`](Self::is_same_origin), or
/// compare [`origin`](Self::origin) with a list of your own, and answer 403.
#[derive(Clone)]
pub struct ServerHandshake {
    accept_key: String,
    host: String,
    origin: Option<String>,
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
}

/// What a server chooses from the offer, and adds to its answer.
#[derive(Debug, Clone, Default)]
pub struct AcceptOptions {
    /// The chosen subprotocol, of those that were offered.
    pub subprotocol: Option<String>,
    /// The chosen extensions, of those that were offered, with the agreed parameters.
    pub extensions: Vec<Extension>,
    /// Further headers, such as `Set-Cookie`.
    pub headers: HeaderMap,
}

impl ServerHandshake {
    /// Checks a request, whoever parsed it, against RFC 6455 §4.2.1.
    ///
    /// # Errors
    /// The request does not open a connection: answer with [`HandshakeError::response`].
    pub fn verify<B>(request: &Request<B>) -> Result<Self, HandshakeError> {
        Self::check(request.method(), request.uri(), request.version(), request.headers())
    }

    /// Does what [`verify`](Self::verify) does, for a request taken apart.
    ///
    /// # Errors
    /// The request does not open a connection: answer with [`HandshakeError::response`].
    pub fn verify_parts(parts: &Parts) -> Result<Self, HandshakeError> {
        Self::check(&parts.method, &parts.uri, parts.version, &parts.headers)
    }

    fn check(
        method: &Method,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Self, HandshakeError> {
        // Item 1: "An HTTP/1.1 or higher GET request"; higher means 1.x, as HTTP/2 has no Upgrade (RFC 9113 §8.6).
        if version != Version::HTTP_11 {
            return Err(HandshakeError::HttpVersion(version));
        }
        // Item 3 goes first: who does not ask for a WebSocket should hear that, whatever the method.
        if !field::has_token(headers, &UPGRADE, "websocket") {
            return Err(HandshakeError::NoUpgrade);
        }
        if method != Method::GET {
            return Err(HandshakeError::Method(method.clone()));
        }
        // Item 4.
        if !field::has_token(headers, &CONNECTION, "upgrade") {
            return Err(HandshakeError::NoConnectionUpgrade);
        }
        if !uri.path().starts_with('/') {
            return Err(HandshakeError::Target);
        }
        check_body(headers)?;
        let host = check_host(uri, headers)?;
        check_websocket_version(headers)?;
        let accept_key = check_key(headers)?;
        let origin = field::single(headers, &ORIGIN)?.map(str::to_owned);
        let subprotocols = check_subprotocols(headers)?;
        let extensions = Extension::parse_headers(headers)?;
        Ok(Self { accept_key, host, origin, subprotocols, extensions })
    }

    /// Returns the 101 that opens the connection (RFC 6455 §4.2.2 item 5).
    ///
    /// Write it with [`encode_response_head`](super::encode_response_head), or hand it to the HTTP server that parsed the
    /// request; the connection is open as soon as it is on its way.
    ///
    /// # Errors
    /// The choice is not one the client has offered, or a header is the handshake's own.
    pub fn accept(self, options: AcceptOptions) -> Result<Response<()>, ResponseError> {
        let AcceptOptions { subprotocol, extensions, mut headers } = options;
        if let Some(name) = headers.keys().find(|name| field::is_reserved(name)) {
            return Err(ResponseError::ReservedHeader(name.clone()));
        }
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            HeaderValue::try_from(self.accept_key.as_str()).expect("base64 is ASCII"),
        );
        if let Some(subprotocol) = subprotocol {
            if subprotocol::is_secret(&subprotocol) {
                return Err(ResponseError::SecretSubprotocol);
            }
            if !self.subprotocols.contains(&subprotocol) {
                return Err(ResponseError::SubprotocolNotOffered(subprotocol));
            }
            let value = HeaderValue::try_from(subprotocol).expect("what was offered is a token");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        let is_offered = |chosen: &Extension| {
            self.extensions.iter().any(|offered| offered.name() == chosen.name())
        };
        if let Some(chosen) = extensions.iter().find(|chosen| !is_offered(chosen)) {
            return Err(ResponseError::ExtensionNotOffered(chosen.name().to_owned()));
        }
        if let Some(value) = extension::list_value(&extensions) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Returns the first subprotocol of `preference` that the client offers, compared case-sensitively.
    ///
    /// The order is the server's own (RFC 6455 §4.2.2 item 5.5 leaves it free). A token in disguise
    /// ([`BearerToken`](super::BearerToken)) is never returned.
    pub fn select_subprotocol(&self, preference: &[impl AsRef<str>]) -> Option<&str> {
        let offered = |wanted: &str| {
            self.subprotocols.iter().map(String::as_str).find(|offered| *offered == wanted)
        };
        preference
            .iter()
            .filter_map(|wanted| offered(wanted.as_ref()))
            .find(|found| !subprotocol::is_secret(found))
    }

    /// Tells whether the request comes from a page of this server, or from no browser. See
    /// [`is_same_origin`](super::is_same_origin()).
    pub fn is_same_origin(&self) -> bool {
        origin::is_same_origin(self.origin(), &self.host)
    }

    /// Returns the server's authority as the client knows it.
    ///
    /// It is that of the request target, if the target has one (RFC 9112 §3.2.2), else the `Host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the `Origin`, which browsers always send (RFC 6455 §4.2.1 item 7).
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns the offered subprotocols in the client's order, tokens in disguise included.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// Returns the offered extensions in the client's order; one may be offered several times.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake")
            .field("host", &self.host)
            .field("origin", &self.origin)
            .field("subprotocols", &Redacted(&self.subprotocols))
            .field("extensions", &self.extensions)
            .finish_non_exhaustive()
    }
}

/// RFC 6455 knows no body: what follows the head are frames, and a proxy that sees a body there would be fooled.
fn check_body(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let length = field::single(headers, &CONTENT_LENGTH)?;
    let is_zero = |length: &str| !length.is_empty() && length.bytes().all(|byte| byte == b'0');
    if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| !is_zero(length)) {
        return Err(HandshakeError::Body);
    }
    Ok(())
}

/// Item 2: "A |Host| header field containing the server's authority."
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<String, HandshakeError> {
    let host = field::required(headers, &HOST)?;
    let host = uri.authority().map_or(host, |authority| authority.as_str());
    match origin::split_authority(host) {
        Some(_) => Ok(host.to_owned()),
        None => Err(FieldError::Malformed(HOST).into()),
    }
}

/// Item 6: "A |Sec-WebSocket-Version| header field, with a value of 13."
fn check_websocket_version(headers: &HeaderMap) -> Result<(), HandshakeError> {
    match field::single(headers, &SEC_WEBSOCKET_VERSION)? {
        Some("13") => Ok(()),
        found => Err(HandshakeError::WebSocketVersion { found: found.map(shorten) }),
    }
}

/// Item 5; returns the value of `Sec-WebSocket-Accept`.
fn check_key(headers: &HeaderMap) -> Result<String, HandshakeError> {
    let key = field::required(headers, &SEC_WEBSOCKET_KEY)?;
    if key::is_key(key) {
        Ok(key::accept_key(key))
    } else {
        Err(HandshakeError::Key { length: key.len() })
    }
}

/// Item 8.
fn check_subprotocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let subprotocols = field::token_list(headers, &SEC_WEBSOCKET_PROTOCOL)?;
    match subprotocol::repeated(&subprotocols) {
        Some(at) => Err(HandshakeError::RepeatedSubprotocol { at }),
        None => Ok(subprotocols.into_iter().map(str::to_owned).collect()),
    }
}

/// Says why the server's own choice cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The client has not offered this subprotocol (RFC 6455 §4.2.2 item 5.5).
    SubprotocolNotOffered(String),
    /// The subprotocol carries a token, which does not belong into an answer.
    SecretSubprotocol,
    /// The client has not offered this extension (RFC 6455 §4.2.2 item 5.6).
    ExtensionNotOffered(String),
    /// The handshake itself sets this header, or it would frame a body (RFC 9110 §8.6).
    ReservedHeader(HeaderName),
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubprotocolNotOffered(name) => {
                write!(f, "subprotocol {name:?} was not offered by the client")
            }
            Self::SecretSubprotocol => {
                f.write_str("subprotocol that carries a token cannot be chosen")
            }
            Self::ExtensionNotOffered(name) => {
                write!(f, "extension {name:?} was not offered by the client")
            }
            Self::ReservedHeader(name) => write!(f, "header {name} is set by the handshake"),
        }
    }
}

impl std::error::Error for ResponseError {}

#[cfg(test)]
mod tests;
