//! The tunnel of an HTTP proxy: CONNECT. See RFC 9110 §9.3.6.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{ProxyError, ProxyUrl};

/// The limit for response heads, interim ones included.
const HEAD_LIMIT: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
/// How much of a refusal's body is kept.
const BODY_LIMIT: usize = 4 * 1024;
/// How long we wait for the body of a refusal, which only serves to explain.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// What a proxy said instead of opening the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectRefused {
    /// The status; 407 asks for credentials.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The first 4 KiB of the body as they came (still chunked, if they were).
    pub body: Bytes,
}

impl fmt::Display for ConnectRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused the tunnel with status {}", self.status)
    }
}

/// Asks for a tunnel to `host_and_port`. On success the next byte from the stream is the server's.
///
/// # Errors
/// [`ProxyError::Refused`] unless the final status is 2xx; a head above 16 KiB or 100 headers.
///
/// # Cancel safety
/// Not cancel-safe: after a cancelled call the stream is of no use.
pub(in crate::dial) async fn connect<S>(
    stream: &mut S,
    proxy: &ProxyUrl,
    host_and_port: &str,
) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request(proxy, host_and_port)).await?;
    stream.flush().await?;
    let mut budget = HEAD_LIMIT;
    loop {
        let (status, headers) = read_head(stream, &mut budget).await?;
        // RFC 9110 §15.2: a client must be able to parse interim responses, and may ignore them.
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        // RFC 9110 §9.3.6: any 2xx opens the tunnel, and Content-Length in it is to be ignored.
        if status.is_success() {
            return Ok(());
        }
        let body = read_body(stream, &headers).await;
        return Err(ProxyError::Refused(Box::new(ConnectRefused { status, headers, body })));
    }
}

