//! A server that is driven by hand, in bytes.
#![allow(unreachable_pub)]

use std::io;

use everwire::{
    Client,
    dial::{Dialer, ProxyConfig},
    session::{SessionClient, SessionClientBuilder},
};
use everwire_proto::handshake::accept_key;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    sync::mpsc::{self, UnboundedReceiver},
};

use crate::common::{Raw, read_head};

/// WELCOME: NEW, as in the specification's examples; `first_spread` is a second.
const WELCOME: &[u8] =
    b"\x60\0\x01\0\0\0\x80\x80\x10\x80\x80\x40\xe0\xd4\x03\xa8\xc3\x01\x90\x4e\xe8\x07\
    \x10abcdefghijklmnop\x04\xc0\xff\xee\x01";

/// Answers a client's request, which has its HELLO, and attaches it to a new session.
pub async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Raw<S> {
    attach(io, 1).await
}

/// Attaches a client to a session as its socket of this epoch; nothing was ever sent in it.
pub async fn attach<S: AsyncRead + AsyncWrite + Unpin>(io: S, epoch: u8) -> Raw<S> {
    let (mut raw, request) = upgrade(io).await;
    assert!(request.to_lowercase().contains("\r\neverwire-hello: "), "{request}");
    accept(&mut raw, epoch).await;
    raw
}

/// Attaches a client whose HELLO is its first message.
pub async fn attach_inline<S: AsyncRead + AsyncWrite + Unpin>(io: S, epoch: u8) -> Raw<S> {
    let mut raw = upgrade(io).await.0;
    assert!(matches!(raw.read().await, Some((0x82, hello)) if hello[0] == 0x50));
    accept(&mut raw, epoch).await;
    raw
}

/// Answers a client's request; returns it.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> (Raw<S>, String) {
    let mut raw = Raw(io);
    let request = read_head(&mut raw.0).await;
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = accept_key(key.expect("a client sends one"));
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: everwire.v1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    raw.write(response.as_bytes()).await;
    (raw, request)
}

async fn accept<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>, epoch: u8) {
    let status = u8::from(epoch > 1); // NEW or RESUMED.
    raw.write(&frame(&[&[0x60, status, epoch], &WELCOME[3..]].concat())).await;
}

/// Returns a client's builder that opens pipes, and their other ends.
pub fn piped() -> (SessionClientBuilder, UnboundedReceiver<DuplexStream>) {
    let (dialled, connections) = mpsc::unbounded_channel();
    let dialer = Dialer::new().with_connector(move |_, _| {
        let (near, far) = duplex(1 << 16);
        dialled.send(far).ok();
        async { Ok::<_, io::Error>(near) }
    });
    let client = Client::new("ws://server.test/").unwrap().proxy(ProxyConfig::Direct);
    (SessionClient::builder(client.dialer(dialer)), connections)
}

/// A binary message as a server sends it, of fewer than 126 bytes.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    [&[0x82, payload.len() as u8], payload].concat()
}

/// A Close as a server sends it.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
    [&[0x88, payload.len() as u8], &payload[..]].concat()
}
