//! The head of an HTTP/1.1 message: where it ends, how large it may be, how it is read.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

use super::field::{self, FieldError};
use super::{request, response};

/// Bounds for the head of a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The bytes of the whole head, the empty line at its end included.
    pub bytes: usize,
    /// The number of header lines.
    pub headers: usize,
}

impl Default for HeadLimits {
    /// Returns 16 KiB and 100 headers.
    fn default() -> Self {
        Self { bytes: 16 * 1024, headers: 100 }
    }
}

/// Reads heads that arrive in pieces, looking at each byte once.
///
/// Give it the whole of what has arrived so far each time; it remembers how far it has looked, and runs the parser only
/// when the empty line has arrived. What can never become a head (a TLS hello on a plain port) fails at once.
///
/// After a failure it stays failed. After a head it is new again: a client that got `100 Continue` or `103 Early Hints`
/// ([`StatusCode::is_informational`], but not 101) removes that head from its buffer and reads the next one.
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::{HeadLimits, HeadReader};
/// let mut reader = HeadReader::new(HeadLimits::default());
/// let mut received = b"GET /chat HTTP/1.1\r\nHo".to_vec();
/// assert!(reader.request(&received)?.is_none());
/// received.extend_from_slice(b"st: example.com\r\n\r\nfirst frame");
/// let (request, length) = reader.request(&received)?.expect("the head is complete");
/// assert_eq!(request.uri().path(), "/chat");
/// assert_eq!(&received[length..], b"first frame");
/// # Ok::<(), everwire_proto::handshake::HeadError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    limits: HeadLimits,
    scanned: usize,
    line_start: usize,
    n_lines: usize,
    failure: Option<HeadError>,
}

impl HeadReader {
    /// Returns a reader that has seen nothing.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads a request and the length of its head, or `None` while the head is incomplete.
    ///
    /// `buf` begins with what it began with in the call before. The bytes behind the head are the caller's.
    ///
    /// # Errors
    /// The head is too large or malformed: answer with [`HeadError::status`] and close.
    pub fn request(&mut self, buf: &[u8]) -> Result<Option<(Request<()>, usize)>, HeadError> {
        let Some((head, n_headers)) = self.scan(buf)? else { return Ok(None) };
        Ok(Some((request::parse_head(head, n_headers)?, head.len())))
    }

    /// Reads a response and the length of its head, or `None` while the head is incomplete.
    ///
    /// # Errors
    /// The head is too large or malformed: close the connection.
    pub fn response(&mut self, buf: &[u8]) -> Result<Option<(Response<()>, usize)>, HeadError> {
        let Some((head, n_headers)) = self.scan(buf)? else { return Ok(None) };
        Ok(Some((response::parse_head(head, n_headers)?, head.len())))
    }

    /// Looks for the end of the head; returns the head and its number of header lines. A failure is final.
    fn scan<'b>(&mut self, buf: &'b [u8]) -> Result<Option<(&'b [u8], usize)>, HeadError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        self.scan_new(buf).inspect_err(|error| self.failure = Some(error.clone()))
    }

    fn scan_new<'b>(&mut self, buf: &'b [u8]) -> Result<Option<(&'b [u8], usize)>, HeadError> {
        let limit = self.limits.bytes;
        let end = buf.len().min(limit);
        self.check_start(&buf[..end])?;
        while let Some(found) = find_control(&buf[self.scanned..end]) {
            let at = self.scanned + found;
            self.scanned = at + 1;
            match buf[at] {
                b'\n' => {
                    let line = &buf[self.line_start..at];
                    self.line_start = at + 1;
                    if !matches!(line, b"" | b"\r") {
                        self.n_lines += 1;
                    } else if self.n_lines > 0 {
                        let n_headers = self.n_lines - 1;
                        *self = Self::new(self.limits);
                        return Ok(Some((&buf[..=at], n_headers)));
                    }
                    // RFC 9112 §2.2: empty lines before the request line are ignored.
                    if self.n_lines.saturating_sub(1) > self.limits.headers {
                        return Err(HeadError::TooManyHeaders { limit: self.limits.headers });
                    }
                    self.check_start(&buf[..end])?;
                }
                b'\r' | b'\t' => {}
                _ => return Err(HeadError::Malformed("control character")),
            }
        }
        self.scanned = end;
        if end == limit { Err(HeadError::TooLong { limit }) } else { Ok(None) }
    }

    /// Looks at the first byte of the start line, once it is there.
    fn check_start(&self, buf: &[u8]) -> Result<(), HeadError> {
        let is_due = self.n_lines == 0 && self.scanned == self.line_start;
        match buf.get(self.line_start).filter(|_| is_due) {
            Some(&byte) if !byte.is_ascii_control() && !field::is_tchar(byte) => {
                Err(HeadError::Malformed("start line"))
            }
            _ => Ok(()),
        }
    }
}

