//! Where a client wants to go: a WebSocket URL, checked and taken apart. See RFC 6455 §3.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use everwire_proto::handshake::ClientHandshake;
use url::Host;

use super::authority::{Authority, UrlError, bare_host, host_ip};
use super::credentials::Credentials;

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `ws`, port 80 unless the URL says otherwise.
    Ws,
    /// `wss`: TLS first, port 443 unless the URL says otherwise.
    Wss,
}

impl Scheme {
    /// Returns the port that a URL without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Returns the scheme as it is written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// A WebSocket URL that can be dialled.
///
/// `http` and `https` are read as `ws` and `wss`, because that is what people paste. The path and the query
/// are kept exactly as written. `Debug` hides the password and `Display` leaves the credentials out.
///
/// # Examples
/// ```
/// # use everwire::dial::Target;
/// let target = Target::parse("https://user:pass@Bücher.example:8443/live?room=1")?;
/// assert_eq!(target.to_string(), "wss://xn--bcher-kva.example:8443/live?room=1");
/// assert_eq!(target.host_header(), "xn--bcher-kva.example:8443");
/// # Ok::<(), everwire::dial::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    credentials: Option<Credentials>,
    host: Host,
    bare_host: String,
    port: u16,
    path_and_query: String,
}

impl Target {
    /// Parses an absolute `ws`, `wss`, `http` or `https` URL.
    ///
    /// Characters outside ASCII in the path and the query are percent-encoded as UTF-8; all else is left alone.
    ///
    /// # Errors
    /// [`UrlError`] says which part is wrong and what was expected. A fragment is refused, even an empty one:
    /// RFC 6455 §3 wants `#` written as `%23`.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let Authority { scheme, credentials, host, port, rest } = Authority::parse(url)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => Scheme::Ws,
            "wss" | "https" => Scheme::Wss,
            _ => {
                return Err(UrlError::Scheme {
                    found: scheme.to_owned(),
                    expected: "ws, wss, http or https",
                });
            }
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let port = port.unwrap_or(scheme.default_port());
        let bare_host = bare_host(&host);
        Ok(Self {
            scheme,
            credentials,
            host,
            bare_host,
            port,
            path_and_query: path_and_query(rest),
        })
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the credentials of the URL, for an `Authorization` header.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns the host in its ASCII form, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.bare_host
    }

    /// Returns the address if the host is a literal one, so that there is nothing to resolve.
    pub fn ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }

    /// Returns the port, which may be the scheme's default.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the request target of the opening handshake, `/` at least. See RFC 6455 §4.1.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Returns the bytes of a handshake's request, with path and query as they were written in the URL,
    /// characters that the types of `http` do not take included.
    pub fn encode_request(&self, handshake: &ClientHandshake) -> Vec<u8> {
        let mut fields = Vec::with_capacity(512);
        handshake.encode(&mut fields);
        let line_end = fields.iter().position(|&byte| byte == b'\n').expect("a head has lines");
        let mut head = format!("GET {} HTTP/1.1\r\n", self.path_and_query).into_bytes();
        head.extend_from_slice(&fields[line_end + 1..]);
        head
    }

    /// Returns the value of the `Host` header: the port is there unless it is the default. See RFC 6455 §4.1.
    pub fn host_header(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            self.host_and_port()
        }
    }

    /// Returns `host:port`, always with the port, as HTTP CONNECT wants it (RFC 9110 §9.3.6).
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for Target {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.host_header(), self.path_and_query)
    }
}

