//! Requests as bytes: parsed by a server, encoded by a client.

use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, Uri, Version};

use super::head::{self, HeadError, HeadLimits, HeadReader};
use super::{bearer, field};

/// Parses the request at the beginning of `buf`; returns it with the length of its head, or `None` while incomplete.
///
/// HTTP/1.0 is parsed and keeps its version, but never is an upgrade. A target in absolute form is kept as such
/// (RFC 9112 §3.2.2). Folded lines, fragments and repeated `Host` or `Content-Length` fields are errors. For heads that
/// arrive in pieces use [`HeadReader`], which does not look at a byte twice.
///
/// # Errors
/// The head is too large or malformed: answer with [`HeadError::status`] and close.
pub fn parse_request(
    buf: &[u8],
    limits: &HeadLimits,
) -> Result<Option<(Request<()>, usize)>, HeadError> {
    HeadReader::new(*limits).request(buf)
}

/// Parses a complete head.
pub(super) fn parse_head(head: &[u8], n_headers: usize) -> Result<Request<()>, HeadError> {
    let mut fields = vec![httparse::EMPTY_HEADER; n_headers];
    let mut parsed = httparse::Request::new(&mut fields);
    head::check_end(parsed.parse(head)?, head)?;

    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let target = parsed.path.unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() = method.map_err(|_| HeadError::Malformed("method"))?;
    *request.uri_mut() = parse_target(target)?;
    *request.version_mut() = head_version(parsed.version);
    *request.headers_mut() = head::header_map(parsed.headers)?;
    bearer::mark_sensitive(request.headers_mut());
    for name in [HOST, CONTENT_LENGTH] {
        field::single(request.headers(), &name).map_err(HeadError::Field)?;
    }
    Ok(request)
}

fn parse_target(target: &str) -> Result<Uri, HeadError> {
    // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used"; the
    // type `Uri` would drop one silently.
    if target.contains('#') {
        return Err(HeadError::Malformed("fragment in the request target"));
    }
    target.parse().map_err(|_| HeadError::Malformed("request target"))
}

pub(super) fn head_version(minor: Option<u8>) -> Version {
    if minor == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 }
}

/// Appends the head of an HTTP/1.1 request.
///
/// The target is written in origin form (RFC 9112 §3.2.1). A `Host` is taken from the URI if the headers have none.
/// Nothing can inject a line: the types of `http` hold no CR or LF.
pub fn encode_request<B>(request: &Request<B>, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    if !request.uri().path().starts_with('/') {
        out.push(b'/');
    }
    out.extend_from_slice(request.uri().path().as_bytes());
    if let Some(query) = request.uri().query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let (false, Some(authority)) =
        (request.headers().contains_key(HOST), request.uri().authority())
    {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        field::encode_field(&HOST, host.as_bytes(), out);
    }
    field::encode_fields(request.headers(), out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request<()>, HeadError> {
        let (request, length) =
            parse_request(head.as_bytes(), &HeadLimits::default())?.expect("complete");
        assert_eq!(length, head.len());
        Ok(request)
    }

    #[track_caller]
    fn check_malformed(head: &str, status: u16) {
        assert_eq!(parse(head).unwrap_err().status().as_u16(), status, "{head:?}");
    }

    #[test]
    fn a_request_is_parsed_whole() {
        let request =
            parse("GET /chat?x=1 HTTP/1.1\r\nHost: a:80\r\nAccept: b\r\naccept:  c \r\nX:\r\n\r\n")
                .unwrap();
        assert_eq!((request.method(), request.version()), (&Method::GET, Version::HTTP_11));
        assert_eq!(request.uri(), "/chat?x=1");
        assert_eq!(request.headers()["host"], "a:80");
        assert_eq!(request.headers().get_all("accept").iter().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(request.headers()["x"], "");
    }

    #[test]
    fn http_1_0_bare_line_feeds_and_absolute_targets_are_parsed() {
        assert_eq!(parse("GET / HTTP/1.0\r\n\r\n").unwrap().version(), Version::HTTP_10);
        assert_eq!(parse("GET / HTTP/1.1\nHost: a\n\n").unwrap().headers()["host"], "a");
        let request = parse("GET http://example.com:81/x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(request.uri().authority().unwrap(), "example.com:81");
        assert_eq!(parse("OPTIONS * HTTP/1.1\r\n\r\n").unwrap().uri(), "*");
    }

    #[test]
    fn malformed_heads_are_answered_with_400() {
        for head in [
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /#top HTTP/1.1\r\n\r\n",
            "GET http://[/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\n X: a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ] {
            check_malformed(head, 400);
        }
    }

    #[test]
    fn other_http_versions_are_answered_with_505() {
        check_malformed("GET / HTTP/1.2\r\n\r\n", 505);
        check_malformed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    }

    #[test]
    fn targets_are_encoded_in_origin_form() {
        let mut out = Vec::new();
        let request =
            Request::get("ws://u:p@example.com:81?x=1").header("X-Y", "z").body(()).unwrap();
        encode_request(&request, &mut out);
        assert_eq!(
            str::from_utf8(&out),
            Ok("GET /?x=1 HTTP/1.1\r\nHost: example.com:81\r\nX-Y: z\r\n\r\n")
        );
    }
}