/// Returns where the first control character is. Most chunks have none, and are looked at as one.
fn find_control(bytes: &[u8]) -> Option<usize> {
    let chunks = bytes.chunks(16);
    let has_none =
        |chunk: &[u8]| !chunk.iter().fold(false, |found, byte| found | byte.is_ascii_control());
    let skipped = chunks.take_while(|chunk| has_none(chunk)).map(<[u8]>::len).sum::<usize>();
    let found = bytes[skipped..].iter().position(u8::is_ascii_control)?;
    Some(skipped + found)
}

/// Says why the bytes are no acceptable head.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The head does not end within the limit (RFC 6585 §5).
    TooLong {
        /// [`HeadLimits::bytes`].
        limit: usize,
    },
    /// The head has more header lines than the limit (RFC 6585 §5).
    TooManyHeaders {
        /// [`HeadLimits::headers`].
        limit: usize,
    },
    /// The message is neither HTTP/1.1 nor HTTP/1.0 (RFC 9110 §15.6.6).
    Version,
    /// The named part of the head does not follow the grammar (RFC 9112 §2.2).
    Malformed(&'static str),
    /// A field that frames or routes the request occurs twice (RFC 9112 §3.2, §6.3).
    Field(FieldError),
}

impl HeadError {
    /// Returns the status to answer a request with: 431, 505 or 400.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLong { .. } | Self::TooManyHeaders { .. } => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Malformed(_) | Self::Field(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "head exceeds the limit of {limit} bytes"),
            Self::TooManyHeaders { limit } => {
                write!(f, "head exceeds the limit of {limit} headers")
            }
            Self::Version => f.write_str("http version is neither 1.1 nor 1.0"),
            Self::Malformed(part) => write!(f, "malformed head: {part}"),
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HeadError {}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::Version => Self::Version,
            httparse::Error::HeaderName => Self::Malformed("header name"),
            httparse::Error::HeaderValue => Self::Malformed("header value"),
            httparse::Error::NewLine => Self::Malformed("line end"),
            httparse::Error::Status => Self::Malformed("status"),
            _ => Self::Malformed("start line"),
        }
    }
}

/// Fails unless the parser ended where the scan saw the end: two readers that disagree are how requests get smuggled.
pub(super) fn check_end(status: httparse::Status<usize>, head: &[u8]) -> Result<(), HeadError> {
    if status == httparse::Status::Complete(head.len()) {
        Ok(())
    } else {
        Err(HeadError::Malformed("end"))
    }
}

