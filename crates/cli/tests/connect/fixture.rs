//! A server in this process, with one path for each kind of behaviour.

use std::{net::SocketAddr, sync::mpsc, time::Duration};

use everwire::{
    BoundAddr, CloseCode, Closure, Conn, Handler, Message, OriginPolicy, Server, UpgradeRequest,
    tls::ServerTls,
};
use tokio::runtime::Runtime;

/// A server with one path for each kind of behaviour.
pub(crate) struct Fixture {
    pub(crate) addr: SocketAddr,
    pub(crate) closures: mpsc::Receiver<Closure>,
    _server: Server,
    _runtime: Runtime,
}

/// Says something first, echoes, and does what it is asked.
struct Peer {
    first: Option<Message<'static>>,
    close: Option<(u16, &'static str)>,
    aborts: bool,
    closures: mpsc::Sender<Closure>,
}

impl Peer {
    fn new(request: &UpgradeRequest, closures: mpsc::Sender<Closure>) -> Self {
        let close = match request.path() {
            "/fail" => Some((1011, "no \x1b luck")),
            "/bye" => Some((1000, "bye")),
            "/away" => Some((1001, "")),
            "/private" => Some((4001, "")),
            _ => None,
        };
        let first = match request.path() {
            "/evil" => Some(Message::text("a\x1b[31mb\r\u{202e}c")),
            "/bytes" => Some(Message::binary(vec![0, 1, 255, b'x'])),
            "/headers" => Some(Message::text(shown(request.headers()))),
            _ => None,
        };
        Self { first, close, aborts: request.path() == "/abort", closures }
    }
}

fn shown(headers: &http::HeaderMap) -> String {
    let names = ["x-test", "origin", "sec-websocket-protocol", "authorization"];
    let lines = names.iter().flat_map(|name| {
        let values = headers.get_all(*name).iter();
        values.map(move |value| format!("{name}={} ", value.to_str().unwrap()))
    });
    lines.collect()
}

impl Handler for Peer {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        if let Some(first) = self.first.take() {
            conn.send(first).unwrap();
        }
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        if let Some((code, reason)) = self.close {
            conn.close(CloseCode::new(code).unwrap(), reason).unwrap();
        } else if self.aborts {
            conn.abort();
        } else {
            conn.send(message).ok();
        }
    }

    fn on_close(&mut self, closure: &Closure) {
        self.closures.send(closure.clone()).ok();
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_tls(None)
    }

    pub(crate) fn with_tls(tls: Option<ServerTls>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (sender, closures) = mpsc::channel();
        let mut builder = Server::builder()
            .bind("127.0.0.1:0")
            .origin(OriginPolicy::DangerAnyOrigin)
            .subprotocols(["chat.v2"]);
        for path in
            ["/echo", "/abort", "/fail", "/bye", "/away", "/private", "/evil", "/bytes", "/headers"]
        {
            let sender = sender.clone();
            builder = builder.push(path, move |request| Peer::new(request, sender.clone()));
        }
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        let server = runtime.block_on(builder.start()).unwrap();
        let BoundAddr::Tcp(addr) = server.addrs()[0] else { panic!("no tcp address") };
        Self { addr, closures, _server: server, _runtime: runtime }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    pub(crate) fn closure(&self) -> Closure {
        self.closures.recv_timeout(Duration::from_secs(10)).expect("the server saw the end")
    }
}
