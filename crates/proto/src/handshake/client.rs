//! The client's half of the opening handshake.

use std::fmt;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};

use super::bearer;
use super::client_error::ClientHandshakeError;
use super::client_request::{ClientRequest, RequestError};
use super::error::shorten;
use super::extension::{self, Extension};
use super::field;
use super::key;
use super::request::encode_request;

/// A client's opening handshake, waiting for the answer (RFC 6455 §4.1).
///
/// Write what [`encode`](Self::encode) appends, read the response with a [`HeadReader`](super::HeadReader), and
/// [`verify`](Self::verify) it. Responses of an informational status other than 101 come before the answer: pass over them.
#[derive(Clone)]
pub struct ClientHandshake {
    request: Request<()>,
    accept_key: String,
    subprotocols: Vec<String>,
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
            subprotocols: request.subprotocols.clone(),
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
            Some(chosen) if self.subprotocols.iter().any(|offered| offered == chosen) => {
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

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request shows the offer, but for a token in it.
        f.debug_struct("ClientHandshake").field("request", &self.request).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