fn request(proxy: &ProxyUrl, host_and_port: &str) -> Vec<u8> {
    let mut request = format!("CONNECT {host_and_port} HTTP/1.1\r\n").into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    };
    if !proxy.headers().contains_key(header::HOST) {
        line("Host", host_and_port.as_bytes());
    }
    if let Some(credentials) = proxy.credentials()
        && !proxy.headers().contains_key(header::PROXY_AUTHORIZATION)
    {
        line("Proxy-Authorization", credentials.basic().as_bytes());
    }
    for (name, value) in proxy.headers() {
        line(name.as_str(), value.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Reads one head and not a byte beyond it.
///
/// It reads byte by byte, as curl does: what follows belongs to the tunnel, and a few hundred small reads
/// once per connection cost less than a stream type with a pushed-back prefix on every read thereafter.
async fn read_head<S>(
    stream: &mut S,
    budget: &mut usize,
) -> Result<(StatusCode, HeaderMap), ProxyError>
where
    S: AsyncRead + Unpin,
{
    let mut head = Vec::with_capacity(256);
    while !(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n")) {
        *budget = budget.checked_sub(1).ok_or(ProxyError::HeadTooLarge { limit: HEAD_LIMIT })?;
        head.push(stream.read_u8().await?);
    }
    parse_head(&head).ok_or(ProxyError::Malformed { problem: "expected an HTTP/1.1 response head" })
}

fn parse_head(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut lines);
    if response.parse(head).ok()?.is_partial() {
        return None;
    }
    let mut headers = HeaderMap::new();
    for line in response.headers.iter() {
        headers.append(
            HeaderName::try_from(line.name).ok()?,
            HeaderValue::from_bytes(line.value).ok()?,
        );
    }
    Some((StatusCode::from_u16(response.code?).ok()?, headers))
}

/// Reads what there is of the body, within limits; its end is not needed to explain the refusal.
async fn read_body<S: AsyncRead + Unpin>(stream: &mut S, headers: &HeaderMap) -> Bytes {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let limit = length.unwrap_or(u64::MAX).min(BODY_LIMIT as u64);
    let mut body = Vec::new();
    let mut reader = stream.take(limit);
    let read = async {
        while !(is_chunked && body.ends_with(b"0\r\n\r\n")) && reader.read_buf(&mut body).await? > 0
        {
        }
        std::io::Result::Ok(())
    };
    // An error or a timeout here must not hide the status; what has arrived is kept.
    let _ = timeout(BODY_TIMEOUT, read).await;
    body.into()
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Plays a proxy that sends `response`; returns the result, the request and what was left unread.
    async fn run(proxy: &str, response: &[u8]) -> (Result<(), ProxyError>, String, Vec<u8>) {
        let (mut client, mut server) = duplex(64 * 1024);
        server.write_all(response).await.unwrap();
        let proxy = ProxyUrl::parse(proxy)
            .unwrap()
            .with_header(header::USER_AGENT, HeaderValue::from_static("me"));
        let result = connect(&mut client, &proxy, "example.com:443").await;
        (result, drain(&mut server, client).await.0, Vec::new())
    }

    /// Half-closes both ends and returns what the server and the client still find.
    async fn drain(server: &mut DuplexStream, mut client: DuplexStream) -> (String, Vec<u8>) {
        server.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        let (mut request, mut rest) = (String::new(), Vec::new());
        server.read_to_string(&mut request).await.unwrap();
        client.read_to_end(&mut rest).await.unwrap();
        (request, rest)
    }

    #[tokio::test]
    async fn request_carries_credentials_and_own_headers() {
        let (result, request, _) = run("http://u:p@proxy", b"HTTP/1.1 200 OK\r\n\r\n").await;
        result.unwrap();
        let expected = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
                        Proxy-Authorization: Basic dTpw\r\nuser-agent: me\r\n\r\n";
        assert_eq!(request, expected);
    }

    #[tokio::test]
    async fn own_headers_replace_ours() {
        let proxy = ProxyUrl::parse("http://u:p@proxy").unwrap();
        let proxy =
            proxy.with_header(header::PROXY_AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        let request = String::from_utf8(request(&proxy, "h:1")).unwrap();
        assert_eq!(
            request,
            "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nproxy-authorization: Bearer x\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn not_a_byte_beyond_the_head_is_read() {
        let (mut client, mut server) = duplex(1024);
        let response = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.0 204 Fine\r\nContent-Length: 9\r\n\r\nTUNNEL";
        server.write_all(response).await.unwrap();
        connect(&mut client, &ProxyUrl::parse("proxy").unwrap(), "h:1").await.unwrap();
        assert_eq!(drain(&mut server, client).await.1, b"TUNNEL");
    }

    #[tokio::test]
    async fn a_refusal_keeps_status_headers_and_body() {
        let response =
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nloginXXX";
        let ProxyError::Refused(refused) = run("proxy", response).await.0.unwrap_err() else {
            panic!()
        };
        assert_eq!(refused.status, 407);
        assert_eq!(refused.headers["proxy-authenticate"], "Basic");
        assert_eq!(refused.body, "login");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_an_end_is_cut() {
        let mut response = b"HTTP/1.1 503 Busy\r\n\r\n".to_vec();
        response.extend([b'x'; 5000]);
        let ProxyError::Refused(refused) = run("proxy", &response).await.0.unwrap_err() else {
            panic!()
        };
        assert_eq!(refused.body.len(), BODY_LIMIT);
        let ProxyError::Refused(refused) = run("proxy", &response[..30]).await.0.unwrap_err()
        else {
            panic!()
        };
        assert_eq!(refused.body, "xxxxxxxxx");
    }

    #[tokio::test]
    async fn an_endless_head_ends_at_the_limit() {
        let mut response = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        response.extend([b'x'; HEAD_LIMIT]);
        let error = run("proxy", &response).await.0.unwrap_err();
        assert_eq!(error.to_string(), "response head exceeds the limit of 16384 bytes");
    }

    #[tokio::test]
    async fn what_is_not_http_is_malformed() {
        for response in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 2xx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        ] {
            let error = run("proxy", response.as_bytes()).await.0.unwrap_err();
            assert_eq!(error.to_string(), "malformed response: expected an HTTP/1.1 response head");
        }
    }

    #[tokio::test]
    async fn an_early_end_is_an_error() {
        let (mut client, server) = duplex(1024);
        drop(server);
        assert!(connect(&mut client, &ProxyUrl::parse("proxy").unwrap(), "h:1").await.is_err());
    }
}
