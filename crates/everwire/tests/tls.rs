//! The server with TLS and real handshakes.
#![cfg(feature = "tls")]

mod common;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use common::{Echo, Raw, close, frame, head, read_head, soon, status, text, until};
use everwire::{
    Conn, Handler, Message, Server,
    tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// A server with a certificate of its own, and a client that trusts it.
async fn start() -> (Server, SocketAddr, ClientTls) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["everwire.test".to_owned()]).unwrap();
    let certificate = PemSource::text(params.signed_by(&key, &authority).unwrap().pem());
    let config = ServerTlsConfig::new(certificate, PemSource::text(key.serialize_pem()));
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .tls(ServerTls::load(config).unwrap())
        .handshake_timeout(Duration::from_secs(5))
        .push("/echo", |_| Echo)
        .push("/burst", |_| Burst)
        .start()
        .await
        .unwrap();
    let client = ClientTls::builder().roots(PemSource::text(authority.pem())).build().unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr, client)
}

/// Sends, in the turn in which it is asked `number,size`, so many messages of that size.
struct Burst;

impl Handler for Burst {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let (number, size) = message.as_text().and_then(|text| text.split_once(',')).unwrap();
        let payload = Bytes::from(vec![7; size.parse().unwrap()]);
        for _ in 0..number.parse().unwrap() {
            conn.send(payload.clone()).unwrap();
        }
    }
}

/// A stream that counts the TLS records which come through it.
struct Records<S> {
    io: S,
    /// What has come of the next record's header.
    header: Vec<u8>,
    /// How much is still to come of the record.
    rest: usize,
    /// The lengths of the records that carry data of the application, since this was emptied.
    data: Vec<usize>,
}

impl<S> Records<S> {
    fn new(io: S) -> Self {
        Self { io, header: Vec::new(), rest: 0, data: Vec::new() }
    }

    fn see(&mut self, byte: u8) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        self.header.push(byte);
        // RFC 8446 §5.1: a type, a version, a length; 23 is application data.
        if let [kind, _, _, high, low] = self.header[..] {
            self.rest = usize::from(u16::from_be_bytes([high, low]));
            if kind == 23 {
                self.data.push(self.rest);
            }
            self.header.clear();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        buf.filled()[before..].iter().for_each(|byte| self.see(*byte));
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

async fn connect(addr: SocketAddr, tls: &ClientTls) -> Raw<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    open(tcp, "/echo", tls).await
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    tcp: S,
    path: &str,
    tls: &ClientTls,
) -> Raw<TlsStream<S>> {
    let mut io = soon(tls.connect(tcp, "everwire.test")).await.unwrap();
    io.write_all(head(path, "Origin: https://everwire.test\r\n").as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    Raw(io)
}

#[tokio::test]
async fn messages_of_all_sizes_are_echoed_over_tls() {
    let (_server, addr, tls) = start().await;
    let peer = connect(addr, &tls).await;
    let (read, write) = tokio::io::split(peer.0);
    let sizes = [0, 1, 125, 126, 16_000, 65_536, 300_000, 1 << 20];
    let writing = tokio::spawn(async move {
        let mut peer = Raw(tokio::io::join(tokio::io::empty(), write));
        for size in sizes {
            peer.write(&frame(0x82, &vec![7; size])).await;
            peer.0.flush().await.unwrap();
        }
        peer
    });
    let mut peer = Raw(tokio::io::join(read, tokio::io::sink()));
    for size in sizes {
        assert_eq!(peer.read().await.unwrap(), (0x82, vec![7; size]));
    }
    let mut write = soon(writing).await.unwrap();
    write.write(&close(1000)).await;
    write.0.flush().await.unwrap();
    assert_eq!(peer.read_close().await.0, 1000);
    // A TLS stream that ends without its goodbye would be an error here.
    peer.read_eof().await;
}

/// The most that a record holds (RFC 8446 §5.1), and what a frame's header adds.
const RECORD: usize = 16 << 10;

#[tokio::test]
async fn what_is_sent_in_one_turn_fills_its_records() {
    let (_server, addr, tls) = start().await;
    let tcp = Records::new(TcpStream::connect(addr).await.unwrap());
    let mut peer = open(tcp, "/burst", &tls).await;
    // The first are after the handshake, with the tickets of the session.
    for (number, size) in
        [(1, 1), (1000, 100), (10_000, 16), (3, 16_384), (20, 20_000), (2, 400_000)]
    {
        peer.0.get_mut().0.data.clear();
        peer.write(&text(&format!("{number},{size}"))).await;
        peer.0.flush().await.unwrap();
        let mut bytes = 0;
        for _ in 0..number {
            let (first, payload) = peer.read().await.unwrap();
            assert_eq!((first, payload.len()), (0x82, size));
            bytes += payload.len()
                + if size < 126 {
                    2
                } else if size < 65_536 {
                    4
                } else {
                    10
                };
        }
        let records = &peer.0.get_ref().0.data;
        if number > 1 {
            assert!(
                records.len() <= bytes.div_ceil(RECORD) + 1,
                "{number} messages of {size} bytes: {records:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_late_gets_the_last_byte() {
    let (_server, addr, tls) = start().await;
    let mut peer = connect(addr, &tls).await;
    // Large enough to leave TLS something to flush when the socket is full.
    for _ in 0..5 {
        peer.write(&frame(0x82, &vec![3; 1_000_000])).await;
        soon(peer.0.flush()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(peer.read().await.unwrap().1.len(), 1_000_000);
    }
}

#[tokio::test]
async fn plain_http_and_a_stalled_tls_handshake_end_at_the_deadline() {
    let (server, addr, tls) = start().await;
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(head("/echo", "").as_bytes()).await.unwrap();
    let mut stalled = TcpStream::connect(addr).await.unwrap();
    stalled.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let mut peer = connect(addr, &tls).await;
    peer.write(&text("alive")).await;
    assert_eq!(peer.read().await.unwrap().1, b"alive");
    for io in [&mut plain, &mut stalled] {
        let mut rest = Vec::new();
        let _ = soon(io.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP/1.1 101"));
    }
    drop(TcpStream::connect(addr).await.unwrap());
    let expected = [("eof", 1), ("timeout", 1), ("tls", 1)].into();
    until(|| server.registry().totals().failed == expected).await;
}