/// §3: the resource name is the path, `/` if it is empty, then `?` and the query if there is one.
fn path_and_query(rest: &str) -> String {
    let mut output = String::with_capacity(rest.len() + 1);
    if !rest.starts_with('/') {
        output.push('/');
    }
    for c in rest.chars() {
        if c.is_ascii() {
            output.push(c);
        } else {
            let mut utf8 = [0; 4];
            output.extend(
                c.encode_utf8(&mut utf8).bytes().map(percent_encoding::percent_encode_byte),
            );
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(Target::parse(url).unwrap().to_string(), expected);
    }

    #[track_caller]
    fn check_err(url: &str, expected: &str) {
        assert_eq!(Target::parse(url).unwrap_err().to_string(), expected);
    }

    #[test]
    fn http_spellings_are_read_as_websocket_ones() {
        check("http://example.com/a", "ws://example.com/a");
        check("HTTPS://example.com/a", "wss://example.com/a");
    }

    #[test]
    fn default_port_is_left_out_of_the_host_header() {
        let target = |url| Target::parse(url).unwrap();
        assert_eq!(target("ws://example.com:80/").host_header(), "example.com");
        assert_eq!(target("wss://example.com").host_header(), "example.com");
        assert_eq!(target("wss://example.com:80").host_header(), "example.com:80");
        assert_eq!(target("wss://example.com").host_and_port(), "example.com:443");
    }

    #[test]
    fn path_and_query_are_kept_exactly() {
        check("ws://h/a/../b//c;d=%2f?x=%20&y=/?z", "ws://h/a/../b//c;d=%2f?x=%20&y=/?z");
        check("ws://h", "ws://h/");
        check("ws://h?x=1", "ws://h/?x=1");
        check("ws://h/chat/ü", "ws://h/chat/%C3%BC");
    }

    #[test]
    fn ipv6_literals_lose_their_brackets_only_outside_the_header() {
        let target = Target::parse("ws://[2001:DB8::1]:8080/").unwrap();
        assert_eq!(target.host(), "2001:db8::1");
        assert_eq!(target.host_header(), "[2001:db8::1]:8080");
        assert_eq!(target.ip(), Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_name_becomes_ascii() {
        check("ws://Bücher.Example/", "ws://xn--bcher-kva.example/");
        assert_eq!(Target::parse("ws://example.com").unwrap().ip(), None);
    }

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        let target = Target::parse("wss://me%40corp:s3cret@example.com/").unwrap();
        assert_eq!(target.credentials().unwrap().user(), "me@corp");
        assert_eq!(target.to_string(), "wss://example.com/");
        assert!(!format!("{target:?}").contains("s3cret"));
    }

    #[test]
    fn a_fragment_is_refused() {
        let message = "url has a fragment, which a websocket url must not have: write # as %23";
        check_err("ws://h/a#b", message);
        check_err("ws://h/#", message);
        check_err("ws://h#x", message);
    }

    #[test]
    fn errors_say_what_was_expected() {
        check_err(
            "example.com",
            "url has no scheme: expected something like wss://example.com/path",
        );
        check_err(
            "ftp://h",
            "url scheme \"ftp\" is not supported: expected ws, wss, http or https",
        );
        check_err("ws:///a", "url has no host: expected something like wss://example.com/path");
        check_err("ws://:80/a", "url has no host: expected something like wss://example.com/path");
        check_err("ws://h:0/", "url port \"0\" is invalid: expected a number from 1 to 65535");
        check_err("ws://h:+80/", "url port \"+80\" is invalid: expected a number from 1 to 65535");
        check_err(
            "ws://h:65536/",
            "url port \"65536\" is invalid: expected a number from 1 to 65535",
        );
        check_err(
            "ws://h/a b",
            "url contains the character ' ': expected it percent-encoded or removed",
        );
        check_err(
            "ws://h/a\r\nX: y",
            "url contains the character '\\r': expected it percent-encoded or removed",
        );
    }

    #[test]
    fn broken_hosts_are_refused() {
        for url in [
            "ws://[::1/",
            "ws://[::1]x/",
            "ws://a^b/",
            "ws://h\\evil/",
            "ws://1.2.3.4.5/",
            "ws://::1/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_is_read_back_the_same(
            url in "(wss?|https?)://([a-z%0-9:]{0,6}@)?([a-z0-9.]{0,9}|\\[[0-9a-f:.]{0,9}\\])(:[0-9]{0,6})?[/?#ü%\"\\\\a-z]{0,8}"
        ) {
            if let Ok(target) = Target::parse(&url) {
                let again = Target::parse(&target.to_string()).unwrap();
                assert_eq!(again.to_string(), target.to_string());
                assert!(http::HeaderValue::try_from(target.host_header()).is_ok());
            }
        }

        #[test]
        fn no_characters_panic(url in "\\PC{0,40}") {
            let _ = Target::parse(&url);
            let _ = Target::parse(&format!("ws://{url}"));
        }
    }
}
