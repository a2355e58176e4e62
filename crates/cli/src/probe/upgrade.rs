//! The opening handshake, looked at from both sides.

use std::time::Duration;

use everwire::dial::{DialStream, Scheme};
use everwire_proto::handshake::{
    Agreed, ClientHandshake, ClientHandshakeError, Extension, FieldError, HeadError, HeadLimits,
    HeadReader,
};
use http::{
    HeaderMap, Response, StatusCode,
    header::{LOCATION, RETRY_AFTER, TRANSFER_ENCODING},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    fault::{Blame, Fault, FaultId},
    report::millis,
    setup::Setup,
};
use crate::connect::{escape, masked, shown};

/// Time and bytes for the body of a refusal.
const BODY: (Duration, u64) = (Duration::from_millis(500), 512);

/// Both heads, masked, and what was agreed upon.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Upgrade {
    /// The lines of the request.
    pub(super) request: Vec<String>,
    pub(super) status: Option<u16>,
    /// The lines of the response.
    pub(super) response: Vec<String>,
    pub(super) subprotocol: Option<String>,
    pub(super) extensions: Vec<String>,
    /// From the request to the whole head of the response.
    pub(super) took_ms: f64,
}

/// An answer that opens a connection.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) agreed: Agreed,
    /// What came behind the head.
    pub(super) early: Vec<u8>,
}

impl Setup {
    /// Does the opening handshake on `io` and notes in `upgrade` what is learned, also when it
    /// fails.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) async fn upgrade(
        &self,
        io: &mut DialStream,
        offer: &[Extension],
        upgrade: &mut Upgrade,
    ) -> Result<Upgraded, Fault> {
        let handshake = self.handshake(offer).map_err(|error| {
            let advice = "change the headers and subprotocols";
            Fault::new(FaultId::UpgradeHeaders, "a request", error.to_string(), advice)
                .blame(Blame::Caller)
        })?;
        upgrade.request = self.shown_request(&handshake);
        let (began, until) = (Instant::now(), Instant::now() + self.timeout);
        let mut bytes = Vec::with_capacity(1024);
        let answer = timeout_at(until, self.exchange(io, &handshake, &mut bytes)).await;
        let response = answer.unwrap_or_else(|_| Err(self.silence(bytes.len())))?;
        upgrade.took_ms = millis(began.elapsed());
        upgrade.status = Some(response.status().as_u16());
        upgrade.response = vec![format!("{:?} {}", response.version(), response.status())];
        upgrade.response.extend(lines(response.headers()));
        let agreed = match handshake.verify(&response) {
            Ok(agreed) => agreed,
            Err(ClientHandshakeError::Refused { status }) => {
                let body = body(io, bytes, response.headers()).await;
                return Err(refusal(status, response.headers(), &body));
            }
            Err(error) => return Err(bad_answer(&error, &response)),
        };
        upgrade.subprotocol = agreed.subprotocol.as_deref().map(escape);
        upgrade.extensions = agreed.extensions.iter().map(ToString::to_string).collect();
        Ok(Upgraded { agreed, early: bytes })
    }

    /// Sends the request and reads the answer; what comes behind it stays in `bytes`.
    async fn exchange(
        &self,
        io: &mut DialStream,
        handshake: &ClientHandshake,
        bytes: &mut Vec<u8>,
    ) -> Result<Response<()>, Fault> {
        // A server that refuses before it has read everything may have answered all the same.
        let head = self.target.encode_request(handshake);
        let written = async {
            io.write_all(&head).await?;
            io.flush().await
        };
        let _ = written.await;
        let limits = HeadLimits::default();
        let mut reader = HeadReader::new(limits);
        let mut interim = 0;
        loop {
            let head = reader.response(bytes).map_err(|error| self.no_http(&error, bytes))?;
            let Some((response, len)) = head else {
                match io.read_buf(bytes).await {
                    Ok(0) => return Err(cut("the end of the stream", bytes)),
                    Ok(_) => continue,
                    Err(error) => return Err(cut(&error.to_string(), bytes)),
                }
            };
            bytes.drain(..len);
            let status = response.status();
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            interim += len;
            if interim > limits.bytes {
                return Err(self.no_http(&HeadError::TooLong { limit: limits.bytes }, bytes));
            }
        }
    }

    fn shown_request(&self, handshake: &ClientHandshake) -> Vec<String> {
        let mut head = vec![format!("GET {} HTTP/1.1", self.shown_path())];
        head.extend(lines(handshake.request().headers()));
        head
    }

    fn silence(&self, received: usize) -> Fault {
        let came = match received {
            0 => "nothing".to_owned(),
            received => format!("{received} bytes, and no end of the head"),
        };
        Fault::new(
            FaultId::UpgradeTimeout,
            format!("a response with status 101 within {:?}", self.timeout),
            came,
            "check that a WebSocket server listens here, and that proxies in front of it pass upgrades on; --timeout \
             waits longer",
        )
    }

    fn no_http(&self, error: &HeadError, bytes: &[u8]) -> Fault {
        // RFC 8446 §5.1: an alert is record type 21, of version 3.
        if let ([21, 3, ..], Scheme::Ws) = (bytes, self.target.scheme()) {
            let (expected, came) = ("an answer in HTTP", "an alert of TLS");
            return Fault::new(
                FaultId::UpgradeTlsOnPlain,
                expected,
                came,
                "use wss:// instead of ws://",
            )
            .blame(Blame::Caller);
        }
        let start = escape(&String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        Fault::new(
            FaultId::UpgradeNotHttp,
            "the head of an HTTP/1.1 response",
            format!("{error}; it begins with \"{start}\""),
            "check the port: another service listens there",
        )
    }
}

