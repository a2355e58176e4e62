//! Whole attempts over loopback: against our own server, and against scripted peers.

mod proxies;
mod redirects;
#[cfg(feature = "tls")]
mod secure;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use everwire_proto::{Cause, CloseCode, Message, handshake::ClientHandshakeError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::{
    Accept, BoundAddr, Conn, Reject, Server,
    dial::{DialError, Phase, ProxyUrl},
};

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
    ws.closed().await;
}

fn port(server: &Server) -> u16 {
    match server.addrs()[0] {
        BoundAddr::Tcp(addr) => addr.port(),
        ref other => panic!("{other:?}"),
    }
}

async fn echo_server() -> (Server, String) {
    let server = Server::builder().bind("127.0.0.1:0").pull("/echo", echo).start().await.unwrap();
    let url = format!("ws://127.0.0.1:{}/echo", port(&server));
    (server, url)
}

/// Listens and answers each connection in turn: the script gets the request head and says what to
/// write. Returns the heads that came.
async fn script(answers: Vec<&'static [u8]>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let mut stream = listener.accept().await.unwrap().0;
            let head = read_head(&mut stream).await;
            stream.write_all(&answered(answer, &head)).await.unwrap();
            heads.push(head);
        }
        heads
    });
    (url, task)
}

/// Puts the answer to the key where the script says `ACCEPT`.
fn answered(answer: &[u8], head: &str) -> Vec<u8> {
    let key = field(head, "sec-websocket-key").unwrap_or_default();
    let accept = everwire_proto::handshake::accept_key(&key);
    match answer.windows(6).position(|window| window == b"ACCEPT") {
        Some(at) => [&answer[..at], accept.as_bytes(), &answer[at + 6..]].concat(),
        None => answer.to_vec(),
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

fn client(url: &str) -> Client {
    Client::new(url).unwrap().proxy(ProxyConfig::Direct)
}

async fn refusal(answer: &'static [u8]) -> ConnectError {
    let (url, _server) = script(vec![answer]).await;
    client(&url).connect().await.unwrap_err()
}

#[test]
fn public_types_and_the_attempt_itself_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    fn check_send<T: Send>(_: T) {}
    check::<Client>();
    check::<ConnectError>();
    check::<CookieJar>();
    check_send(client("ws://h").connect());
}

#[tokio::test]
async fn messages_go_both_ways_and_closing_is_clean() {
    let (_server, url) = echo_server().await;
    let mut ws = connect(&url).await.unwrap();
    for text in ["hello", "", "größer"] {
        ws.send(text).await.unwrap();
        assert_eq!(ws.recv().await, Some(Message::text(text)));
    }
    let large = vec![7; 300_000];
    ws.send(large.clone()).await.unwrap();
    assert_eq!(ws.recv().await.unwrap().as_bytes(), large);
    ws.flush_and_ping().await.unwrap();
    let closure = ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap().await;
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::LocalClosed, true));
    assert_eq!(closure.code(), CloseCode::NORMAL_CLOSURE);
    assert_eq!(ws.recv().await, None);
}

#[tokio::test]
async fn the_heads_of_the_opening_handshake_are_kept() {
    let (_server, url) = echo_server().await;
    let ws = client(&format!("{url}?a=b")).header("x-test", "1").connect().await.unwrap();
    let request = ws.request().unwrap();
    assert_eq!(request.uri(), "/echo?a=b");
    assert_eq!(request.headers()["x-test"], "1");
    assert_eq!(request.headers()["host"], url["ws://".len()..].split('/').next().unwrap());
    assert_eq!(ws.response().unwrap().status(), 101);
    assert_eq!(ws.path(), "/echo");
    assert!(ws.remote_addr().is_some() && ws.local_addr().is_some());
}

#[tokio::test]
async fn a_handler_is_called_for_what_comes() {
    struct Collect(tokio::sync::mpsc::UnboundedSender<String>);
    impl Handler for Collect {
        fn on_open(&mut self, conn: &mut Conn<'_>) {
            conn.send("one").unwrap();
        }
        fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
            self.0.send(message.as_text().unwrap().to_owned()).unwrap();
            conn.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        }
        fn on_close(&mut self, closure: &crate::Closure) {
            self.0.send(closure.cause.label().to_owned()).unwrap();
        }
    }
    let (_server, url) = echo_server().await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let handle = client(&url).connect_handler(Collect(sender)).await.unwrap();
    assert_eq!(handle.response().unwrap().status(), 101);
    assert!(handle.closed().await.is_clean());
    assert_eq!(seen.recv().await.as_deref(), Some("one"));
    assert_eq!(seen.recv().await.as_deref(), Some("local_closed"));
}

