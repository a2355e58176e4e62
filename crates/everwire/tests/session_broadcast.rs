//! What a broadcast costs ten thousand sessions that have no connection.
#![allow(unsafe_code)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::SocketAddr,
    sync::atomic::{AtomicIsize, Ordering},
    time::Duration,
};

use common::{frame, head, read_head, settle, soon, start, until, until_len};
use everwire::{
    Conn, Group, Handler, Message, PreparedMessage, Server,
    session::{
        SUBPROTOCOL, SessionConfig, SessionHandler, SessionMessage, SessionSender, Sessions,
    },
};
use everwire_session::{Counts, Frame, Hello};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Member(Group);

impl SessionHandler for Member {
    fn on_session(&mut self, session: &SessionSender) {
        self.0.join_session(session);
    }

    fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {}
}

struct Nobody;

impl Handler for Nobody {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

const SESSIONS: usize = 10_000;
const MESSAGES: usize = 1000;
const SIZE: usize = 200;

/// Begins a session, confirms it, and leaves without a word.
async fn come_and_go(addr: SocketAddr, hello: &str) {
    let mut io = soon(TcpStream::connect(addr)).await.unwrap();
    let fields = format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\nEverwire-Hello: {hello}\r\n");
    io.write_all(head("/", &fields).as_bytes()).await.unwrap();
    let response = read_head(&mut io).await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    assert_eq!(soon(io.read_u8()).await.unwrap(), 0x82, "WELCOME");
    let counts = Counts { window: 1 << 18, ..Default::default() };
    io.write_all(&frame(0x82, &Frame::Ack(counts).encode())).await.unwrap();
}

/// One test, because the allocator is one for the process.
#[tokio::test]
async fn a_broadcast_is_kept_once_and_costs_each_session_no_more_than_a_reference() {
    let group = Group::default();
    let mut config = SessionConfig::server();
    config.terms.ttl = Duration::from_secs(600);
    let member = group.clone();
    let sessions = Sessions::builder().config(config).push(move |_| Member(member.clone()));
    let (server, addr) = start(Server::builder().push("/", |_| Nobody).sessions(&sessions)).await;
    let hello = Hello::base64(&Frame::Hello(Hello::first(1, 1 << 18, 1 << 20)).encode());
    for _ in 0..SESSIONS {
        come_and_go(addr, &hello).await;
    }
    until(|| sessions.stats().detached == SESSIONS).await;
    assert_eq!(group.len(), SESSIONS);
    until_len(&server, 0).await;
    settle().await; // What the last connections held goes a moment later.
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..MESSAGES {
        let done = group.broadcast(&PreparedMessage::new(format!("{n:0>SIZE$}")));
        assert_eq!((done.queued, done.slow), (SESSIONS, 0));
    }
    let grown = HELD.load(Ordering::Relaxed) - before;
    let kept = sessions.stats().bytes;
    assert_eq!(kept, MESSAGES * (SIZE + 1), "one copy of each, and a byte that says what it is");
    let each = (grown - kept as isize) as f64 / (SESSIONS * MESSAGES) as f64;
    println!("{each:.1} bytes per session and message, beside one copy of {kept} bytes");
    assert!(each <= 32.0, "{each:.1} bytes per session and message");
}
