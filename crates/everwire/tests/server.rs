//! The server on real sockets.

mod common;

use std::{future::Future, io, time::Duration};

use common::{
    Echo, Notes, Raw, Recorder, close, connect, echo, exchange, frame, head, read_head, soon,
    start, status, text, until, until_len,
};
use everwire::{
    Cause, Client, Config, Conn, Drain, Handler, Keepalive, Listener, Message, Sender, Server,
    dial::{Dialer, ProxyConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

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

#[cfg(unix)]
#[tokio::test]
async fn a_client_comes_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("everwire.sock");
    let _server = echo().listener(Listener::unix(&path).unwrap()).start().await.unwrap();
    let dialer = Dialer::new()
        .with_proxy(ProxyConfig::Direct)
        .with_connector(move |_, _| tokio::net::UnixStream::connect(path.clone()));
    let client = Client::new("ws://nowhere.test/echo").unwrap().dialer(dialer);
    let mut ws = soon(client.connect()).await.unwrap();
    ws.send("hi").await.unwrap();
    assert_eq!(soon(ws.recv()).await.unwrap().as_text(), Some("hi"));
    assert_eq!(ws.remote_addr(), None);
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
    let drained = soon(server.shutdown(Drain::restart().deadline(Duration::from_secs(20)))).await;
    assert_eq!(drained.unwrap().clean, 20);
    soon(answering).await.unwrap();
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
    // Others of its loop have their turns, and it has none.
    for _ in 0..10 {
        let _other = connect(addr, "/").await;
        soon(senders.recv()).await.unwrap();
    }
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
async fn trap_21_handlers_that_send_to_each_other_never_deadlock() {
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
    until(|| slots.iter().all(|slot| slot.lock().unwrap().is_some())).await;
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
            let mut config = Config::default();
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
    let (server, addr) = start(builder.push("/echo", |_| Echo)).await;
    let mut peer = connect(addr, "/").await;
    // Each of these lets the runtime poll whoever is awake.
    let mut other = connect(addr, "/echo").await;
    for _ in 0..100 {
        other.write(&text("on")).await;
        other.read().await.unwrap();
    }
    drop(other);
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
    let mut config = Config::default();
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
async fn the_head_of_a_request_may_be_larger_if_that_is_wanted() {
    let limits = everwire::HeadLimits { bytes: 40_000, headers: 200 };
    for (builder, expected) in [(echo(), 431), (echo().head_limits(limits), 101)] {
        let (_server, addr) = start(builder).await;
        for more in [format!("X: {}\r\n", "y".repeat(30_000)), "X: y\r\n".repeat(150)] {
            let mut io = TcpStream::connect(addr).await.unwrap();
            io.write_all(head("/echo", &more).as_bytes()).await.unwrap();
            assert_eq!(status(&read_head(&mut io).await), expected);
        }
    }
}

#[tokio::test]
async fn the_maximum_age_holds_for_paths_with_limits_of_their_own() {
    let mut config = Config::default();
    config.limits.message = 10;
    let builder = echo().push("/own", |_| Echo).route_config(config);
    let (server, addr) = start(builder.max_age(Duration::from_millis(100))).await;
    for path in ["/echo", "/own"] {
        let mut peer = connect(addr, path).await;
        assert_eq!(peer.read_close().await.0, 1001);
        peer.write(&close(1001)).await;
        peer.read_eof().await;
    }
    until_len(&server, 0).await;
    assert_eq!(server.registry().totals().closed["max_age"], 2);
}

/// Linux gives up a path whose window stays closed for as long as TCP_USER_TIMEOUT says.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_reader_that_never_reads_has_the_write_timeout_of_its_path_whatever_the_keepalive() {
    let mut impatient = Config::default();
    impatient.keepalive = Some(Keepalive::new(Duration::from_secs(1), Duration::from_millis(500)));
    impatient.write_timeout = Duration::from_secs(1);
    let mut patient = impatient.clone();
    patient.write_timeout = Duration::from_secs(5);
    patient.limits.send_queue = 64 << 20;
    let notes = Notes::default();
    let recorded = notes.clone();
    let builder = Server::builder().push("/", move |_| Recorder(recorded.clone()));
    let (server, addr) = start(builder.route_config(patient).config(impatient)).await;
    let _never_reads = connect(addr, "/").await;
    until_len(&server, 1).await;
    let sender = server.registry().get(server.registry().list()[0].id).unwrap();
    sender.send(vec![0; 32 << 20]).await.unwrap();
    assert_eq!(notes.until(2).await, ["open", "write_timeout"]);
    assert!(sender.closed().await.duration >= Duration::from_secs(5));
}
