use proptest::prelude::*;

use super::*;
use crate::handshake::{BearerToken, HeadLimits, HeadReader, parse_request};

/// The request of RFC 6455 §1.3.
const SAMPLE: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn parse(head: &str) -> Request<()> {
    parse_request(head.as_bytes(), &HeadLimits::default()).unwrap().expect("complete").0
}

/// Verifies the sample with one line replaced; an empty replacement removes it.
fn verify(line: &str, replacement: &str) -> Result<ServerHandshake, HandshakeError> {
    assert!(SAMPLE.contains(line), "{line}");
    let replacement =
        if replacement.is_empty() { String::new() } else { format!("{replacement}\r\n") };
    ServerHandshake::verify(&parse(&SAMPLE.replace(&format!("{line}\r\n"), &replacement)))
}

#[track_caller]
fn check(line: &str, replacement: &str, expected: HandshakeError, status: u16) {
    let error = verify(line, replacement).expect_err(replacement);
    assert_eq!((&error, error.status().as_u16()), (&expected, status), "{replacement}");
}

#[track_caller]
fn check_legal(line: &str, replacement: &str) {
    assert!(verify(line, replacement).is_ok(), "{replacement}: {:?}", verify(line, replacement));
}

const GET: &str = "GET /chat HTTP/1.1";
const HOST_LINE: &str = "Host: server.example.com";
const UPGRADE_LINE: &str = "Upgrade: websocket";
const CONNECTION_LINE: &str = "Connection: Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ORIGIN_LINE: &str = "Origin: http://example.com";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: chat, superchat";
const VERSION: &str = "Sec-WebSocket-Version: 13";

fn missing(name: HeaderName) -> HandshakeError {
    FieldError::Missing(name).into()
}

fn twice(name: HeaderName) -> HandshakeError {
    FieldError::Repeated { name, count: 2 }.into()
}

fn malformed(name: HeaderName) -> HandshakeError {
    FieldError::Malformed(name).into()
}

