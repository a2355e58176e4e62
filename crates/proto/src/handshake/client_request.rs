//! What a client asks for: a URL, and what it offers.

use std::fmt;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::bearer;
use super::extension::Extension;
use super::field;
use super::origin::split_authority;
use super::subprotocol::{self, Redacted};

/// The URL to connect to and everything a client may put into its opening handshake.
///
/// It may serve any number of attempts: [`ClientHandshake::new`](super::ClientHandshake::new) takes it by reference,
/// with a fresh key for each.
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::ClientRequest;
/// let request = ClientRequest::new("wss://example.com/chat?room=1")?.subprotocol("chat.v2").subprotocol("chat.v1");
/// assert_eq!((request.is_secure(), request.host(), request.port()), (true, "example.com", 443));
/// # Ok::<(), everwire_proto::handshake::RequestError>(())
/// ```
#[derive(Clone)]
pub struct ClientRequest {
    pub(super) uri: Uri,
    pub(super) subprotocols: Vec<String>,
    pub(super) extensions: Vec<Extension>,
    headers: HeaderMap,
    port: u16,
    is_secure: bool,
}

impl ClientRequest {
    /// Takes a `ws`, `wss`, `http` or `https` URL apart (RFC 6455 §3).
    ///
    /// # Errors
    /// The URL is none of these, or has a fragment or user information.
    pub fn new(url: &str) -> Result<Self, RequestError> {
        // §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used"; the type
        // `Uri` would drop one silently.
        if url.contains('#') {
            return Err(RequestError::Fragment);
        }
        let uri: Uri = url.parse().map_err(|_| RequestError::Url)?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let is_secure = match scheme.as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(RequestError::Scheme(scheme)),
        };
        let authority = uri.authority().ok_or(RequestError::Url)?.as_str();
        if authority.contains('@') {
            return Err(RequestError::UserInfo);
        }
        let (_, port) = split_authority(authority).ok_or(RequestError::Url)?;
        if port == Some(0) {
            return Err(RequestError::Url);
        }
        let port = port.unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self {
            uri,
            port,
            is_secure,
            subprotocols: Vec::new(),
            extensions: Vec::new(),
            headers: HeaderMap::new(),
        })
    }

    /// Sets the `Origin`, which clients other than browsers need not send (RFC 6455 §4.1 item 8).
    pub fn origin(self, origin: HeaderValue) -> Self {
        self.header(ORIGIN, origin)
    }

    /// Offers a subprotocol, after those offered before, which are preferred.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocols.push(subprotocol.into());
        self
    }

    /// Offers an extension, after those offered before, which are preferred.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Sets a header, instead of those of the same name. `Host` may be set.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds headers to those that are set.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        for (name, value) in &headers {
            self.headers.append(name, value.clone());
        }
        self
    }

    /// Tells whether the connection runs over TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Returns the host to connect to: a name, an IPv4 address, or an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// Returns the port to connect to; the default is 80, or 443 with TLS (RFC 6455 §3).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the headers to send beside the handshake's own, `Host` included, if all the choices can be sent.
    pub(super) fn checked_headers(&self) -> Result<HeaderMap, RequestError> {
        if let Some(name) = self.headers.keys().find(|name| field::is_reserved(name)) {
            return Err(RequestError::ReservedHeader(name.clone()));
        }
        for name in [HOST, ORIGIN] {
            if self.headers.get_all(&name).iter().count() > 1 {
                return Err(RequestError::RepeatedHeader(name));
            }
        }
        if let Some(at) = self.subprotocols.iter().position(|name| !field::is_token(name)) {
            return Err(RequestError::InvalidSubprotocol { at });
        }
        if let Some(at) = subprotocol::repeated(&self.subprotocols) {
            return Err(RequestError::RepeatedSubprotocol { at });
        }
        let mut headers = HeaderMap::new();
        // RFC 9110 §7.2: Host goes first.
        headers.insert(HOST, self.headers.get(HOST).cloned().unwrap_or_else(|| self.host_value()));
        headers.extend(self.headers.clone());
        bearer::mark_sensitive(&mut headers);
        Ok(headers)
    }

    /// §4.1 item 4: "/host/ plus optionally ":" followed by /port/ (when not using the default port)".
    fn host_value(&self) -> HeaderValue {
        let host = self.uri.host().unwrap_or_default();
        let is_default = self.port == if self.is_secure { 443 } else { 80 };
        let value = if is_default { host.to_owned() } else { format!("{host}:{}", self.port) };
        HeaderValue::try_from(value).expect("a host is visible ASCII")
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut headers = self.headers.clone();
        bearer::mark_sensitive(&mut headers);
        f.debug_struct("ClientRequest")
            .field("uri", &self.uri)
            .field("subprotocols", &Redacted(&self.subprotocols))
            .field("extensions", &self.extensions)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// Says why the caller's request cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The URL is malformed, or has no host (RFC 6455 §3).
    Url,
    /// The scheme is none of `ws`, `wss`, `http` and `https` (RFC 6455 §3).
    Scheme(String),
    /// The URL has a fragment (RFC 6455 §3).
    Fragment,
    /// The URL has a user name or a password (RFC 6455 §3 has no place for one).
    UserInfo,
    /// An offered subprotocol is not a token (RFC 6455 §4.1 item 10).
    InvalidSubprotocol {
        /// Its place in the offer, counted from 0.
        at: usize,
    },
    /// A subprotocol is offered twice (RFC 6455 §4.1 item 10).
    RepeatedSubprotocol {
        /// Its second place in the offer, counted from 0.
        at: usize,
    },
    /// The handshake itself sets this header (RFC 6455 §4.1), or it would frame a body (RFC 9112 §6).
    ReservedHeader(HeaderName),
    /// A header that may occur once is set more often (RFC 6455 §4.1 items 4 and 8).
    RepeatedHeader(HeaderName),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("url is malformed"),
            Self::Scheme(scheme) => {
                write!(f, "url scheme {scheme:?} is not ws, wss, http or https")
            }
            Self::Fragment => f.write_str("url has a fragment"),
            Self::UserInfo => {
                f.write_str("url has user information (set the authorization header instead)")
            }
            Self::InvalidSubprotocol { at } => {
                write!(f, "subprotocol {at} of the offer is not a token")
            }
            Self::RepeatedSubprotocol { at } => {
                write!(f, "subprotocol {at} of the offer is offered twice")
            }
            Self::ReservedHeader(name) => write!(f, "header {name} is set by the handshake"),
            Self::RepeatedHeader(name) => write!(f, "header {name} is set more than once"),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, is_secure: bool, host: &str, port: u16, header: &str) {
        let request = ClientRequest::new(url).unwrap();
        assert_eq!(
            (request.is_secure(), request.host(), request.port()),
            (is_secure, host, port),
            "{url}"
        );
        assert_eq!(request.checked_headers().unwrap()["host"], header, "{url}");
    }

    #[test]
    fn urls_are_taken_apart() {
        check("ws://example.com", false, "example.com", 80, "example.com");
        check("WSS://Example.com:443/x", true, "Example.com", 443, "Example.com");
        check("wss://example.com:80", true, "example.com", 80, "example.com:80");
        check("http://127.0.0.1:8080?x", false, "127.0.0.1", 8080, "127.0.0.1:8080");
        check("https://[::1]:8080/", true, "::1", 8080, "[::1]:8080");
        check("ws://example.com:/", false, "example.com", 80, "example.com");
    }

    #[test]
    fn bad_urls_are_errors() {
        for (url, expected) in [
            ("", RequestError::Url),
            ("ws://", RequestError::Url),
            ("ws://:80/", RequestError::Url),
            ("ws://a b/", RequestError::Url),
            ("ws://a:99999/", RequestError::Url),
            ("ws://a:0/", RequestError::Url),
            ("example.com", RequestError::Scheme(String::new())),
            ("/chat", RequestError::Scheme(String::new())),
            ("ftp://a/", RequestError::Scheme("ftp".into())),
            ("ws://a/#b", RequestError::Fragment),
            ("ws://a/#", RequestError::Fragment),
            ("ws://u:p@a/", RequestError::UserInfo),
        ] {
            assert_eq!(ClientRequest::new(url).unwrap_err(), expected, "{url}");
        }
    }

    #[track_caller]
    fn check_refused(add: impl Fn(ClientRequest) -> ClientRequest, expected: RequestError) {
        let request = add(ClientRequest::new("ws://a").unwrap());
        assert_eq!(request.checked_headers(), Err(expected));
    }

    #[test]
    fn headers_of_the_handshake_are_refused() {
        for name in [
            "upgrade",
            "connection",
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "sec-websocket-accept",
            "content-length",
            "transfer-encoding",
        ] {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_static("x");
            check_refused(
                |request| request.header(name.clone(), value.clone()),
                RequestError::ReservedHeader(name.clone()),
            );
        }
    }

    #[test]
    fn a_host_may_be_set_once() {
        let host = |value| (HOST, HeaderValue::from_static(value));
        let request =
            ClientRequest::new("ws://a").unwrap().headers([host("b")].into_iter().collect());
        assert_eq!(
            request.checked_headers().unwrap().get_all(HOST).iter().collect::<Vec<_>>(),
            ["b"]
        );
        let two: HeaderMap = [host("b"), host("c")].into_iter().collect();
        check_refused(|request| request.headers(two.clone()), RequestError::RepeatedHeader(HOST));
    }

    #[test]
    fn bad_subprotocols_are_refused() {
        for name in ["", "a b", "a,b", "a/b", "ä", "a\r\nb"] {
            check_refused(
                |request| request.subprotocol("x").subprotocol(name),
                RequestError::InvalidSubprotocol { at: 1 },
            );
        }
        check_refused(
            |request| request.subprotocol("x").subprotocol("x"),
            RequestError::RepeatedSubprotocol { at: 1 },
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let request = ClientRequest::new("ws://a").unwrap().subprotocol("everwire.bearer.c2VjcmV0");
        let request = request
            .header(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer c2VjcmV0"));
        assert!(!format!("{request:?}").contains("c2VjcmV0"));
    }
}
