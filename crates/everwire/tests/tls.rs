//! The server with TLS and real handshakes.
#![cfg(feature = "tls")]

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{Echo, Raw, close, frame, head, read_head, soon, status, text, until};
use everwire::{
    Server,
    tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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
        .start()
        .await
        .unwrap();
    let client = ClientTls::builder().roots(PemSource::text(authority.pem())).build().unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr, client)
}

async fn connect(addr: SocketAddr, tls: &ClientTls) -> Raw<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let mut io = soon(tls.connect(tcp, "everwire.test")).await.unwrap();
    io.write_all(head("/echo", "Origin: https://everwire.test\r\n").as_bytes()).await.unwrap();
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