#[test]
fn the_sample_of_the_rfc_is_accepted() {
    let handshake = ServerHandshake::verify(&parse(SAMPLE)).unwrap();
    assert_eq!(
        (handshake.host(), handshake.origin()),
        ("server.example.com", Some("http://example.com"))
    );
    assert_eq!(handshake.subprotocols(), ["chat", "superchat"]);
    assert!(!handshake.is_same_origin());
    let options = AcceptOptions { subprotocol: Some("chat".into()), ..AcceptOptions::default() };
    let response = handshake.accept(options).unwrap();
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(
        (&response.headers()["upgrade"], &response.headers()["connection"]),
        (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
    );
}

#[test]
fn parts_are_verified_like_the_request() {
    let (parts, ()) = parse(SAMPLE).into_parts();
    assert_eq!(ServerHandshake::verify_parts(&parts).unwrap().host(), "server.example.com");
}

#[test]
fn an_upgrade_token_asks_for_a_websocket() {
    let asks =
        |line: &str, replacement: &str| is_upgrade(&parse(&SAMPLE.replace(line, replacement)));
    assert!(asks("x", "x"));
    assert!(asks("Upgrade: websocket", "Upgrade: h2c, WebSocket"));
    assert!(asks("GET", "POST"));
    assert!(asks("HTTP/1.1", "HTTP/1.0"));
    assert!(!asks("Upgrade: websocket", "Upgrade: h2c"));
    assert!(!asks("Upgrade: websocket", "X: websocket"));
}

#[test]
fn http_1_0_is_answered_with_400() {
    check(GET, "GET /chat HTTP/1.0", HandshakeError::HttpVersion(Version::HTTP_10), 400);
}

#[test]
fn http_2_is_answered_with_505() {
    let mut request = parse(SAMPLE);
    *request.version_mut() = Version::HTTP_2;
    let error = ServerHandshake::verify(&request).unwrap_err();
    assert_eq!(
        (&error, error.status().as_u16()),
        (&HandshakeError::HttpVersion(Version::HTTP_2), 505)
    );
}

#[test]
fn methods_other_than_get_are_answered_with_405() {
    for method in ["POST", "HEAD", "CONNECT", "get"] {
        let expected = HandshakeError::Method(method.parse().unwrap());
        check(GET, &format!("{method} /chat HTTP/1.1"), expected, 405);
    }
}

#[test]
fn missing_upgrade_is_answered_with_426() {
    for line in
        ["", "Upgrade: h2c", "Upgrade: websockets", "Upgrade: web socket", "Upgrade: websocket/13"]
    {
        check(UPGRADE_LINE, line, HandshakeError::NoUpgrade, 426);
    }
}

#[test]
fn missing_connection_upgrade_is_answered_with_400() {
    for line in
        ["", "Connection: keep-alive", "Connection: upgraded", "Connection: close\r\nX: upgrade"]
    {
        check(CONNECTION_LINE, line, HandshakeError::NoConnectionUpgrade, 400);
    }
}

#[test]
fn tokens_are_found_in_lists_fields_and_any_case() {
    check_legal(UPGRADE_LINE, "upgrade: h2c , WebSocket");
    check_legal(UPGRADE_LINE, "Upgrade: h2c\r\nUpgrade: WEBSOCKET");
    check_legal(CONNECTION_LINE, "CONNECTION: keep-alive, Upgrade");
    check_legal(CONNECTION_LINE, "Connection: keep-alive\r\nConnection: ,UPGRADE,");
}

#[test]
fn missing_host_is_answered_with_400() {
    check(HOST_LINE, "", missing(HOST), 400);
}

#[test]
fn a_malformed_host_is_answered_with_400() {
    for host in [
        "Host:",
        "Host: a b",
        "Host: a, b",
        "Host: u@a",
        "Host: a:b",
        "Host: a/b",
        "Host: a:99999",
        "Host: [::1",
    ] {
        check(HOST_LINE, host, malformed(HOST), 400);
    }
    check_legal(HOST_LINE, "Host: [::1]:8080");
}

#[test]
fn an_absolute_target_overrides_the_host() {
    let handshake = verify(GET, "GET http://other.example:81/chat HTTP/1.1").unwrap();
    assert_eq!(handshake.host(), "other.example:81");
    check(GET, "GET http://u@other.example/ HTTP/1.1", malformed(HOST), 400);
}

#[test]
fn a_target_that_is_no_path_is_answered_with_400() {
    check(GET, "GET * HTTP/1.1", HandshakeError::Target, 400);
    check(GET, "GET example.com:80 HTTP/1.1", HandshakeError::Target, 400);
}

#[test]
fn a_body_is_answered_with_400() {
    for line in [
        "Content-Length: 1",
        "Content-Length: x",
        "Content-Length:",
        "Content-Length: +0",
        "Transfer-Encoding: chunked",
    ] {
        check(VERSION, &format!("{VERSION}\r\n{line}"), HandshakeError::Body, 400);
    }
    check_legal(VERSION, &format!("{VERSION}\r\nContent-Length: 0"));
}

#[test]
fn other_versions_are_answered_with_426() {
    for version in ["8", "12", "14", "013", "13, 8", ""] {
        let expected = HandshakeError::WebSocketVersion { found: Some(version.into()) };
        check(VERSION, &format!("Sec-WebSocket-Version: {version}"), expected, 426);
    }
    check(VERSION, "", HandshakeError::WebSocketVersion { found: None }, 426);
}

#[test]
fn what_is_echoed_of_a_version_is_short() {
    let expected = HandshakeError::WebSocketVersion { found: Some("9".repeat(32)) };
    check(VERSION, &format!("Sec-WebSocket-Version: {}", "9".repeat(500)), expected, 426);
}

#[test]
fn a_bad_key_is_answered_with_400() {
    check(KEY, "", missing(SEC_WEBSOCKET_KEY), 400);
    for (key, length) in [
        ("", 0),
        ("dGhlIHNhbXBsZSBub25jZQ", 22),
        ("dGhlIHNhbXBsZSBub25jZTE=", 24),
        ("SGVsbG8sIHdvcmxkIQ==", 20),
    ] {
        check(KEY, &format!("Sec-WebSocket-Key: {key}"), HandshakeError::Key { length }, 400);
    }
}

#[test]
fn single_fields_twice_are_answered_with_400() {
    for (line, name) in
        [(KEY, SEC_WEBSOCKET_KEY), (VERSION, SEC_WEBSOCKET_VERSION), (ORIGIN_LINE, ORIGIN)]
    {
        check(line, &format!("{line}\r\n{line}"), twice(name), 400);
    }
    let mut request = parse(SAMPLE);
    request.headers_mut().append(HOST, HeaderValue::from_static("server.example.com"));
    assert_eq!(ServerHandshake::verify(&request).unwrap_err(), twice(HOST));
}

#[test]
fn malformed_subprotocols_are_answered_with_400() {
    for value in ["", ",", "a b", "a;b", "\"a\"", "a, b/c", "ä"] {
        check(
            PROTOCOL,
            &format!("Sec-WebSocket-Protocol: {value}"),
            malformed(SEC_WEBSOCKET_PROTOCOL),
            400,
        );
    }
}

#[test]
fn a_subprotocol_offered_twice_is_answered_with_400() {
    check(
        PROTOCOL,
        "Sec-WebSocket-Protocol: a, b, a",
        HandshakeError::RepeatedSubprotocol { at: 2 },
        400,
    );
    let fields = "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a";
    check(PROTOCOL, fields, HandshakeError::RepeatedSubprotocol { at: 1 }, 400);
    check_legal(PROTOCOL, "Sec-WebSocket-Protocol: a, A");
}

#[test]
fn malformed_extensions_are_answered_with_400() {
    let error = crate::handshake::ExtensionError::Malformed { at: 2 };
    check(VERSION, &format!("{VERSION}\r\nSec-WebSocket-Extensions: a;"), error.into(), 400);
}

#[test]
fn the_servers_order_selects_the_subprotocol() {
    let handshake = verify(
        PROTOCOL,
        "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c, everwire.bearer.eA",
    )
    .unwrap();
    assert_eq!(handshake.select_subprotocol(&["x", "c", "a"]), Some("c"));
    assert_eq!(handshake.select_subprotocol(&["A", "x"]), None);
    assert_eq!(handshake.select_subprotocol(&["everwire.bearer.eA", "b"]), Some("b"));
    assert_eq!(handshake.select_subprotocol(&[""; 0]), None);
    assert!(!format!("{handshake:?}").contains("eA"));
}

fn accept(options: AcceptOptions) -> Result<Response<()>, ResponseError> {
    let lines = format!("{VERSION}\r\nSec-WebSocket-Extensions: a; x=1, b");
    verify(VERSION, &lines).unwrap().accept(options)
}

#[test]
fn an_answer_without_choices_names_none() {
    let response = accept(AcceptOptions::default()).unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn what_was_not_offered_is_not_chosen() {
    let options =
        |name: &str| AcceptOptions { subprotocol: Some(name.into()), ..AcceptOptions::default() };
    assert_eq!(
        accept(options("Chat")).unwrap_err(),
        ResponseError::SubprotocolNotOffered("Chat".into())
    );
    assert_eq!(
        accept(options("everwire.bearer.eA")).unwrap_err(),
        ResponseError::SecretSubprotocol
    );
    let options = |name| AcceptOptions {
        extensions: vec![Extension::new(name).unwrap()],
        ..AcceptOptions::default()
    };
    assert_eq!(accept(options("c")).unwrap_err(), ResponseError::ExtensionNotOffered("c".into()));
    assert_eq!(accept(options("b")).unwrap().headers()["sec-websocket-extensions"], "b");
}

#[test]
fn own_headers_are_sent_unless_they_are_the_handshakes() {
    let options = |name: &'static str| {
        let headers =
            [(HeaderName::from_static(name), HeaderValue::from_static("x"))].into_iter().collect();
        AcceptOptions { headers, ..AcceptOptions::default() }
    };
    assert_eq!(accept(options("set-cookie")).unwrap().headers()["set-cookie"], "x");
    for name in [
        "upgrade",
        "connection",
        "sec-websocket-accept",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-version",
        "content-length",
        "transfer-encoding",
    ] {
        assert_eq!(
            accept(options(name)).unwrap_err(),
            ResponseError::ReservedHeader(HeaderName::from_static(name))
        );
    }
}

proptest! {
    #[test]
    fn a_damaged_request_never_panics(at in 0..SAMPLE.len(), damage: Vec<u8>, length in 0..40_usize) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, damage);
        if let Ok(Some((request, length))) = HeadReader::default().request(&bytes) {
            prop_assert!(length <= bytes.len());
            let _ = BearerToken::from_headers(request.headers());
            match ServerHandshake::verify(&request) {
                Ok(handshake) => prop_assert!(handshake.accept(AcceptOptions::default()).is_ok()),
                Err(error) => prop_assert!(error.status().is_client_error() || error.status().is_server_error()),
            }
        }
    }
}
