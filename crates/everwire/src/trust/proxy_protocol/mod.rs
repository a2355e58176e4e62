//! The PROXY protocol, versions 1 and 2: a proxy names the client before the first byte of the connection.
//! See <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

mod v1;
mod v2;

use std::net::SocketAddr;
use std::{error, fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The addresses of the connection between the client and the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProxiedAddrs {
    /// The client.
    pub src: SocketAddr,
    /// The address it connected to.
    pub dst: SocketAddr,
}

/// A complete PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// Its length in bytes; the connection's own data begins after it.
    pub len: usize,
    /// `None` if the proxy speaks for itself (`LOCAL`, as in a health check) or does not know (`UNKNOWN`,
    /// `UNSPEC`, Unix sockets): then the TCP peer is the client.
    pub addrs: Option<ProxiedAddrs>,
}

/// What [`parse_proxy_header`] made of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyParse {
    /// The header is complete.
    Done(ProxyHeader),
    /// The header goes on.
    Incomplete {
        /// How many bytes are missing at the least: reading so many cannot read beyond the header.
        missing: usize,
    },
}

/// Parses a header at the start of `buf`.
///
/// A header has at most 107 bytes in version 1 and 536 in version 2. TLVs are skipped. What is wrong is
/// reported as soon as it can be seen.
///
/// # Errors
/// [`ProxyProtocolError`] if `buf` is not the beginning of a header.
pub fn parse_proxy_header(buf: &[u8]) -> Result<ProxyParse, ProxyProtocolError> {
    if buf.is_empty() {
        return Ok(ProxyParse::Incomplete { missing: v1::MIN_LEN.min(v2::FIXED_LEN) });
    }
    if starts_like(buf, v2::SIGNATURE) {
        v2::parse(buf)
    } else if starts_like(buf, v1::PREFIX) {
        v1::parse(buf)
    } else {
        Err(ProxyProtocolError::NoHeader)
    }
}

/// Reads one header and not a byte beyond it.
pub(super) async fn read_proxy_header<S>(stream: &mut S) -> Result<ProxyHeader, ProxyProtocolError>
where
    S: AsyncRead + Unpin,
{
    let mut buf = [0; v2::MAX_LEN];
    let mut len = 0;
    loop {
        match parse_proxy_header(&buf[..len])? {
            ProxyParse::Done(header) => return Ok(header),
            ProxyParse::Incomplete { missing } => {
                stream
                    .read_exact(&mut buf[len..len + missing])
                    .await
                    .map_err(ProxyProtocolError::Io)?;
                len += missing;
            }
        }
    }
}

/// Returns whether `buf` begins with `prefix`, as far as it goes.
fn starts_like(buf: &[u8], prefix: &[u8]) -> bool {
    let len = buf.len().min(prefix.len());
    buf[..len] == prefix[..len]
}

/// Why a PROXY protocol header could not be read. The connection is to be closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The connection begins with something else. Perhaps the proxy is not set up to send it.
    NoHeader,
    /// The header is not well-formed.
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The header is longer than allowed.
    TooLong {
        /// Its length, or what has arrived of it.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke before the header was complete.
    Io(io::Error),
}

impl fmt::Display for ProxyProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("connection does not begin with a PROXY protocol header"),
            Self::Malformed { problem } => write!(f, "malformed PROXY protocol header: {problem}"),
            Self::TooLong { len, limit } => {
                write!(f, "PROXY protocol header of {len} bytes exceeds the limit of {limit}")
            }
            Self::Io(source) => write!(
                f,
                "connection failed before the PROXY protocol header was complete: {source}"
            ),
        }
    }
}

impl error::Error for ProxyProtocolError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(source) => error::Error::source(source),
            _ => None,
        }
    }
}

fn malformed<T>(problem: &'static str) -> Result<T, ProxyProtocolError> {
    Err(ProxyProtocolError::Malformed { problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a whole header, then every shorter piece of it, then reads it from a stream with data behind it.
    pub(super) async fn check(header: &[u8], expected: Option<(&str, &str)>) {
        let addrs = expected.map(|(src, dst)| ProxiedAddrs {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
        });
        let expected = ProxyHeader { len: header.len(), addrs };
        let with_data = [header, b"GET /"].concat();
        assert_eq!(parse_proxy_header(&with_data).unwrap(), ProxyParse::Done(expected));
        for len in 0..header.len() {
            let parsed = parse_proxy_header(&header[..len]).unwrap();
            let ProxyParse::Incomplete { missing } = parsed else { panic!("done after {len}") };
            assert!((1..=header.len() - len).contains(&missing), "{missing} missing after {len}");
        }
        let mut stream = &with_data[..];
        assert_eq!(read_proxy_header(&mut stream).await.unwrap(), expected);
        assert_eq!(stream, b"GET /");
    }

    #[track_caller]
    pub(super) fn check_err(header: &[u8], expected: &str) {
        assert_eq!(parse_proxy_header(header).unwrap_err().to_string(), expected);
    }

    #[test]
    fn anything_else_is_refused_at_the_first_wrong_byte() {
        for start in ["G", "PROXX", "\r\n\r\n\x01", "\x16\x03"] {
            check_err(start.as_bytes(), "connection does not begin with a PROXY protocol header");
        }
    }

    #[tokio::test]
    async fn an_early_end_is_an_error() {
        let error = read_proxy_header(&mut &b"PROXY TCP4 1.1"[..]).await.unwrap_err();
        assert!(matches!(error, ProxyProtocolError::Io(_)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(version in 0..3, tail in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let mut buf = match version {
                1 => v1::PREFIX.to_vec(),
                2 => v2::SIGNATURE.to_vec(),
                _ => Vec::new(),
            };
            buf.extend(tail);
            if let Ok(ProxyParse::Done(header)) = parse_proxy_header(&buf) {
                assert!(header.len <= buf.len() && header.len <= v2::MAX_LEN);
            }
        }

        #[test]
        fn no_text_panics(tail in "(TCP4|TCP6|UNKNOWN)?[ 0-9a-f.:]{0,60}(\r\n)?") {
            let _ = parse_proxy_header(format!("PROXY {tail}").as_bytes());
        }
    }
}
