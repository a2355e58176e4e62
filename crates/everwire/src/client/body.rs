//! The body of a refusal: the first 4 KiB of it, for people to read.

use std::io;

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of a body is kept.
const LIMIT: usize = 4096;

/// How much is read at most, with what chunks cost.
const WIRE_LIMIT: usize = 4 * LIMIT;

/// The body of a refusal while it arrives.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    wire: Vec<u8>,
}

/// How the end of a body is found. See RFC 9112 §6.3.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Body {
    /// Starts with the bytes that came behind the head.
    pub(super) fn new(headers: &HeaderMap, status: StatusCode, early: &[u8]) -> Self {
        Self { framing: framing(headers, status), wire: early.to_vec() }
    }

    /// Reads until the body is whole, the limit is reached, or the stream ends.
    ///
    /// # Errors
    /// The stream broke; what came is kept.
    ///
    /// # Cancel safety
    /// What came is kept.
    pub(super) async fn read(&mut self, io: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        while !self.is_done() {
            if io.read_buf(&mut self.wire).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let (body, is_whole) = self.decode();
        is_whole || body.len() >= LIMIT || self.wire.len() >= WIRE_LIMIT
    }

    /// Returns what came of the body.
    pub(super) fn into_bytes(self) -> Bytes {
        let mut body = self.decode().0;
        body.truncate(LIMIT);
        body.into()
    }

    /// Returns what there is of the body and whether that is all of it.
    fn decode(&self) -> (Vec<u8>, bool) {
        match self.framing {
            Framing::Length(len) => {
                (self.wire[..len.min(self.wire.len())].to_vec(), self.wire.len() >= len)
            }
            Framing::UntilEnd => (self.wire.clone(), false),
            Framing::Chunked => unchunk(&self.wire),
        }
    }
}

fn framing(headers: &HeaderMap, status: StatusCode) -> Framing {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Framing::Length(0);
    }
    if let Some(value) = headers.get(TRANSFER_ENCODING) {
        let is_chunked = value.as_bytes().to_ascii_lowercase().ends_with(b"chunked");
        return if is_chunked { Framing::Chunked } else { Framing::UntilEnd };
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.trim().parse().ok()).map_or(Framing::UntilEnd, Framing::Length)
}

/// Takes chunks apart (RFC 9112 §7.1). What is malformed ends the body.
fn unchunk(mut wire: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = wire.iter().position(|&byte| byte == b'\n') else { return (body, false) };
        let line = String::from_utf8_lossy(&wire[..end]);
        let digits = line.split(';').next().unwrap_or_default().trim();
        let Ok(len @ 1..) = usize::from_str_radix(digits, 16) else { return (body, true) };
        wire = &wire[end + 1..];
        let Some(chunk) = wire.get(..len) else {
            body.extend_from_slice(wire);
            return (body, false);
        };
        body.extend_from_slice(chunk);
        wire = wire[len..].strip_prefix(b"\r").unwrap_or(&wire[len..]);
        wire = wire.strip_prefix(b"\n").unwrap_or(wire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(field: Option<(&'static str, &'static str)>, wire: &[u8]) -> (String, usize) {
        let headers = field
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect();
        let mut body = Body::new(&headers, StatusCode::FORBIDDEN, &wire[..wire.len().min(3)]);
        let mut rest = &wire[wire.len().min(3)..];
        body.read(&mut rest).await.unwrap();
        (String::from_utf8(body.into_bytes().into()).unwrap(), rest.len())
    }

    #[tokio::test]
    async fn each_framing_finds_its_end() {
        assert_eq!(read(Some(("content-length", "5")), b"hello").await.0, "hello");
        assert_eq!(read(Some(("content-length", "2")), b"hello").await.0, "he");
        assert_eq!(read(None, b"hello").await.0, "hello");
        let wire = b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(read(Some(("transfer-encoding", "chunked")), wire).await.0, "hello");
        assert_eq!(read(Some(("transfer-encoding", "gzip, Chunked")), wire).await.0, "hello");
    }

    #[tokio::test]
    async fn a_broken_body_gives_what_there_is() {
        assert_eq!(read(Some(("content-length", "9")), b"hello").await.0, "hello");
        assert_eq!(read(Some(("content-length", "x")), b"hello").await.0, "hello");
        assert_eq!(read(Some(("transfer-encoding", "chunked")), b"3\r\nhe").await.0, "he");
        assert_eq!(read(Some(("transfer-encoding", "chunked")), b"3\r\nhelzz\r\n").await.0, "hel");
        let huge = b"ffffffffffffffff\r\nhel";
        assert_eq!(read(Some(("transfer-encoding", "chunked")), huge).await.0, "hel");
    }

    #[tokio::test]
    async fn no_more_than_the_limit_is_kept_or_asked_for() {
        let wire = vec![b'x'; 1 << 20];
        for field in [None, Some(("content-length", "1048576"))] {
            let (body, left) = read(field, &wire).await;
            assert_eq!(body.len(), LIMIT);
            assert!(left > wire.len() - WIRE_LIMIT, "{left}");
        }
        let tiny = b"1\r\nx\r\n".repeat(100_000);
        let (body, left) = read(Some(("transfer-encoding", "chunked")), &tiny).await;
        assert!(body.len() <= LIMIT && left > 0);
    }
}
