use http::HeaderName;

use proptest::prelude::*;

use super::*;
use crate::handshake::{BearerToken, ExtensionError, FieldError, HeadLimits, parse_response};

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
    Sec-WebSocket-Extensions: x; a=1\r\n\r\n";

fn handshake() -> ClientHandshake {
    let request = ClientRequest::new("ws://server.example.com:8080/chat?x=1").unwrap();
    let request = request
        .subprotocol("chat")
        .subprotocol("super")
        .origin(HeaderValue::from_static("http://a"));
    let request = ["x", "x", "y"]
        .iter()
        .fold(request, |request, name| request.extension(Extension::new(name).unwrap()));
    ClientHandshake::new(&request, *b"the sample nonce").unwrap()
}

fn verify(line: &str, replacement: &str) -> Result<Agreed, ClientHandshakeError> {
    assert!(ANSWER.contains(line), "{line}");
    let replacement =
        if replacement.is_empty() { String::new() } else { format!("{replacement}\r\n") };
    let answer = ANSWER.replace(&format!("{line}\r\n"), &replacement);
    let (response, _) =
        parse_response(answer.as_bytes(), &HeadLimits::default()).unwrap().expect("complete");
    handshake().verify(&response)
}

#[track_caller]
fn check(line: &str, replacement: &str, expected: impl Into<ClientHandshakeError>) {
    assert_eq!(verify(line, replacement), Err(expected.into()), "{replacement}");
}

const STATUS: &str = "HTTP/1.1 101 Switching Protocols";
const UPGRADE_LINE: &str = "Upgrade: websocket";
const CONNECTION_LINE: &str = "Connection: Upgrade";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: chat";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions: x; a=1";

fn twice(name: HeaderName) -> FieldError {
    FieldError::Repeated { name, count: 2 }
}

#[test]
fn the_request_is_that_of_the_rfc() {
    let mut out = Vec::new();
    handshake().encode(&mut out);
    let expected = "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com:8080\r\nOrigin: http://a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: chat, super\r\nSec-WebSocket-Extensions: x, x, y\r\n\r\n";
    assert_eq!(str::from_utf8(&out), Ok(expected));
    assert_eq!(handshake().request().uri(), "/chat?x=1");
}

#[test]
fn without_an_offer_nothing_is_offered() {
    let handshake =
        ClientHandshake::new(&ClientRequest::new("ws://a?q").unwrap(), [0; 16]).unwrap();
    assert_eq!(handshake.request().uri(), "/?q");
    assert!(!handshake.request().headers().contains_key("sec-websocket-protocol"));
    assert!(!handshake.request().headers().contains_key("sec-websocket-extensions"));
}

#[test]
fn a_right_answer_tells_what_was_agreed() {
    let extensions = Extension::parse_list("x; a=1").unwrap();
    assert_eq!(verify(STATUS, STATUS), Ok(Agreed { subprotocol: Some("chat".into()), extensions }));
    assert_eq!(verify(PROTOCOL, "").unwrap().subprotocol, None);
    assert_eq!(
        verify(EXTENSIONS, "Sec-WebSocket-Extensions: y\r\nSec-WebSocket-Extensions: x")
            .unwrap()
            .extensions
            .len(),
        2
    );
    assert!(verify(UPGRADE_LINE, "UPGRADE:  WebSocket ").is_ok());
    assert!(verify(CONNECTION_LINE, "Connection: keep-alive, upgrade").is_ok());
}

#[test]
fn another_status_is_a_refusal() {
    for status in [100, 200, 301, 401, 403, 426, 503] {
        let expected =
            ClientHandshakeError::Refused { status: StatusCode::from_u16(status).unwrap() };
        check(STATUS, &format!("HTTP/1.0 {status} X"), expected);
    }
}

#[test]
fn http_1_0_cannot_switch() {
    check(STATUS, "HTTP/1.0 101 X", ClientHandshakeError::HttpVersion(Version::HTTP_10));
}

#[test]
fn upgrade_is_websocket_alone() {
    check(UPGRADE_LINE, "", FieldError::Missing(UPGRADE));
    check(UPGRADE_LINE, "Upgrade: websocket\r\nUpgrade: websocket", twice(UPGRADE));
    for found in ["h2c", "websocket, h2c", "websockets", ""] {
        check(
            UPGRADE_LINE,
            &format!("Upgrade: {found}"),
            ClientHandshakeError::Upgrade { found: found.into() },
        );
    }
}

#[test]
fn connection_names_upgrade() {
    for line in ["", "Connection: close", "Connection: upgraded"] {
        check(CONNECTION_LINE, line, ClientHandshakeError::NoConnectionUpgrade);
    }
}

#[test]
fn the_key_is_answered_once_and_rightly() {
    check(ACCEPT, "", FieldError::Missing(SEC_WEBSOCKET_ACCEPT));
    check(ACCEPT, &format!("{ACCEPT}\r\n{ACCEPT}"), twice(SEC_WEBSOCKET_ACCEPT));
    for value in [
        "",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "S3PPLMBITXAQ9KYGZZHZRBK+XOO=",
        "dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        check(ACCEPT, &format!("Sec-WebSocket-Accept: {value}"), ClientHandshakeError::Accept);
    }
}

#[test]
fn the_subprotocol_was_offered() {
    check(PROTOCOL, &format!("{PROTOCOL}\r\n{PROTOCOL}"), twice(SEC_WEBSOCKET_PROTOCOL));
    for found in ["", "Chat", "other", "chat, super"] {
        let expected = ClientHandshakeError::SubprotocolNotOffered { found: found.into() };
        check(PROTOCOL, &format!("Sec-WebSocket-Protocol: {found}"), expected);
    }
}

#[test]
fn the_extensions_were_offered() {
    check(
        EXTENSIONS,
        "Sec-WebSocket-Extensions: x, z",
        ClientHandshakeError::ExtensionNotOffered { found: "z".into() },
    );
    check(
        EXTENSIONS,
        "Sec-WebSocket-Extensions: x, x",
        ClientHandshakeError::RepeatedExtension { found: "x".into() },
    );
    check(EXTENSIONS, "Sec-WebSocket-Extensions:", ExtensionError::Empty);
    check(EXTENSIONS, "Sec-WebSocket-Extensions: x;", ExtensionError::Malformed { at: 2 });
}

#[test]
fn debug_shows_no_token() {
    let request =
        ClientRequest::new("ws://a").unwrap().subprotocol(BearerToken::to_subprotocol("secret"));
    let handshake = ClientHandshake::new(&request.subprotocol("chat"), [0; 16]).unwrap();
    assert!(!format!("{handshake:?}").contains("c2VjcmV0"), "{handshake:?}");
}

#[test]
fn errors_carry_their_numbers() {
    let error = ClientHandshakeError::Refused { status: StatusCode::FORBIDDEN };
    assert_eq!(error.to_string(), "server answers with 403 Forbidden and not with 101");
}

proptest! {
    #[test]
    fn a_damaged_answer_never_panics(at in 0..ANSWER.len(), damage: Vec<u8>, length in 0..40_usize) {
        let mut bytes = ANSWER.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, damage);
        if let Ok(Some((response, _))) = parse_response(&bytes, &HeadLimits::default()) {
            let _ = handshake().verify(&response);
        }
    }
}
