//! The server on real sockets.

mod common;

use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use common::{
    Echo, Notes, Raw, Recorder, close, connect, exchange, frame, head, read_head, soon, status,
    text,
};
use everwire::{
    Accept, Cause, CloseCode, Conn, Decision, Handler, Listener, Message, OriginPolicy, Reject,
    Sender, Server, ServerBuilder, UpgradeRequest, trust::TrustedProxies,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.bind("127.0.0.1:0").start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

fn echo() -> ServerBuilder {
    Server::builder().push("/echo", |_| Echo)
}

/// Waits until a server has this many connections.
async fn until_len(server: &Server, len: usize) {
    soon(async {
        while server.registry().len() != len {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_behind_the_head_are_kept() {
    let (_server, addr) = start(echo()).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    let request = [head("/echo", "").as_bytes(), &text("early"), &text("bird")[..5]].concat();
    io.write_all(&request).await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    let mut peer = Raw(io);
    assert_eq!(peer.read().await.unwrap().1, b"early");
    peer.write(&text("bird")[5..]).await;
    assert_eq!(peer.read().await.unwrap().1, b"bird");
}

#[tokio::test]
async fn the_second_request_of_an_http_connection_may_upgrade_it() {
    let (server, addr) = start(echo()).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let response = read_head(&mut io).await;
    assert_eq!(status(&response), 404, "{response}");
    let mut body = [0; 10];
    soon(io.read_exact(&mut body)).await.unwrap();
    io.write_all(&[head("/echo", "").as_bytes(), &text("early")].concat()).await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    let mut peer = Raw(io);
    assert_eq!(peer.read().await.unwrap().1, b"early");
    peer.write(&text("late")).await;
    assert_eq!(peer.read().await.unwrap().1, b"late");
    assert_eq!(server.registry().len(), 1);
    peer.write(&close(1000)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    peer.read_eof().await;
    until_len(&server, 0).await;
}

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
async fn pages_of_other_hosts_are_refused() {
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

#[tokio::test]
async fn authorize_decides_with_status_headers_data_and_subprotocol() {
    let builder = Server::builder().push("/", |_| Name).authorize(decide);
    let (_server, addr) = start(builder.handshake_timeout(Duration::from_millis(500))).await;
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

/// Polls once.
trait Now: Future + Sized {
    async fn now(self) -> Option<Self::Output> {
        tokio::time::timeout(Duration::ZERO, self).await.ok()
    }
}

impl<F: Future> Now for F {}

#[tokio::test]
async fn stalled_handshakes_delay_nobody_and_end() {
    let (_server, addr) = start(echo().handshake_timeout(Duration::from_secs(2))).await;
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
async fn over_the_limit_is_503_with_retry_after_until_a_place_is_free() {
    let (server, addr) = start(echo().max_connections(2)).await;
    let _first = connect(addr, "/echo").await;
    let mut second = connect(addr, "/echo").await;
    let response = exchange(addr, &head("/echo", "")).await;
    assert_eq!(status(&response), 503, "{response}");
    assert!(response.to_ascii_lowercase().contains("retry-after: "), "{response}");
    second.write(&close(1000)).await;
    second.read_close().await;
    drop(second);
    until_len(&server, 1).await;
    connect(addr, "/echo").await;
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own() {
    let (_server, addr) = start(echo().max_connections_per_address(1)).await;
    let first = connect(addr, "/echo").await;
    assert_eq!(status(&exchange(addr, &head("/echo", "")).await), 503);
    let from = tokio::net::TcpSocket::new_v4().unwrap();
    from.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut io = from.connect(addr).await.unwrap();
    io.write_all(head("/echo", "").as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    drop(first);
}

#[tokio::test]
async fn the_close_survives_input_that_is_under_way() {
    let (server, addr) = start(echo()).await;
    for _ in 0..20 {
        let mut peer = connect(addr, "/echo").await;
        // 200 KB that nobody wants stand behind a frame that breaks the protocol.
        let bad = [&[0x81, 0x01, b'x'][..], &frame(0x82, &[0; 200_000])].concat();
        peer.write(&bad).await;
        assert_eq!(peer.read_close().await.0, 1002);
        peer.write(&frame(0x82, &[0; 10_000])).await;
        peer.read_eof().await;
    }
    until_len(&server, 0).await;
}

#[tokio::test]
async fn the_server_closes_tcp_first() {
    let (_server, addr) = start(echo()).await;
    let mut peer = connect(addr, "/echo").await;
    peer.write(&close(1000)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    peer.read_eof().await;
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

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_serves() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("everwire.sock");
    let server = echo().listener(Listener::unix(&path).unwrap()).start().await.unwrap();
    assert_eq!(server.addrs()[0].to_string(), format!("unix:{}", path.display()));
    let mut io = tokio::net::UnixStream::connect(&path).await.unwrap();
    io.write_all(head("/echo", "").as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    let mut peer = Raw(io);
    peer.write(&text("hi")).await;
    assert_eq!(peer.read().await.unwrap().1, b"hi");
    assert_eq!(Listener::unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn threads_of_their_own_serve_and_an_address_in_use_is_an_error() {
    let (server, addr) = start(echo().threads(2)).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = connect(addr, "/echo").await;
        peer.write(&text("hi")).await;
        assert_eq!(peer.read().await.unwrap().1, b"hi");
        peers.push(peer);
    }
    for threads in [1, 2] {
        let again = echo().threads(threads).bind(addr.to_string()).start().await;
        assert_eq!(again.unwrap_err().io().kind(), io::ErrorKind::AddrInUse);
    }
    let again = echo().bind(addr.to_string()).start().await;
    assert_eq!(again.unwrap_err().io().kind(), io::ErrorKind::AddrInUse);
    let answering = tokio::spawn(async move {
        for mut peer in peers {
            assert_eq!(peer.read_close().await.0, 1012);
            peer.write(&close(1012)).await;
            peer.read_eof().await;
        }
    });
    let drained = soon(server.shutdown(CloseCode::SERVICE_RESTART, Duration::from_secs(20))).await;
    assert_eq!(drained.unwrap().clean, 20);
    soon(answering).await.unwrap();
}

#[tokio::test]
async fn shutdown_says_goodbye_cuts_who_stays_and_refuses_who_comes() {
    let notes = Notes::default();
    let recorded = notes.clone();
    let builder = Server::builder().push("/", move |_| Recorder(recorded.clone()));
    let (server, addr) = start(builder).await;
    let mut kind = connect(addr, "/").await;
    let _rude = connect(addr, "/").await;
    // This one has connected but not asked yet, and keeps an HTTP connection open.
    let mut late = TcpStream::connect(addr).await.unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_head(&mut late).await), 426);
    let answering = tokio::spawn(async move {
        assert_eq!(kind.read_close().await.0, 1001);
        kind.write(&close(1001)).await;
    });
    until_len(&server, 2).await;
    let drained = server.shutdown(CloseCode::GOING_AWAY, Duration::from_millis(500));
    let drained = soon(drained).await.unwrap();
    assert_eq!((drained.clean, drained.cut), (1, 1));
    soon(answering).await.unwrap();
    let mut notes = notes.until(4).await;
    notes.sort();
    assert_eq!(notes, ["aborted", "open", "open", "shutdown"]);
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
    let mut rest = Vec::new();
    soon(late.read_to_end(&mut rest)).await.unwrap();
}

/// Stops reading at "stop" and hands out a sender.
struct Pauses(tokio::sync::mpsc::UnboundedSender<Sender>, Notes);

impl Handler for Pauses {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.send(conn.sender()).unwrap();
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let text = message.as_text().unwrap();
        self.1.add(text);
        if text == "stop" {
            conn.pause_reading();
        }
    }
}

#[tokio::test]
async fn a_handler_stops_reading_at_once_and_goes_on_when_told() {
    let notes = Notes::default();
    let (handed, mut senders) = tokio::sync::mpsc::unbounded_channel();
    let noted = notes.clone();
    let builder = Server::builder().push("/", move |_| Pauses(handed.clone(), noted.clone()));
    let (_server, addr) = start(builder).await;
    let mut peer = connect(addr, "/").await;
    peer.write(&[text("a"), text("stop"), text("b"), text("stop")].concat()).await;
    let sender = soon(senders.recv()).await.unwrap();
    assert_eq!(notes.until(2).await, ["a", "stop"]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(notes.all().len(), 2);
    sender.resume_reading();
    assert_eq!(notes.until(4).await, ["a", "stop", "b", "stop"]);
    peer.write(&text("c")).await;
    for _ in 0..1000 {
        sender.resume_reading();
    }
    assert_eq!(notes.until(5).await.last().unwrap(), "c");
}

/// Sends whatever comes to the connection of another server.
struct Cross(
    std::sync::Arc<std::sync::Mutex<Option<Sender>>>,
    std::sync::Arc<std::sync::Mutex<Option<Sender>>>,
);

impl Handler for Cross {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        *self.0.lock().unwrap() = Some(conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        let other = self.1.lock().unwrap().clone();
        other.unwrap().try_send(message).ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_send_to_each_other_never_deadlock() {
    let slots: [std::sync::Arc<std::sync::Mutex<Option<Sender>>>; 2] = Default::default();
    let mut peers = Vec::new();
    let mut servers = Vec::new();
    for i in 0..2 {
        let (own, other) = (slots[i].clone(), slots[1 - i].clone());
        let builder = Server::builder().push("/", move |_| Cross(own.clone(), other.clone()));
        let (server, addr) = start(builder.threads(1)).await;
        peers.push(connect(addr, "/").await);
        until_len(&server, 1).await;
        servers.push(server);
    }
    soon(async {
        while slots.iter().any(|slot| slot.lock().unwrap().is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let tasks: Vec<_> = peers
        .into_iter()
        .map(|peer| {
            tokio::spawn(async move {
                let (read, write) = peer.0.into_split();
                let mut read = Raw(tokio::io::join(read, tokio::io::sink()));
                let mut write = Raw(tokio::io::join(tokio::io::empty(), write));
                let writing = async {
                    for _ in 0..5000 {
                        write.write(&text("x")).await;
                    }
                };
                let reading = async {
                    for _ in 0..5000 {
                        assert_eq!(read.read().await.unwrap().1, b"x");
                    }
                };
                tokio::join!(writing, reading);
                // Both must have got everything before one goes.
                (read, write)
            })
        })
        .collect();
    let mut ends = Vec::new();
    for task in tasks {
        ends.push(soon(task).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn what_senders_queued_survives_a_handler_that_fills_the_queue_or_streams() {
    struct Fills;
    impl Handler for Fills {
        fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
            let sender = conn.sender();
            if message.as_text() == Some("fill") {
                sender.try_send("one").unwrap();
                sender.try_send("two").unwrap();
                conn.send(vec![0; 2 << 20]).unwrap();
            } else {
                sender.try_send("three").unwrap();
                conn.start_message(everwire::MessageKind::Binary).unwrap();
                conn.send_piece(b"a").unwrap();
                sender.try_send("four").unwrap();
                conn.finish_message(b"b").unwrap();
            }
        }
    }
    let (mut client, _server) = everwire::test::Pair::new()
        .client_config({
            let mut config = everwire::Config::default();
            config.limits.message = 4 << 20;
            config
        })
        .push(Fills);
    client.send("fill").await.unwrap();
    assert_eq!(soon(client.recv()).await.unwrap().len(), 2 << 20);
    assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("one"));
    assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("two"));
    client.send("stream").await.unwrap();
    assert_eq!(soon(client.recv()).await.unwrap(), Message::binary(&b"ab"[..]));
    assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("three"));
    assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("four"));
}

#[tokio::test]
async fn a_pull_function_may_wait_for_the_end_without_spinning() {
    let polls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = polls.clone();
    let builder = Server::builder().pull("/", move |ws| {
        let counted = counted.clone();
        async move {
            let mut closed = Box::pin(ws.closed());
            let closure = std::future::poll_fn(|cx| {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                closed.as_mut().poll(cx)
            })
            .await;
            assert_eq!(closure.cause, Cause::PeerClosed);
        }
    });
    let (server, addr) = start(builder).await;
    let mut peer = connect(addr, "/").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = polls.load(std::sync::atomic::Ordering::Relaxed);
    assert!(before < 10, "{before} polls of a connection on which nothing happens");
    peer.write(&close(1000)).await;
    peer.read_close().await;
    drop(peer);
    until_len(&server, 0).await;
}

#[tokio::test]
async fn a_reset_is_told_as_one() {
    let notes = Notes::default();
    let recorded = notes.clone();
    let builder = Server::builder().push("/", move |_| Recorder(recorded.clone()));
    let (server, addr) = start(builder).await;
    let peer = connect(addr, "/").await;
    until_len(&server, 1).await;
    socket2::SockRef::from(&peer.0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(notes.until(2).await, ["open", "reset"]);
}

#[tokio::test]
async fn a_route_has_limits_of_its_own() {
    let mut config = everwire::Config::default();
    config.limits.message = 10;
    let builder = echo().push("/small", |_| Echo).route_config(config);
    let (_server, addr) = start(builder).await;
    for (path, first) in [("/echo", 0x81), ("/small", 0x88)] {
        let mut peer = connect(addr, path).await;
        peer.write(&text("eleven byte")).await;
        assert_eq!(peer.read().await.unwrap().0, first);
    }
}

#[tokio::test]
async fn what_decides_on_a_later_request_is_held_to_the_same_rules() {
    let builder = Server::builder().push("/", |_| Name).authorize(decide);
    let (_server, addr) = start(builder.handshake_timeout(Duration::from_millis(300))).await;
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
async fn who_waits_to_be_accepted_at_shutdown_is_told_when_to_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = echo().listener(listener).start().await.unwrap();
    // The accept loop has had no chance to run since: this thread is its only one.
    let mut waiting = std::net::TcpStream::connect(addr).unwrap();
    let drained = server.shutdown(CloseCode::SERVICE_RESTART, Duration::ZERO).await.unwrap();
    assert_eq!((drained.clean, drained.cut), (0, 0));
    io::Write::write_all(&mut waiting, head("/echo", "").as_bytes()).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let mut io = TcpStream::from_std(waiting).unwrap();
    let response = read_head(&mut io).await;
    assert_eq!(status(&response), 503, "{response}");
}