#[tokio::test]
async fn bytes_behind_the_head_are_the_first_frames() {
    let answer = [OK, b"\x81\x02hi"].concat().leak();
    let (url, _server) = script(vec![answer]).await;
    assert_eq!(client(&url).connect().await.unwrap().recv().await, Some(Message::text("hi")));
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let (url, _server) = script(vec![[hints, OK].concat().leak()]).await;
    client(&url).connect().await.unwrap();
}

#[tokio::test]
async fn endless_interim_responses_are_an_error() {
    let error = refusal(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000).leak()).await;
    assert_eq!(
        error.to_string(),
        "server's answer opens no websocket connection: head exceeds the limit of 16384 bytes"
    );
}

#[tokio::test]
async fn illegal_answers_are_named() {
    #[track_caller]
    fn check(error: &ConnectError, expected: &str) {
        let prefix = "server's answer opens no websocket connection: ";
        assert_eq!(error.to_string(), format!("{prefix}{expected}"));
        assert!(matches!(error, ConnectError::Handshake(_)));
    }
    let with = |from: &str, to: &str| -> &'static [u8] {
        std::str::from_utf8(OK).unwrap().replace(from, to).leak().as_bytes()
    };
    for (answer, expected) in [
        (with("ACCEPT", "x"), "header sec-websocket-accept does not answer the key"),
        (with("Upgrade: websocket", "Upgrade: h2c"), "header upgrade is \"h2c\" and not websocket"),
        (with("Upgrade: websocket\r\n", ""), "header upgrade is missing"),
        (
            with("Connection: Upgrade", "Connection: close"),
            "header connection does not name upgrade",
        ),
        (with("HTTP/1.1", "HTTP/1.0"), "response is HTTP/1.0 and not HTTP/1.1"),
        (with("HTTP/1.1", "HTTP/2.0"), "http version is neither 1.1 nor 1.0"),
        (
            with("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
            "server chose subprotocol \"x\", which was not offered",
        ),
        (
            with("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "server chose extension \"permessage-deflate\", which was not offered",
        ),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "http version is neither 1.1 nor 1.0"),
        (b"\x00\x01\x02", "malformed head: control character"),
        (
            with("\r\n\r\n", &format!("\r\nX: {}", "x".repeat(20_000))),
            "head exceeds the limit of 16384 bytes",
        ),
        (with("\r\n\r\n", &"\r\nX: y".repeat(200)), "head exceeds the limit of 100 headers"),
    ] {
        check(&refusal(answer).await, expected);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_said_to() {
    let error = refusal(b"").await;
    assert!(matches!(error, ConnectError::Closed { received: 0 }), "{error}");
    let error = refusal(b"HTTP/1.1 101 X\r\n").await;
    let expected = "server closed the connection after 16 bytes, in the head of its answer";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_tls_server_behind_a_plain_url_is_recognised() {
    let error = refusal(b"\x15\x03\x01\x00\x02\x02\x46").await;
    assert_eq!(error.to_string(), "server speaks tls: use wss:// instead of ws://");
}

#[tokio::test]
async fn a_refusal_has_status_headers_and_body() {
    let answer = b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater";
    let error = refusal(answer).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let ConnectError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!((refused.status.as_u16(), &refused.body[..]), (503, &b"later"[..]));
    assert_eq!(refused.headers["retry-after"], "7");
    let chunked = b"HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let ConnectError::Refused(refused) = refusal(chunked).await else { panic!() };
    assert_eq!(&refused.body[..], b"no");
    let ConnectError::Refused(refused) = refusal(b"HTTP/1.0 404 X\r\n\r\ngone").await else {
        panic!()
    };
    assert_eq!(&refused.body[..], b"gone");
}

#[tokio::test]
async fn our_own_servers_refusals_are_understood() {
    let server = Server::builder().bind("127.0.0.1:0").pull("/echo", echo);
    let server = server
        .authorize(|request| {
            let token = request.headers().get("authorization");
            let is_good = token.is_some_and(|token| token == "Bearer good");
            let reject = || Reject::status(http::StatusCode::UNAUTHORIZED).body("who are you?\n");
            Box::pin(async move { if is_good { Ok(Accept::new()) } else { Err(reject()) } })
        })
        .start()
        .await
        .unwrap();
    let client = client(&format!("ws://127.0.0.1:{}/echo", port(&server)));
    let error = client.connect().await.unwrap_err();
    let expected = "server refuses with status 401 Unauthorized instead of 101, saying \"who are you?\" (it wants other credentials)";
    assert_eq!(error.to_string(), expected);
    client.bearer("good").connect().await.unwrap();
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_hide_the_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let _server = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 403 X\r\n\r\nno").await.unwrap();
        std::future::pending::<()>().await;
    });
    let timeout = Duration::from_millis(400);
    let error = client(&url).connect_timeout(timeout).connect().await.unwrap_err();
    let ConnectError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!(&refused.body[..], b"no");
}

#[tokio::test]
async fn a_silent_server_times_out_in_the_opening_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(100);
    let error = client(&url).connect_timeout(timeout).connect().await.unwrap_err();
    assert_eq!(error.to_string(), "timed out after 100ms in the opening handshake");
    let ConnectError::Dial(DialError::Timeout { phase, .. }) = error else { panic!("{error}") };
    assert_eq!(phase, Phase::Handshake);
}

