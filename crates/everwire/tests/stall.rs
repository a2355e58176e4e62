//! A handler that blocks is named. A test of its own: what is logged is decided once for a process.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{Echo, Notes, Raw, connect, text};
use everwire::{Closure, Conn, Handler, Message, Server, ServerBuilder};
use tokio::net::TcpStream;

async fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.bind("127.0.0.1:0").start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

/// Sends a text and expects it back.
async fn round(peer: &mut Raw<TcpStream>, words: &str) {
    peer.write(&text(words)).await;
    assert_eq!(peer.read().await.unwrap(), (0x81, words.as_bytes().to_vec()));
}

/// Holds up its thread.
struct Blocks;

impl Handler for Blocks {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        std::thread::sleep(Duration::from_millis(150));
        Echo.on_message(conn, message);
    }

    fn on_close(&mut self, _: &Closure) {}
}

/// Collects what is logged.
struct Log(Notes);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Visit(String);
        impl tracing::field::Visit for Visit {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut visit = Visit(String::new());
        event.record(&mut visit);
        self.0.add(visit.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_handler_that_blocks_is_logged_at_once_and_named_the_next_time() {
    let notes = Notes::default();
    let _logging = tracing::subscriber::set_default(Log(notes.clone()));
    let (_server, addr) = start(Server::builder().push("/blocks", |_| Blocks)).await;
    let mut peer = connect(addr, "/blocks").await;
    round(&mut peer, "first").await;
    assert!(notes.all().concat().contains("handlers held up their thread"), "{:?}", notes.all());
    round(&mut peer, "again").await;
    let log = notes.all().concat();
    assert!(log.contains("a handler held up its thread") && log.contains("path=/blocks"), "{log}");
}
