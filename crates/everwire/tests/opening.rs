//! How a server answers requests to open a connection.

mod common;

use std::{future::Future, pin::Pin, time::Duration};

use common::{
    Echo, Raw, connect, echo, exchange, head, read_head, soon, start, status, text, until_len,
};
use everwire::{
    Accept, CloseCode, Conn, Decision, Handler, Message, OriginPolicy, Reject, Server,
    ServerBuilder, UpgradeRequest, trust::TrustedProxies,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn a_broken_opening_handshake_gets_its_exact_status() {
    let (_server, addr) = start(echo()).await;
    let good = head("/echo", "");
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let cases = [
        (change("GET", "POST"), 405),
        (change("GET", "HEAD"), 405),
        (change(key, ""), 400),
        (change(key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400),
        (change(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"), 400),
        (change(key, &key.repeat(2)), 400),
        (change(version, ""), 426),
        (change("Version: 13", "Version: 8"), 426),
        (change(version, &version.repeat(2)), 400),
        (change("Host: everwire.test\r\n", ""), 400),
        (change("Host: everwire.test\r\n", "Host: a\r\nHost: a\r\n"), 400),
        (change("Host: everwire.test", "Host: a b"), 400),
        (change("Connection: Upgrade\r\n", ""), 400),
        (change("HTTP/1.1", "HTTP/1.0"), 400),
        (change("HTTP/1.1", "HTTP/3.7"), 505),
        (head("/echo", "Content-Length: 5\r\n"), 400),
        (head("/echo", "Transfer-Encoding: chunked\r\n"), 400),
        (head("/echo", "Origin: http://everwire.test\r\nOrigin: http://everwire.test\r\n"), 400),
        (head("/echo", "Sec-WebSocket-Protocol: a, a\r\n"), 400),
        (head("/echo", "Sec-WebSocket-Protocol: a b\r\n"), 400),
        (head("/echo", "Sec-WebSocket-Extensions: x; y=\"\r\n"), 400),
        (head("/echo", "Sec-WebSocket-Extensions: unknown; x=1, unknown\r\n"), 101),
        (head("/echo", "Sec-WebSocket-Protocol: unknown\r\n"), 101),
        (head("/nowhere", ""), 404),
        (head("/echo", "X : y\r\n"), 400),
        (head("/echo", &format!("X: {}\r\n", "y".repeat(17_000))), 431),
        (head("/echo", &"X: y\r\n".repeat(101)), 431),
        ("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 426),
        ("\x16\x03\x01\x02\x00".into(), 400),
    ];
    for (request, expected) in cases {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        let response = read_head(&mut io).await;
        let shown: String = request.chars().take(300).collect();
        assert_eq!(status(&response), expected, "{shown}\n{response}");
        let has = |field: &str| response.to_ascii_lowercase().contains(field);
        if expected == 426 {
            assert!(has("sec-websocket-version: 13") || has("upgrade: websocket"), "{response}");
        }
        if expected == 101 {
            assert!(!has("sec-websocket-extensions") && !has("sec-websocket-protocol"));
        }
    }
}

#[tokio::test]
async fn trap_23_pages_of_other_hosts_are_refused() {
    let trusting = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let list = OriginPolicy::AllowList(vec!["https://friend.test".into()]);
    let own = "Origin: http://everwire.test\r\n";
    let other = "Origin: http://evil.test\r\n";
    let friend = "Origin: https://friend.test\r\n";
    let forwarded = "Origin: https://shop.test\r\nX-Forwarded-Host: shop.test\r\n\
                     X-Forwarded-For: 9.9.9.9\r\n";
    let cases: [(ServerBuilder, &[(&str, u16)]); 4] = [
        (
            echo(),
            &[("", 101), (own, 101), (other, 403), ("Origin: null\r\n", 403), (forwarded, 403)],
        ),
        (echo().origin(list), &[(own, 101), (friend, 101), (other, 403)]),
        (echo().origin(OriginPolicy::DangerAnyOrigin), &[(other, 101)]),
        (echo().trusted_proxies(trusting), &[(forwarded, 101), (own, 101), (other, 403)]),
    ];
    for (builder, cases) in cases {
        let (_server, addr) = start(builder).await;
        for (field, expected) in cases {
            let mut io = TcpStream::connect(addr).await.unwrap();
            io.write_all(head("/echo", field).as_bytes()).await.unwrap();
            assert_eq!(status(&read_head(&mut io).await), *expected, "{field}");
        }
    }
}

fn decide(request: &UpgradeRequest) -> Pin<Box<dyn Future<Output = Decision> + Send + '_>> {
    Box::pin(async move {
        Err(match request.query().unwrap_or_default() {
            "401" => Reject::unauthorized(),
            "403" => Reject::forbidden().body("no\n"),
            "404" => Reject::not_found(),
            "429" => Reject::too_many_requests(Duration::from_millis(1500)),
            "503" => Reject::unavailable(Duration::from_secs(9)),
            "panic" => panic!("as told"),
            "stall" => std::future::pending().await,
            _ => {
                let token = request.bearer_token()?;
                let name = token.map_or("nobody".into(), |token| token.as_str().to_owned());
                let cookie = "a=b".parse().unwrap();
                return Ok(Accept::new()
                    .subprotocol("b")
                    .header(http::header::SET_COOKIE, cookie)
                    .data(name));
            }
        })
    })
}

struct Name;

impl Handler for Name {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let name = conn.data::<String>().unwrap().clone();
        conn.send(format!("{name} {} {}", conn.path(), conn.subprotocol().unwrap())).unwrap();
    }

    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

/// Polls once.
trait Now: Future + Sized {
    async fn now(self) -> Option<Self::Output> {
        tokio::time::timeout(Duration::ZERO, self).await.ok()
    }
}

impl<F: Future> Now for F {}

#[tokio::test]
async fn trap_24_authorize_decides_with_status_headers_data_and_subprotocol() {
    let builder = Server::builder().push("/", |_| Name).authorize(decide);
    let (_server, addr) = start(builder.handshake_timeout(Duration::from_secs(3))).await;
    for (query, expected, field) in [
        ("401", 401, "www-authenticate: bearer"),
        ("403", 403, "\r\n\r\nno\n"),
        ("404", 404, ""),
        ("429", 429, "retry-after: 2\r\n"),
        ("503", 503, "retry-after: 9\r\n"),
        ("panic", 500, ""),
        ("stall", 0, ""),
    ] {
        let response = exchange(addr, &head(&format!("/?{query}"), "")).await;
        assert_eq!(status(&response), expected, "{query}: {response}");
        assert!(response.to_ascii_lowercase().contains(field), "{response}");
    }
    for (field, name) in [
        ("Authorization: Bearer abc\r\nSec-WebSocket-Protocol: a, b\r\n", "abc"),
        ("Sec-WebSocket-Protocol: b, everwire.bearer.YWJj\r\n", "abc"),
        ("Sec-WebSocket-Protocol: b\r\n", "nobody"),
    ] {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(head("/", field).as_bytes()).await.unwrap();
        let response = read_head(&mut io).await.to_ascii_lowercase();
        assert_eq!(status(&response), 101, "{response}");
        assert!(response.contains("set-cookie: a=b\r\n"), "{response}");
        assert!(response.contains("sec-websocket-protocol: b\r\n"), "{response}");
        assert_eq!(Raw(io).read().await.unwrap().1, format!("{name} / b").as_bytes());
    }
    // Nobody may choose what was not offered.
    assert_eq!(status(&exchange(addr, &head("/", "")).await), 500);
}

#[tokio::test]
async fn what_decides_on_a_later_request_is_held_to_the_same_rules() {
    let builder = Server::builder().push("/", |_| Name).authorize(decide);
    let (_server, addr) = start(builder.handshake_timeout(Duration::from_secs(3))).await;
    for (query, expected) in [("panic", 500), ("stall", 503), ("403", 403)] {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(status(&read_head(&mut io).await), 404);
        let mut body = [0; 10];
        soon(io.read_exact(&mut body)).await.unwrap();
        io.write_all(head(&format!("/?{query}"), "").as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut io).await), expected, "{query}");
    }
}

#[tokio::test]
async fn a_factory_that_panics_answers_500_and_a_pull_function_1011() {
    let builder = Server::builder()
        .push("/factory", |request| {
            assert!(request.query().is_some(), "as told");
            Echo
        })
        .pull("/call", |_| -> std::future::Ready<()> { panic!("as told") })
        .pull("/poll", |ws| async move {
            ws.send("first").await.unwrap();
            panic!("as told")
        });
    let (server, addr) = start(builder).await;
    assert_eq!(status(&exchange(addr, &head("/factory", "")).await), 500);
    assert_eq!(connect(addr, "/call").await.read_close().await.0, 1011);
    let mut peer = connect(addr, "/poll").await;
    assert_eq!(peer.read().await.unwrap().1, b"first");
    assert_eq!(peer.read_close().await.0, 1011);
    peer.read_eof().await;
    until_len(&server, 0).await;
    connect(addr, "/factory?").await;
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_at_the_deadline() {
    let (_server, addr) = start(echo().handshake_timeout(Duration::from_millis(300))).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    let dribble = async {
        for byte in head("/echo", "").bytes().cycle() {
            if io.write_all(&[byte]).await.is_err() || io.read_u8().now().await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(dribble).await;
}

#[tokio::test]
async fn stalled_handshakes_delay_nobody_and_end() {
    let (_server, addr) = start(echo().handshake_timeout(Duration::from_secs(10))).await;
    let mut stalled = Vec::new();
    for _ in 0..500 {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(b"GET /echo HTT").await.unwrap();
        stalled.push(io);
    }
    let mut peer = connect(addr, "/echo").await;
    peer.write(&text("alive")).await;
    assert_eq!(peer.read().await.unwrap().1, b"alive");
    assert!(stalled[0].read_u8().now().await.is_none(), "its deadline is not over");
    for mut io in stalled {
        assert!(soon(io.read_u8()).await.is_err());
    }
}

#[tokio::test]
async fn the_proxy_protocol_is_read_from_trusted_peers_only() {
    let who = || {
        Server::builder().pull("/", |ws| async move {
            ws.send(ws.client_ip().unwrap().to_string()).await.unwrap();
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap().await;
        })
    };
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n".to_vec();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 8, 192, 0, 2, 1, 0x12, 0x34, 0, 80]);
    let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let (_server, addr) = start(who().proxy_protocol().trusted_proxies(trusted)).await;
    for (header, client) in [(&v1, "203.0.113.7"), (&v2, "203.0.113.8")] {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(&[header, head("/", "").as_bytes()].concat()).await.unwrap();
        assert_eq!(status(&read_head(&mut io).await), 101);
        assert_eq!(Raw(io).read().await.unwrap().1, client.as_bytes());
    }
    assert_eq!(status(&exchange(addr, &head("/", "")).await), 0, "no header, no connection");
    let (_server, addr) = start(who().proxy_protocol()).await;
    for header in [&v1, &v2] {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(&[header, head("/", "").as_bytes()].concat()).await.unwrap();
        assert_ne!(status(&read_head(&mut io).await), 101);
    }
}