#[tokio::test]
async fn dropping_the_attempt_closes_the_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("ws://{}", listener.local_addr().unwrap()));
    let attempt = tokio::spawn(async move { client.connect().await.map(drop) });
    let mut stream = listener.accept().await.unwrap().0;
    read_head(&mut stream).await;
    attempt.abort();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
    read.await.expect("the socket is closed").ok();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn everything_chosen_is_in_the_request() {
    let (url, server) = script(vec![OK]).await;
    let client = Client::new(&url.replace("ws://", "ws://us%65r:p%3As@")).unwrap();
    client
        .proxy(ProxyConfig::Direct)
        .header("X-A", "1")
        .header("x-a", "2")
        .origin("https://page.test")
        .subprotocols(["a", "b"])
        .connect()
        .await
        .unwrap();
    let head = server.await.unwrap().remove(0);
    let host = &url["ws://".len()..];
    assert!(head.starts_with(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n")), "{head}");
    assert_eq!(field(&head, "authorization").as_deref(), Some("Basic dXNlcjpwOnM="));
    assert_eq!(field(&head, "origin").as_deref(), Some("https://page.test"));
    assert_eq!(field(&head, "sec-websocket-protocol").as_deref(), Some("a, b"));
    assert_eq!(field(&head, "sec-websocket-version").as_deref(), Some("13"));
    assert_eq!(head.to_ascii_lowercase().matches("x-a: ").count(), 2);
}

#[tokio::test]
async fn the_path_is_sent_as_it_was_written() {
    let (url, server) = script(vec![OK]).await;
    let raw = "/a/../b//%2e?x=\"<{|}>^`\\&c=ü";
    let ws = client(&format!("{url}{raw}")).connect().await.unwrap();
    assert_eq!(ws.request().unwrap().uri().query().unwrap().chars().next(), Some('x'));
    let head = server.await.unwrap().remove(0);
    let sent = raw.replace('ü', "%C3%BC");
    assert!(head.starts_with(&format!("GET {sent} HTTP/1.1\r\n")), "{head}");
}

#[tokio::test]
async fn each_attempt_has_a_fresh_key() {
    let (url, server) = script(vec![OK, OK]).await;
    let client = client(&url);
    client.connect().await.unwrap();
    client.connect().await.unwrap();
    let heads = server.await.unwrap();
    assert_ne!(field(&heads[0], "sec-websocket-key"), field(&heads[1], "sec-websocket-key"));
}

#[tokio::test]
async fn what_cannot_be_sent_fails_before_anything_is() {
    let fail = |client: Client| async move { client.connect().await.unwrap_err().to_string() };
    let base = || client("ws://127.0.0.1:1/");
    assert_eq!(
        fail(base().header("x y", "1")).await,
        "header \"x y\" cannot be sent: expected a token as the name and no control characters in the value"
    );
    assert!(fail(base().header("x", "a\r\nb")).await.starts_with("header \"x\" cannot be sent"));
    assert_eq!(
        fail(base().header("upgrade", "h2c")).await,
        "request cannot be made: header upgrade is set by the handshake"
    );
    assert_eq!(
        fail(base().subprotocols(["a b"])).await,
        "request cannot be made: subprotocol 0 of the offer is not a token"
    );
    assert!(matches!(connect("example.com").await, Err(ConnectError::Url(_))));
}

#[tokio::test]
async fn secrets_are_not_in_debug_output() {
    let client = Client::new("ws://u:hunter2@h/").unwrap().bearer("hunter2");
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_observer_sees_heads_and_frames() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);
    impl ClientObserver for Log {
        fn request(&self, target: &Target, request: &http::Request<()>) {
            let line = format!("{} {}", target.host(), request.uri());
            self.0.lock().unwrap().push(line);
        }
        fn response(&self, response: &Response<()>) {
            self.0.lock().unwrap().push(response.status().to_string());
        }
        fn frame(&self, frame: crate::FrameLine<'_>) {
            self.0.lock().unwrap().push(frame.to_string());
        }
    }
    let (_server, url) = echo_server().await;
    let log = Log::default();
    let mut ws = client(&url).observer(log.clone()).connect().await.unwrap();
    ws.send("hi").await.unwrap();
    ws.recv().await.unwrap();
    ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap().await;
    let expected = [
        "127.0.0.1 /echo",
        "101 Switching Protocols",
        "> TEXT \"hi\" [2 bytes]",
        "< TEXT \"hi\" [2 bytes]",
        "> CLOSE 1000 \"bye\"",
        "< CLOSE 1000",
    ];
    assert_eq!(*log.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn cookies_come_back_even_after_a_refusal() {
    let (url, server) = script(vec![
        b"HTTP/1.1 403 X\r\nSet-Cookie: id=1\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n",
        OK,
    ])
    .await;
    let client = client(&url).cookies(Arc::new(CookieJar::new())).header("cookie", "own=0");
    assert_eq!(client.connect().await.unwrap_err().status().unwrap(), 403);
    client.connect().await.unwrap();
    let heads = server.await.unwrap();
    assert_eq!(field(&heads[0], "cookie").as_deref(), Some("own=0"));
    assert_eq!(field(&heads[1], "cookie").as_deref(), Some("own=0; id=1; b=2"));
}

#[tokio::test]
async fn the_handshake_error_is_kept_as_a_value() {
    let error = refusal(b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n").await;
    let ConnectError::Handshake(error) = error else { panic!("{error}") };
    assert_eq!(error, ClientHandshakeError::Upgrade { found: "h2c".into() });
}

#[tokio::test]
async fn what_came_while_output_was_full_is_handled_when_it_has_gone() {
    use everwire_proto::{FrameHeader, Opcode};
    struct Echo;
    impl Handler for Echo {
        fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
            conn.send(message).unwrap();
        }
    }
    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        FrameHeader::new(opcode, true, payload.len() as u64).encode(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::default();
    (config.limits.message, config.keepalive) = (16 << 20, None);
    let client = client(&format!("ws://{}", listener.local_addr().unwrap())).config(config);
    let connecting = tokio::spawn(async move { client.connect_handler(Echo).await.unwrap() });
    let mut stream = listener.accept().await.unwrap().0;
    let head = read_head(&mut stream).await;
    stream.write_all(&answered(OK, &head)).await.unwrap();
    let connection = connecting.await.unwrap();
    // The echo of this fills the socket, for nobody reads it yet.
    stream.write_all(&frame(Opcode::Binary, &vec![7; 12 << 20])).await.unwrap();
    let is_full = async {
        while connection.shared().send_queue().0 < 1 << 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_full).await.expect("it is echoed");
    stream.write_all(&frame(Opcode::Text, b"late")).await.unwrap();
    let mut left = (14 + (12 << 20)) + (6 + 4);
    let read = async {
        let mut chunk = vec![0; 1 << 20];
        while left > 0 {
            left -= stream.read(&mut chunk).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("the late message is answered");
    drop(connection);
}
