//! Opening handshakes that fail: what is answered, and that each is counted.

mod common;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Echo, exchange, head, soon, status, until};
use everwire::{RequestAddrs, Server, ServerBuilder, trust::TrustedProxies};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let builder = builder.bind("127.0.0.1:0").push("/echo", |_| Echo);
    let server = builder.start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

/// Waits until this many handshakes ended without an answer, and returns them by reason.
async fn failed(server: &Server, n: u64) -> BTreeMap<&'static str, u64> {
    until(|| server.registry().totals().failed.values().sum::<u64>() >= n).await;
    server.registry().totals().failed
}

#[tokio::test]
async fn who_is_slow_or_goes_too_early_is_counted() {
    let builder = Server::builder().handshake_timeout(Duration::from_secs(3));
    let (server, addr) = start(builder).await;
    assert_eq!(exchange(addr, "GET /echo HT").await, "");
    let mut io = TcpStream::connect(addr).await.unwrap();
    io.write_all(b"GET /echo HTTP/1.1\r\n").await.unwrap();
    io.shutdown().await.unwrap();
    assert!(soon(io.read_u8()).await.is_err());
    drop(TcpStream::connect(addr).await.unwrap());
    assert_eq!(failed(&server, 3).await, [("eof", 2), ("timeout", 1)].into());
}

#[tokio::test]
async fn a_missing_proxy_header_is_counted() {
    let trusted = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let (server, addr) = start(Server::builder().proxy_protocol().trusted_proxies(trusted)).await;
    for request in [
        &head("/echo", ""),
        "PROXY TCP4 1.1.1.1 nonsense\r\n",
        "PROXY TCP9 1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        assert_eq!(exchange(addr, request).await, "");
    }
    drop(TcpStream::connect(addr).await.unwrap());
    assert_eq!(failed(&server, 4).await, [("eof", 1), ("proxy_header", 3)].into());
}

#[tokio::test]
async fn a_proxy_header_of_a_stranger_is_refused() {
    let (server, addr) = start(Server::builder().proxy_protocol()).await;
    let header = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n";
    assert!(status(&exchange(addr, &(header.to_owned() + &head("/echo", ""))).await) >= 400);
    assert_eq!(server.registry().totals().refused.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn http_1_0_is_told_what_is_expected_and_counted() {
    let old = head("/echo", "").replace("HTTP/1.1", "HTTP/1.0");
    let ordinary = tower(|_| "page");
    for builder in [Server::builder(), Server::builder().http(ordinary)] {
        let (server, addr) = start(builder).await;
        let response = exchange(addr, &old).await;
        assert_eq!(status(&response), 400, "{response}");
        assert!(response.contains("HTTP/1.0 and not HTTP/1.1"), "{response}");
        // As the second request of an HTTP connection, hyper reads it.
        let second = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{old}");
        let response = exchange(addr, &second).await;
        assert!(response.contains("HTTP/1.0 and not HTTP/1.1"), "{response}");
        assert_eq!(server.registry().totals().refused, [(400, 2)].into());
    }
}

/// Makes an HTTP service of a function.
fn tower<F>(answer: F) -> impl everwire::Respond
where
    F: Fn(&http::Extensions) -> &'static str + Clone + Send + Sync + 'static,
{
    axum::Router::new().fallback(move |request: axum::extract::Request| {
        let body = answer(request.extensions());
        async move { Ok::<_, Infallible>(body) }
    })
}

#[tokio::test]
async fn an_ordinary_request_knows_its_addresses() {
    let seen = Arc::new(Mutex::new(None));
    let shown = seen.clone();
    let service = tower(move |extensions| {
        *shown.lock().unwrap() = extensions.get::<RequestAddrs>().copied();
        "page"
    });
    let (_server, addr) = start(Server::builder().http(service)).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    soon(io.read_to_string(&mut response)).await.unwrap();
    assert!(response.ends_with("page"), "{response}");
    let addrs = seen.lock().unwrap().expect("the service was asked");
    assert_eq!((addrs.remote, addrs.local), (io.local_addr().ok(), Some(addr)));
}
