//! Connections that somebody else's HTTP stack opened, and somebody else's client.
#![cfg(feature = "axum")]

mod common;

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, extract::State, response::Response, routing::get};
use common::{Notes, Raw, Recorder, close, head, read_head, soon, status, text};
use everwire::{
    CloseCode, Config, OriginPolicy, Registry, Server, adapt::HttpUpgrade, axum::WebSocketUpgrade,
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

#[derive(Clone, Default)]
struct App {
    notes: Notes,
    registry: Registry,
}

async fn pull(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    let mut config = Config::default();
    config.limits.message = 100_000;
    let upgrade = upgrade.subprotocols(["b", "c"]).config(config).registry(&app.registry);
    upgrade.data(7_u32).on_upgrade(|mut ws| async move {
        let hello = format!("{} {:?} {:?}", ws.path(), ws.subprotocol(), ws.data::<u32>());
        ws.send(hello).await.unwrap();
        while let Some(message) = ws.recv().await {
            ws.send(message).await.ok();
        }
    })
}

async fn push(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.origin(OriginPolicy::DangerAnyOrigin).handler(Recorder(app.notes))
}

async fn serve(app: App) -> SocketAddr {
    let router = Router::new().route("/pull", get(pull)).route("/push", get(push)).with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

#[tokio::test]
async fn a_foreign_client_talks_to_an_axum_router() {
    let app = App::default();
    let addr = serve(app.clone()).await;
    let mut request = format!("ws://{addr}/pull?x").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "a, c".parse().unwrap());
    let (mut ws, response) = soon(tokio_tungstenite::connect_async(request)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "c");
    let hello = soon(ws.next()).await.unwrap().unwrap();
    assert_eq!(hello.to_text().unwrap(), "/pull Some(\"c\") Some(7)");
    for size in [0, 1, 125, 126, 70_000, 100_000] {
        let message = tungstenite::Message::binary(vec![1; size]);
        soon(ws.send(message.clone())).await.unwrap();
        assert_eq!(soon(ws.next()).await.unwrap().unwrap(), message);
    }
    assert_eq!(app.registry.len(), 1);
    let id = app.registry.list()[0].id;
    app.registry.close(id, CloseCode::GOING_AWAY, "bye").unwrap();
    let Some(Ok(tungstenite::Message::Close(Some(frame)))) = soon(ws.next()).await else {
        panic!("no Close")
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "bye"));
    assert!(soon(ws.next()).await.is_none());
}

#[tokio::test]
async fn a_handler_serves_an_axum_route() {
    let app = App::default();
    let addr = serve(app.clone()).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    let request = head("/push", "Origin: http://other.test\r\n");
    io.write_all(&[request.as_bytes(), &text("early")].concat()).await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    let mut peer = Raw(io);
    assert_eq!(peer.read().await.unwrap().1, b"early");
    peer.write(&close(1000)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    peer.read_eof().await;
    drop(peer);
    assert_eq!(app.notes.until(3).await, ["open", "early", "peer_closed"]);
}

#[tokio::test]
async fn what_opens_no_connection_is_refused_by_axum_routes() {
    let addr = serve(App::default()).await;
    for (request, expected) in [
        ("GET /pull HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
        (head("/pull", "Origin: http://other.test\r\n"), 403),
        (head("/pull", "Origin: http://everwire.test\r\n"), 101),
        (head("/pull", "Content-Length: 3\r\n"), 400),
        (head("/pull", "").replace("Version: 13", "Version: 12"), 426),
    ] {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut io).await), expected, "{request}");
    }
}

async fn hyper_service(
    mut request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    Ok(match HttpUpgrade::from_request(&mut request) {
        Ok(upgrade) => upgrade.on_upgrade(|mut ws| async move {
            while let Some(message) = ws.recv().await {
                ws.send(message).await.ok();
            }
        }),
        Err(reject) => reject.into_response(),
    })
}

#[tokio::test]
async fn a_hyper_service_upgrades_on_any_stream() {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let service = hyper::service::service_fn(hyper_service);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
    tokio::spawn(connection.with_upgrades());
    near.write_all(head("/", "").as_bytes()).await.unwrap();
    assert_eq!(status(&read_head(&mut near).await), 101);
    let mut peer = Raw(near);
    peer.write(&text("hi")).await;
    assert_eq!(peer.read().await.unwrap().1, b"hi");
}

#[tokio::test]
async fn an_axum_router_answers_beside_the_sockets() {
    let router: Router = Router::new().route("/", get(|| async { "hello" })).route(
        "/socket",
        get(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|ws| async move { ws.send("axum").await.unwrap() })
        }),
    );
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .push("/echo", |_| common::Echo)
        .http(router)
        .start()
        .await
        .unwrap();
    let addr = server.local_addr().unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(common::exchange(addr, request).await.ends_with("hello"));
    let mut peer = common::connect(addr, "/socket").await;
    assert_eq!(peer.read().await.unwrap().1, b"axum");
    let mut peer = common::connect(addr, "/echo").await;
    peer.write(&text("hi")).await;
    assert_eq!(peer.read().await.unwrap().1, b"hi");
}
