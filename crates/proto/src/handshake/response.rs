//! Responses as bytes: encoded by a server, parsed by a client.

use std::io::Write as _;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use super::field;
use super::head::{self, HeadError, HeadLimits, HeadReader};
use super::request::head_version;

/// Parses the response at the beginning of `buf`; returns it with the length of its head, or `None` while incomplete.
///
/// Folded lines are unfolded (RFC 9112 §5.2). The body of a refusal and the first frames after a 101 are behind the
/// head, and the caller's. For heads that arrive in pieces use [`HeadReader`], which does not look at a byte twice.
///
/// # Errors
/// The head is too large or malformed: close the connection.
pub fn parse_response(
    buf: &[u8],
    limits: &HeadLimits,
) -> Result<Option<(Response<()>, usize)>, HeadError> {
    HeadReader::new(*limits).response(buf)
}

/// Parses a complete head.
pub(super) fn parse_head(head: &[u8], n_headers: usize) -> Result<Response<()>, HeadError> {
    let mut fields = vec![httparse::EMPTY_HEADER; n_headers];
    let mut parsed = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    head::check_end(config.parse_response(&mut parsed, head)?, head)?;

    let status = StatusCode::from_u16(parsed.code.unwrap_or_default());
    let mut response = Response::new(());
    *response.status_mut() = status.map_err(|_| HeadError::Malformed("status"))?;
    *response.version_mut() = head_version(parsed.version);
    *response.headers_mut() = head::header_map(parsed.headers)?;
    Ok(response)
}

/// Appends the head of a response as it is: for the 101 that [`ServerHandshake::accept`] returns.
///
/// [`ServerHandshake::accept`]: super::ServerHandshake::accept
pub fn encode_response_head<B>(response: &Response<B>, out: &mut Vec<u8>) {
    encode_status_line(response.status(), out);
    field::encode_fields(response.headers(), out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response with its body, after which the connection is to be closed.
///
/// The right `Content-Length` and `Connection: close` are added, whatever the headers say (RFC 9112 §6.3, §9.6). Nothing
/// can inject a line: the types of `http` hold no CR or LF.
pub fn encode_response<B: AsRef<[u8]>>(response: &Response<B>, out: &mut Vec<u8>) {
    let (status, headers) = (response.status(), response.headers());
    // RFC 9110 §6.4.1: these have no body.
    if status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return encode_response_head(response, out);
    }
    let body = response.body().as_ref();
    encode_status_line(status, out);
    for (name, value) in
        headers.iter().filter(|(name, _)| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
    {
        field::encode_field(name, value.as_bytes(), out);
    }
    if !field::has_token(headers, &CONNECTION, "close") {
        field::encode_field(&CONNECTION, b"close", out);
    }
    field::encode_field(&CONTENT_LENGTH, body.len().to_string().as_bytes(), out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

fn encode_status_line(status: StatusCode, out: &mut Vec<u8>) {
    let reason = status.canonical_reason().unwrap_or_default();
    // RFC 9112 §4: the space before an empty reason stays.
    write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_str()).expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn parse(head: &str) -> Result<Response<()>, HeadError> {
        Ok(parse_response(head.as_bytes(), &HeadLimits::default())?.expect("complete").0)
    }

    fn encode(response: &Response<&str>) -> String {
        let mut out = Vec::new();
        encode_response(response, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_response_is_parsed_and_leaves_the_rest() {
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00";
        let (response, length) = parse_response(bytes, &HeadLimits::default()).unwrap().unwrap();
        assert_eq!((response.status().as_u16(), length), (101, bytes.len() - 2));
        assert_eq!(response.headers()["upgrade"], "websocket");
    }

    #[test]
    fn a_missing_reason_http_1_0_and_folded_lines_are_parsed() {
        assert_eq!(parse("HTTP/1.1 101\r\n\r\n").unwrap().status().as_u16(), 101);
        assert_eq!(parse("HTTP/1.0 502 Bad\r\n\r\n").unwrap().version(), Version::HTTP_10);
        let folded = parse("HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nY: c\r\n\r\n").unwrap();
        assert_eq!(
            (&folded.headers()["x"], &folded.headers()["y"]),
            (&"a  \tb".parse().unwrap(), &"c".parse().unwrap())
        );
    }

    #[test]
    fn malformed_responses_are_errors() {
        for head in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 99 X\r\n\r\n",
            "HTTP/1.1 1010 X\r\n\r\n",
            "HTTP/1.1 101 X\r\nA\r\n\r\n",
        ] {
            assert!(parse(head).is_err(), "{head:?}");
        }
        assert_eq!(parse("HTTP/2.0 101 X\r\n\r\n").unwrap_err(), HeadError::Version);
    }

    #[test]
    fn a_refusal_carries_length_and_close() {
        let response =
            Response::builder().status(403).header("Content-Length", "99").body("no\n").unwrap();
        assert_eq!(
            encode(&response),
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n"
        );
    }

    #[test]
    fn close_is_added_beside_other_connection_tokens() {
        let response =
            Response::builder().status(426).header("Connection", "Upgrade").body("").unwrap();
        assert!(
            encode(&response)
                .contains("Connection: Upgrade\r\nConnection: close\r\nContent-Length: 0\r\n")
        );
        let response =
            Response::builder().status(599).header("Connection", "Close").body("").unwrap();
        assert_eq!(
            encode(&response),
            "HTTP/1.1 599 \r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_101_has_no_body() {
        let response = Response::builder().status(101).body("x").unwrap();
        assert_eq!(encode(&response), "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    }
}
