//! Compression over real sockets, on both faces and in both modes.

mod common;

use common::{Echo, close, echo, frame, head, read_head, soon, start, text};
use everwire::{
    Cause, Client, Compress, Config, Conn, ConnectError, DeflateConfig, DeflateMode, DeflateParams,
    Handler, Message, MessageKind, PreparedMessage, Server, WebSocket, dial::ProxyConfig,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

const MODES: [DeflateMode; 2] = [DeflateMode::Shared, DeflateMode::Dedicated];

fn json(len: usize, seed: usize) -> String {
    let item =
        |i: usize| format!("{{\"id\":{},\"name\":\"item {}\",\"ok\":true}},", i * seed, i % 7);
    let mut text: String = (0..len / 20 + 1).map(item).collect();
    text.truncate(len);
    text
}

fn client(server: &Server, path: &str, mode: DeflateMode) -> Client {
    let url = format!("ws://{}{path}", server.local_addr().unwrap());
    Client::new(&url).unwrap().proxy(ProxyConfig::Direct).deflate(DeflateConfig::new(mode))
}

async fn echo_pulled(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

fn both_faces(mode: DeflateMode) -> everwire::ServerBuilder {
    echo().pull("/pull", echo_pulled).deflate(DeflateConfig::new(mode))
}

#[tokio::test]
async fn messages_come_back_the_same_on_both_faces_in_both_modes() {
    for server_mode in MODES {
        let (server, _) = start(both_faces(server_mode)).await;
        for (client_mode, path) in MODES.into_iter().flat_map(|m| [(m, "/echo"), (m, "/pull")]) {
            let mut ws = soon(client(&server, path, client_mode).connect()).await.unwrap();
            for len in [0, 10, 511, 512, 5_000, 100_000, 900_000] {
                let message = json(len, len % 11 + 1);
                soon(ws.send(&message[..])).await.unwrap();
                let back = soon(ws.recv()).await.unwrap();
                assert!(back.as_text() == Some(&message), "{server_mode:?} {client_mode:?} {len}");
            }
        }
    }
}

#[tokio::test]
async fn connections_of_one_thread_share_codecs_without_mixing() {
    for mode in MODES {
        let (server, _) = start(both_faces(mode)).await;
        let mut sockets = Vec::new();
        for _ in 0..100 {
            sockets.push(soon(client(&server, "/echo", mode).connect()).await.unwrap());
        }
        for round in 0..5 {
            for (i, ws) in sockets.iter().enumerate() {
                soon(ws.send(json(2_000, i + round + 1))).await.unwrap();
            }
            for (i, ws) in sockets.iter_mut().enumerate() {
                let back = soon(ws.recv()).await.unwrap();
                assert_eq!(back.as_text(), Some(&json(2_000, i + round + 1)[..]));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_moves_between_threads_is_understood() {
    let (server, _) = start(both_faces(DeflateMode::Dedicated)).await;
    let tasks = (0..16).map(|i| {
        let client = client(&server, "/pull", DeflateMode::Dedicated);
        tokio::spawn(async move {
            let mut ws = client.connect().await.unwrap();
            for round in 1..100 {
                let message = json(700 + round * 13 % 900, i + round % 5);
                ws.send(&message[..]).await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some(&message[..]));
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        soon(task).await.unwrap();
    }
}

#[tokio::test]
async fn pieces_and_prepared_messages_are_understood() {
    for mode in MODES {
        let (server, _) = start(both_faces(mode)).await;
        let mut ws = soon(client(&server, "/pull", mode).connect()).await.unwrap();
        let mut writer = soon(ws.stream_message(MessageKind::Text)).await.unwrap();
        for _ in 0..20 {
            soon(writer.write(json(3_000, 3).into_bytes())).await.unwrap();
        }
        soon(writer.finish()).await.unwrap();
        let back = soon(ws.recv()).await.unwrap();
        assert!(back.as_text() == Some(&json(3_000, 3).repeat(20)));
        let all =
            [PreparedMessage::new(json(3_000, 5)), PreparedMessage::uncompressed(json(800, 5))];
        for prepared in all {
            for _ in 0..3 {
                soon(ws.send_prepared(&prepared)).await.unwrap();
                assert_eq!(soon(ws.recv()).await.unwrap().as_bytes(), &prepared.payload()[..]);
            }
        }
    }
}

/// Sends what a message asks for, in one of the ways that a handler has.
struct Sends;

impl Handler for Sends {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let compress = match message.as_text() {
            Some("never") => Compress::Never,
            Some("always") => Compress::Always,
            _ => Compress::ByThreshold,
        };
        conn.send_with("a".repeat(100), compress).unwrap();
        conn.send_with(json(1_000, 2), compress).unwrap();
        conn.start_message_with(MessageKind::Text, compress).unwrap();
        conn.send_piece("b".repeat(50).as_bytes()).unwrap();
        conn.finish_message("c".repeat(50).as_bytes()).unwrap();
    }
}

/// The same by handles.
async fn send(ws: WebSocket) {
    let mut ws = ws;
    while let Some(message) = ws.recv().await {
        let compress = match message.as_text() {
            Some("never") => Compress::Never,
            Some("always") => Compress::Always,
            _ => Compress::ByThreshold,
        };
        ws.send_with("a".repeat(100), compress).await.unwrap();
        ws.try_send_with(json(1_000, 2), compress).unwrap();
        let mut writer = ws.stream_message_with(MessageKind::Text, compress).await.unwrap();
        writer.write("b".repeat(50).into_bytes()).await.unwrap();
        writer.write("c".repeat(50).into_bytes()).await.unwrap();
        writer.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_sender_says_which_messages_are_compressed() {
    let builder = Server::builder().push("/push", |_| Sends).pull("/pull", send);
    let (server, _) = start(builder.deflate(DeflateConfig::new(DeflateMode::Dedicated))).await;
    for path in ["/push", "/pull"] {
        let (io, head) = ask(&server, path, "permessage-deflate").await;
        assert!(answered(&head).is_some());
        let mut raw = common::Raw(io);
        for (how, [small, large, pieces]) in [
            ("by threshold", [false, true, true]),
            ("never", [false, false, false]),
            ("always", [true, true, true]),
        ] {
            raw.write(&text(how)).await;
            // RSV1 is on the first frame of a compressed message.
            for (is_compressed, first) in [(small, 0x81), (large, 0x81), (pieces, 0x01)] {
                let (byte, payload) = soon(raw.read()).await.unwrap();
                let mark = if is_compressed { 0x40 } else { 0 };
                assert_eq!(byte, first | mark, "{path} {how} {}", payload.len());
                if first == 0x01 {
                    while soon(raw.read()).await.unwrap().0 & 0x80 == 0 {}
                }
            }
        }
    }
}

#[tokio::test]
async fn the_registry_shows_what_was_agreed_on() {
    let (server, _) = start(both_faces(DeflateMode::Dedicated)).await;
    let registry = server.registry();
    let (_plain, _) = ask(&server, "/echo", "other").await;
    let (_shared, _) = ask(
        &server,
        "/echo",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    )
    .await;
    let own = "permessage-deflate; server_max_window_bits=10; client_max_window_bits";
    let (_own, _) = ask(&server, "/pull", own).await;
    let shown: Vec<_> = registry.list().into_iter().map(|info| info.deflate).collect();
    let keeps = |params: &Option<DeflateParams>| {
        params.map(|it| {
            (it.send_takeover, it.recv_takeover, it.send_window_bits, it.recv_window_bits)
        })
    };
    let expected = [None, Some((false, false, 15, 15)), Some((true, true, 10, 12))];
    assert_eq!(shown.iter().map(keeps).collect::<Vec<_>>(), expected);
    let totals = registry.totals();
    assert_eq!((totals.open, totals.deflate, totals.deflate_takeover), (3, 2, 1));
    let ws = soon(client(&server, "/pull", DeflateMode::Dedicated).connect()).await.unwrap();
    let params = ws.deflate_params().unwrap();
    assert_eq!((params.send_window_bits, params.send_takeover), (12, true));
}

/// Opens a connection by hand and returns the head of the answer.
async fn ask(server: &Server, path: &str, extensions: &str) -> (TcpStream, String) {
    let mut io = soon(TcpStream::connect(server.local_addr().unwrap())).await.unwrap();
    let field = format!("Sec-WebSocket-Extensions: {extensions}\r\n");
    io.write_all(head(path, &field).as_bytes()).await.unwrap();
    let head = read_head(&mut io).await;
    (io, head)
}

fn answered(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
}

#[tokio::test]
async fn compression_is_off_unless_both_want_it() {
    let (plain, _) = start(echo()).await;
    let (_io, head) = ask(&plain, "/echo", "permessage-deflate").await;
    assert_eq!(answered(&head), None);
    let (server, _) = start(both_faces(DeflateMode::Dedicated)).await;
    let (_io, head) = ask(&server, "/echo", "permessage-bzip2").await;
    assert_eq!(answered(&head), None);
    let (_io, head) = ask(&server, "/echo", "permessage-deflate; client_max_window_bits").await;
    assert_eq!(answered(&head), Some("permessage-deflate; client_max_window_bits=12"));
    let ws = soon(client(&plain, "/echo", DeflateMode::Shared).connect()).await.unwrap();
    soon(ws.send(json(2_000, 1))).await.unwrap();
}

#[tokio::test]
async fn a_route_may_have_its_own_way() {
    let mut own = Config::default();
    own.deflate = Some(DeflateConfig::new(DeflateMode::Dedicated));
    let mut silent = Config::default();
    silent.limits.message = 5_000;
    let builder = Server::builder()
        .push("/own", |_| Echo)
        .route_config(own)
        .push("/silent", |_| Echo)
        .route_config(silent)
        .deflate(DeflateConfig::new(DeflateMode::Shared));
    let (server, _) = start(builder).await;
    let (_io, head) = ask(&server, "/own", "permessage-deflate").await;
    assert_eq!(answered(&head), Some("permessage-deflate"));
    let (_io, head) = ask(&server, "/silent", "permessage-deflate").await;
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answered(&head), Some(both));
}

#[tokio::test]
async fn bombs_and_rubbish_end_with_their_codes() {
    let (server, _) = start(both_faces(DeflateMode::Shared)).await;
    // One block of zeros after another, each no longer than a kilobyte.
    let block = {
        let mut deflate = zlib_rs::Deflate::new(9, false, 15);
        let mut out = vec![0; 4096];
        deflate.compress(&vec![0; 1 << 20], &mut out, zlib_rs::DeflateFlush::SyncFlush).unwrap();
        out.truncate(deflate.total_out() as usize);
        out
    };
    for (path, payload, code) in [
        ("/echo", block.repeat(1024), 1009),
        ("/pull", block.repeat(1024), 1009),
        ("/echo", b"\x07".to_vec(), 1007),
        ("/pull", b"\xff\xff\xff\xff".to_vec(), 1007),
    ] {
        let (io, head) = ask(&server, path, "permessage-deflate").await;
        assert!(answered(&head).is_some());
        let (reader, mut writer) = io.into_split();
        let flood = tokio::spawn(async move {
            // It is refused before all of it was written.
            let _ = writer.write_all(&frame(0xC2, &payload)).await;
            writer
        });
        let mut reader = common::Raw(tokio::io::join(reader, tokio::io::sink()));
        assert_eq!(reader.read_close().await.0, code, "{path}");
        drop(soon(flood).await.unwrap());
    }
}

#[tokio::test]
async fn rsv1_is_refused_where_nothing_was_agreed_on() {
    let (server, _) = start(both_faces(DeflateMode::Shared)).await;
    let (io, _) = ask(&server, "/echo", "foo").await;
    let mut raw = common::Raw(io);
    raw.write(&[text("plain"), frame(0xC1, &[0])].concat()).await;
    assert_eq!(raw.read().await, Some((0x81, b"plain".to_vec())));
    assert_eq!(raw.read_close().await.0, 1002);
    let (io, _) = ask(&server, "/echo", "permessage-deflate").await;
    let mut raw = common::Raw(io);
    raw.write(&[frame(0xC9, b"ping"), close(1000)].concat()).await;
    assert_eq!(raw.read_close().await.0, 1002);
}

#[tokio::test]
async fn a_client_refuses_what_it_did_not_offer() {
    for (answer, offers) in [
        ("permessage-deflate", false),
        ("permessage-deflate; client_max_window_bits=7; server_no_context_takeover", true),
        ("permessage-deflate; unknown; server_no_context_takeover", true),
        ("permessage-deflate", true), // Shared asks the server to keep no context.
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let liar = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            let head = read_head(&mut io).await;
            let key = head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = everwire_proto::handshake::accept_key(key);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n"
            );
            io.write_all(answer.as_bytes()).await.unwrap();
            io
        });
        let mut client = Client::new(&url).unwrap().proxy(ProxyConfig::Direct);
        if offers {
            client = client.deflate(DeflateConfig::default());
        }
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
        assert!(error.to_string().contains("permessage-deflate"), "{error}");
        drop(liar.await);
    }
}

#[tokio::test]
async fn pairs_in_memory_compress_if_both_ends_are_told_to() {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(DeflateMode::Dedicated));
    let (mut client, mut server) = everwire::test::Pair::new().config(config).pull();
    for seed in 1..5 {
        client.send(json(4_000, seed)).await.unwrap();
        assert_eq!(soon(server.recv()).await.unwrap().as_text(), Some(&json(4_000, seed)[..]));
        server.send(json(4_000, seed)).await.unwrap();
        assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some(&json(4_000, seed)[..]));
    }
    soon(server.flush_and_ping()).await.unwrap();
    let sent = soon(async { client.close(everwire::CloseCode::NORMAL_CLOSURE, "").unwrap().await })
        .await
        .counters
        .bytes_sent;
    assert!(sent < 4 * 2_000, "{sent}");
    assert_eq!(soon(server.closed()).await.cause, Cause::PeerClosed);
}