/// Copies the parsed headers into a map.
pub(super) fn header_map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut map = HeaderMap::with_capacity(headers.len().min(256));
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| HeadError::Malformed("header name"))?;
        // RFC 9112 §5.2: "A user agent … MUST replace each received obs-fold with one or more SP octets". The parser
        // lets a folded value pass in responses only; in requests it is an error.
        let value = if header.value.contains(&b'\n') {
            let unfolded: Vec<u8> = header
                .value
                .iter()
                .map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte })
                .collect();
            HeaderValue::from_bytes(&unfolded)
        } else {
            HeaderValue::from_bytes(header.value)
        };
        let value = value.map_err(|_| HeadError::Malformed("header value"))?;
        map.try_append(name, value).map_err(|_| HeadError::TooManyHeaders { limit: map.len() })?;
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &[u8] = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";

    fn limits(bytes: usize, headers: usize) -> HeadReader {
        HeadReader::new(HeadLimits { bytes, headers })
    }

    fn by_byte(reader: &mut HeadReader, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        for end in 0..=buf.len() {
            if let Some((_, length)) = reader.request(&buf[..end])? {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_cut_at_each_byte_is_incomplete_until_its_end() {
        for cut in 0..REQUEST.len() {
            let mut reader = HeadReader::default();
            assert_eq!(
                reader.request(&REQUEST[..cut]).map(|head| head.is_none()),
                Ok(true),
                "{cut}"
            );
            assert_eq!(reader.request(REQUEST).unwrap().unwrap().1, REQUEST.len(), "{cut}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let length = REQUEST.len();
        assert_eq!(by_byte(&mut limits(length, 2), REQUEST), Ok(Some(length)));
        assert_eq!(
            by_byte(&mut limits(length - 1, 2), REQUEST),
            Err(HeadError::TooLong { limit: length - 1 })
        );
        assert_eq!(
            by_byte(&mut limits(length, 1), REQUEST),
            Err(HeadError::TooManyHeaders { limit: 1 })
        );
        assert!(limits(length, 2).request(&[REQUEST, &[b'x'; 99]].concat()).unwrap().is_some());
    }

    #[test]
    fn errors_name_limit_and_status() {
        let error = HeadError::TooLong { limit: 16384 };
        assert_eq!(
            (error.to_string().as_str(), error.status().as_u16()),
            ("head exceeds the limit of 16384 bytes", 431)
        );
        assert_eq!(HeadError::TooManyHeaders { limit: 100 }.status().as_u16(), 431);
        assert_eq!(HeadError::Malformed("end").status().as_u16(), 400);
        assert_eq!(HeadError::Version.status().as_u16(), 505);
    }

    #[test]
    fn a_tls_hello_fails_at_its_first_byte() {
        assert_eq!(
            HeadReader::default().request(&[0x16]).unwrap_err(),
            HeadError::Malformed("control character")
        );
        assert_eq!(
            HeadReader::default().request(b"{").unwrap_err(),
            HeadError::Malformed("start line")
        );
    }

    #[test]
    fn a_failure_is_final() {
        let mut reader = limits(99, 0);
        assert_eq!(
            reader.request(b"GET / HTTP/1.1\nA: b\n").unwrap_err(),
            HeadError::TooManyHeaders { limit: 0 }
        );
        assert_eq!(
            reader.request(b"GET / HTTP/1.1\nA: b\n\n").unwrap_err(),
            HeadError::TooManyHeaders { limit: 0 }
        );
    }

    #[test]
    fn empty_lines_alone_end_with_the_limit() {
        assert!(HeadReader::default().request(b"\r\n\r\n\n\n").unwrap().is_none());
        assert_eq!(
            limits(8, 9).request(b"\r\n\r\n\r\n\r\n").unwrap_err(),
            HeadError::TooLong { limit: 8 }
        );
    }

    #[test]
    fn the_reader_starts_anew_after_a_head() {
        let mut reader = HeadReader::default();
        let (hints, length) = reader
            .response(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 1")
            .unwrap()
            .unwrap();
        assert_eq!((hints.status().as_u16(), length), (103, 37));
        assert!(reader.response(b"HTTP/1.1 1").unwrap().is_none());
        assert!(reader.response(b"HTTP/1.1 101 X\r\n\r\n").unwrap().is_some());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = HeadReader::default().request(&bytes);
            let _ = HeadReader::default().response(&bytes);
        }

        #[test]
        fn pieces_read_like_the_whole(text in "(GET / HTTP/1.1\r?\n)?([A-Za-z: \t\r]{0,6}\r?\n){0,6}", bytes in 0..60_usize) {
            let whole = limits(bytes, 3).request(text.as_bytes()).map(|head| head.map(|(_, length)| length));
            prop_assert_eq!(by_byte(&mut limits(bytes, 3), text.as_bytes()), whole);
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for len in 0..50 {
            let mut bytes = vec![b'a'; len];
            assert_eq!(find_control(&bytes), None);
            for at in (0..len).rev() {
                bytes[at] = 0x7f;
                assert_eq!(find_control(&bytes), Some(at), "the first, at {at} of {len}");
            }
        }
    }
}
