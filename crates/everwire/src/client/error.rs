//! Why there is no connection.

use std::{error::Error, fmt, io, time::Duration};

use bytes::Bytes;
use everwire_proto::handshake::{ClientHandshakeError, RequestError};
use http::{
    HeaderMap, StatusCode,
    header::{LOCATION, RETRY_AFTER},
};

use crate::dial::{DialError, UrlError};

/// The reason why no connection came about.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller's URL cannot be connected to.
    Url(UrlError),
    /// The caller's header cannot be sent.
    Header {
        /// Its name.
        name: String,
    },
    /// What the caller chose cannot be asked for.
    Request(RequestError),
    /// The server could not be reached, or the time was up ([`DialError::Timeout`]).
    Dial(DialError),
    /// The connection broke during the opening handshake.
    Io(io::Error),
    /// The server closed the connection instead of answering.
    Closed {
        /// How many bytes of an answer had arrived.
        received: usize,
    },
    /// The server speaks TLS, and the URL says `ws`.
    Tls,
    /// The server's answer breaks RFC 6455 or HTTP.
    Handshake(ClientHandshakeError),
    /// The server refuses.
    Refused(Box<Refused>),
    /// The server redirects more often than allowed.
    TooManyRedirects {
        /// How many redirects are allowed.
        limit: usize,
        /// Where the last one leads.
        location: String,
    },
    /// The server redirects from `wss` to `ws`.
    InsecureRedirect {
        /// Where to.
        location: String,
    },
    /// The server redirects to something that cannot be connected to.
    BadRedirect {
        /// What it says.
        location: String,
        /// What is wrong with it.
        source: UrlError,
    },
}

impl ConnectError {
    /// Returns the status with which the server refused.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refused) => Some(refused.status),
            _ => None,
        }
    }

    /// Returns how long the server asks us to wait before the next attempt. See RFC 9110 §10.2.3.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after(),
            _ => None,
        }
    }

    /// Returns whether the time was up.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Dial(DialError::Timeout { .. }))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(source) => source.fmt(f),
            Self::Header { name } => write!(
                f,
                "header {name} cannot be sent: expected a token as the name and no control characters in the value"
            ),
            Self::Request(source) => write!(f, "request cannot be made: {source}"),
            Self::Dial(source) => source.fmt(f),
            Self::Io(source) => {
                write!(f, "connection broke during the opening handshake: {source}")
            }
            Self::Closed { received: 0 } => f.write_str(
                "server closed the connection without an answer: expected a response with status 101",
            ),
            Self::Closed { received } => write!(
                f,
                "server closed the connection after {received} bytes, in the head of its answer"
            ),
            Self::Tls => f.write_str("server speaks tls: use wss:// instead of ws://"),
            Self::Handshake(source) => {
                write!(f, "server's answer opens no websocket connection: {source}")
            }
            Self::Refused(refused) => refused.fmt(f),
            Self::TooManyRedirects { limit, location } => {
                write!(f, "server redirects more than {limit} times, last to {location}")
            }
            Self::InsecureRedirect { location } => write!(
                f,
                "server redirects from wss to the unencrypted {location}: connect there yourself if that is meant"
            ),
            Self::BadRedirect { location, source } => {
                write!(f, "server redirects to {location:?}: {source}")
            }
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message repeats the inner error, so the chain goes on below it.
        match self {
            Self::Request(source) => source.source(),
            Self::Dial(source) => source.source(),
            Self::Io(source) => source.source(),
            Self::Handshake(source) => source.source(),
            _ => None,
        }
    }
}

impl From<UrlError> for ConnectError {
    fn from(source: UrlError) -> Self {
        Self::Url(source)
    }
}

impl From<RequestError> for ConnectError {
    fn from(source: RequestError) -> Self {
        Self::Request(source)
    }
}

impl From<DialError> for ConnectError {
    fn from(source: DialError) -> Self {
        match source {
            DialError::Url(source) => Self::Url(source),
            source => Self::Dial(source),
        }
    }
}

/// A response that is not 101.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The first 4 KiB of the body, as far as it came in time.
    pub body: Bytes,
}

impl Refused {
    /// Returns how long the server asks us to wait. See RFC 9110 §10.2.3.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
    }

    /// Returns what the caller can do about it.
    fn advice(&self) -> Option<String> {
        Some(match self.status.as_u16() {
            200..=299 => "this path serves ordinary http: check the path".into(),
            301 | 302 | 303 | 307 | 308 => {
                let location = self.headers.get(LOCATION)?.to_str().ok()?;
                format!("it redirects to {location:?}: connect there, or allow redirects")
            }
            401 => "it wants other credentials".into(),
            403 => "check the credentials and the origin".into(),
            404 => "check the path".into(),
            429 | 503 => match self.retry_after() {
                Some(Duration::ZERO) => "try again now".into(),
                Some(after) => format!("try again in {after:?}"),
                None => "try again later".into(),
            },
            502 | 504 => "the proxy in front of it does not reach it".into(),
            _ => return None,
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server refuses with status {} instead of 101", self.status)?;
        let text = String::from_utf8_lossy(&self.body);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        // A page for people would say nothing in its first line.
        if !line.is_empty() && !line.starts_with('<') {
            let shown: String = line.chars().take(200).collect();
            write!(f, ", saying {shown:?}")?;
        }
        match self.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, fields: &[(&'static str, &str)], body: &str) -> Refused {
        let field = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        Refused {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields.iter().map(field).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn a_refusal_says_what_came_and_what_to_do() {
        let shown = refused(403, &[], "\n origin \x1b[1m not allowed\nmore").to_string();
        let expected = "server refuses with status 403 Forbidden instead of 101, saying \"origin \\u{1b}[1m not allowed\" (check the credentials and the origin)";
        assert_eq!(shown, expected);
        let shown = refused(503, &[("retry-after", "7")], "<html>").to_string();
        let expected =
            "server refuses with status 503 Service Unavailable instead of 101 (try again in 7s)";
        assert_eq!(shown, expected);
        for now in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let shown = refused(503, &[("retry-after", now)], "<html>").to_string();
            assert!(shown.ends_with("(try again now)"), "{shown}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value| refused(503, &[("retry-after", value)], "").retry_after();
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = std::time::SystemTime::now() + Duration::from_secs(60);
        let wait = refused(503, &[("retry-after", &httpdate::fmt_http_date(soon))], "");
        let wait = wait.retry_after().unwrap();
        assert!((58..=60).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(after("soon"), None);
    }
}