fn cut(how: &str, bytes: &[u8]) -> Fault {
    Fault::new(
        FaultId::UpgradeCut,
        "a response with status 101",
        format!("{} after {} bytes", escape(how), bytes.len()),
        "look into the log of the server, or of the proxy in front of it",
    )
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> Fault {
    let header = |name| headers.get(name).map(|value: &http::HeaderValue| shown(&LOCATION, value));
    let advice = match status.as_u16() {
        200..=299 => "this path serves ordinary HTTP: check the path, and that the proxy passes Upgrade and Connection on".into(),
        300..=399 => match header(LOCATION) {
            Some(location) => format!("it redirects to {}: probe that", masked(&location)),
            None => "it redirects to nowhere: check the path".into(),
        },
        401 | 407 => "give it credentials: -H 'Authorization: …'".into(),
        403 => "check the credentials, and the origin: --origin".into(),
        404 | 410 => "check the path".into(),
        400 | 426 => "check that a proxy in front of the server passes Upgrade and Connection on, in HTTP/1.1".into(),
        429 | 503 => match header(RETRY_AFTER) {
            Some(after) => format!("try again later (Retry-After: {after})"),
            None => "try again later".into(),
        },
        502 | 504 => "the proxy does not reach the server behind it: look there".into(),
        _ => "look into the log of the server".into(),
    };
    let body = if body.is_empty() { String::new() } else { format!(": \"{body}\"") };
    Fault::new(FaultId::UpgradeRefused, "status 101", format!("{status}{body}"), advice)
}

fn bad_answer(error: &ClientHandshakeError, response: &Response<()>) -> Fault {
    use ClientHandshakeError as Error;
    let (id, expected, advice) = match error {
        Error::HttpVersion(_) => {
            let advice = "make the server, or the proxy in front of it (nginx: proxy_http_version 1.1), speak HTTP/1.1";
            (FaultId::UpgradeHttpVersion, "HTTP/1.1 101 (RFC 6455 §4.2.2)", advice)
        }
        Error::Accept | Error::Field(FieldError::Missing(http::header::SEC_WEBSOCKET_ACCEPT)) => (
            FaultId::UpgradeAccept,
            "Sec-WebSocket-Accept: the base64 of the SHA-1 of our key and the GUID of RFC 6455 §4.2.2",
            "compute it from the key of each request; a cache must not answer upgrades",
        ),
        Error::SubprotocolNotOffered { .. } => (
            FaultId::UpgradeSubprotocol,
            "one of the offered subprotocols, or none (RFC 6455 §4.2.2)",
            "choose from the request; the probe offers what --subprotocol says",
        ),
        Error::ExtensionNotOffered { .. }
        | Error::RepeatedExtension { .. }
        | Error::Extensions(_) => (
            FaultId::UpgradeExtension,
            "offered extensions, each once, or none (RFC 6455 §9.1)",
            "choose from the request; the probe offers none at first, then permessage-deflate",
        ),
        _ => (
            FaultId::UpgradeHeaders,
            "Upgrade: websocket and Connection: Upgrade, each header once (RFC 6455 §4.2.2)",
            "correct the answer; a proxy in front of the server must pass these headers on",
        ),
    };
    let accept = response.headers().get(http::header::SEC_WEBSOCKET_ACCEPT);
    let came = match (id, accept) {
        (FaultId::UpgradeAccept, Some(value)) => {
            format!("Sec-WebSocket-Accept: {}", escape(&String::from_utf8_lossy(value.as_bytes())))
        }
        _ => escape(&error.to_string()),
    };
    Fault::new(id, expected, came, advice)
}

/// Returns the fault of a server that takes none of the subprotocols.
pub(super) fn no_subprotocol() -> Fault {
    Fault::new(
        FaultId::UpgradeNoSubprotocol,
        "one of the subprotocols of --subprotocol: browsers close when they asked and got none",
        "a 101 without Sec-WebSocket-Protocol",
        "let the server choose one, or let clients offer none",
    )
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", shown(name, value))).collect()
}

/// Reads the beginning of a body, and returns its first line.
async fn body(io: &mut DialStream, mut bytes: Vec<u8>, headers: &HeaderMap) -> String {
    let (time, len) = BODY;
    let _ = timeout(time, io.take(len).read_to_end(&mut bytes)).await;
    let coding = headers.get(TRANSFER_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    if coding.is_some_and(|coding| coding.ends_with(b"chunked")) {
        bytes = unchunk(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    escape(&line.chars().take(80).collect::<String>())
}

/// Returns what is in these chunks, the last of which may be cut. See RFC 9112 §7.1.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes.len());
    while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(&bytes[..end]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        bytes = &bytes[end + 1..];
        let (chunk, rest) = bytes.split_at(size.min(bytes.len()));
        content.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_as_far_as_they_came() {
        for (bytes, content) in [
            (&b"3\r\nno,\r\n6;x=y\r\n never\r\n0\r\n\r\n"[..], &b"no, never"[..]),
            (b"ffff\r\naaa", b"aaa"),
            (b"ffffffffffffffff\r\naaa", b"aaa"),
            (b"fffffffffffffffffff\r\naaa", b""),
            (b"3", b""),
            (b"", b""),
        ] {
            assert_eq!(unchunk(bytes), content);
        }
    }
}
