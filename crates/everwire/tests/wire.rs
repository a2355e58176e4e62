//! TCP is closed in the right order: the peer reads our Close whatever it had under way, and there
//! is no reset on the wire. Looked at in the packets themselves, where that is allowed.
#![cfg(all(target_os = "linux", feature = "tls"))]

mod common;

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::Duration,
};

use common::{Echo, close, connect, frame, head, read_head, soon, start, status, until_len};
use everwire::{
    Cause, Client, CloseCode, Server,
    dial::Dialer,
    tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sees every TCP reset of the loopback interface; nothing if the system does not allow it.
struct Resets(Option<Socket>);

impl Resets {
    fn watch() -> Self {
        // ETH_P_ALL.
        let protocol = Protocol::from(i32::from(3u16.to_be()));
        let socket = match Socket::new(Domain::PACKET, Type::RAW, Some(protocol)) {
            Ok(socket) => socket,
            Err(error) => {
                eprintln!("packets cannot be looked at ({error}): only the peer's view is tested");
                return Self(None);
            }
        };
        // IPv4, TCP, and the flag RST in byte 13 of its header.
        let filter = [
            SockFilter::new(0x28, 0, 0, 12),
            SockFilter::new(0x15, 0, 6, 0x0800),
            SockFilter::new(0x30, 0, 0, 23),
            SockFilter::new(0x15, 0, 4, 6),
            SockFilter::new(0xb1, 0, 0, 14),
            SockFilter::new(0x50, 0, 0, 14 + 13),
            SockFilter::new(0x45, 0, 1, 4),
            SockFilter::new(0x06, 0, 0, 0xffff),
            SockFilter::new(0x06, 0, 0, 0),
        ];
        socket.attach_filter(&filter).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(Some(socket))
    }

    /// Returns how many resets there were to or from this port; `None` if that cannot be known.
    fn of(&self, port: u16) -> Option<usize> {
        let mut socket = self.0.as_ref()?;
        let mut seen = 0;
        let mut packet = [0; 128];
        loop {
            match socket.read(&mut packet) {
                Ok(_) => {
                    let tcp = 14 + usize::from(packet[14] & 0x0f) * 4;
                    let [from, to] = [0, 2]
                        .map(|at| u16::from_be_bytes([packet[tcp + at], packet[tcp + at + 1]]));
                    seen += usize::from(from == port || to == port);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(seen),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn assert_none(&self, port: u16) {
        if let Some(seen) = self.of(port) {
            assert_eq!(seen, 0, "resets on the wire");
        }
    }
}

#[tokio::test]
async fn a_reset_would_be_seen() {
    let resets = Resets::watch();
    let (server, addr) = start(Server::builder().push("/", |_| Echo)).await;
    let peer = connect(addr, "/").await;
    until_len(&server, 1).await;
    socket2::SockRef::from(&peer.0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    until_len(&server, 0).await;
    if let Some(seen) = resets.of(addr.port()) {
        assert!(seen > 0);
    }
}

fn tls() -> (ServerTls, ClientTls) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = PemSource::text(params.signed_by(&key, &authority).unwrap().pem());
    let config = ServerTlsConfig::new(certificate, PemSource::text(key.serialize_pem()));
    let client = ClientTls::builder().roots(PemSource::text(authority.pem())).build().unwrap();
    (ServerTls::load(config).unwrap(), client)
}

/// Why our side closes while the peer has much under way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Why {
    /// The peer broke the protocol; nothing of what it sent behind that is read by anybody.
    Violation,
    /// The application closes, and the peer answers when it has sent all that it had.
    Close,
}

/// More than the buffers of both systems hold by themselves.
const UNDER_WAY: usize = 8 << 20;

/// A peer that writes much before it reads our Close, then some more, and then reads to the end.
/// `whole` is an empty frame of the peer's, `bad` one that it must not send.
async fn flood<S>(io: S, why: Why, whole: &[u8], bad: &[u8], answer: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut read, mut write) = tokio::io::split(io);
    let much: Vec<u8> = whole.iter().copied().cycle().take(whole.len() * 1000).collect();
    let writing = async {
        if why == Why::Violation {
            write.write_all(bad).await?;
        }
        for _ in 0..UNDER_WAY / much.len() {
            write.write_all(&much).await?;
        }
        write.write_all(answer).await?;
        write.flush().await?;
        // §7.1.1: the server closes TCP first.
        if answer[1] & 0x80 == 0 { write.shutdown().await } else { Ok(()) }
    };
    let reading = async {
        let mut seen = Vec::new();
        soon(read.read_to_end(&mut seen)).await.expect("an end without a reset");
        seen
    };
    // Our side stops reading a second after a violation at the latest, so writing may then fail.
    let (_, seen) = soon(async { tokio::join!(writing, reading) }).await;
    assert!(seen.starts_with(&[0x88]), "the Close was read: {:?}", seen.get(..20));
}

async fn our_server(why: Why, with_tls: bool) {
    let resets = Resets::watch();
    let builder = Server::builder().pull("/", move |mut ws| async move {
        if why == Why::Close {
            ws.recv().await;
            ws.close(CloseCode::GOING_AWAY, "enough").unwrap();
        }
        while ws.recv().await.is_some() {}
        let closure = ws.closed().await;
        match why {
            Why::Violation => assert!(matches!(closure.cause, Cause::Protocol(_)), "{closure}"),
            Why::Close => assert!(closure.is_clean(), "{closure}"),
        }
    });
    let (server_tls, client_tls) = tls();
    let builder = if with_tls { builder.tls(server_tls) } else { builder };
    let (server, addr): (Server, SocketAddr) = start(builder).await;
    let whole = frame(0x82, &[0; 1000]);
    let (bad, answer) = ([0x81, 0x01, b'x'], close(1001));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    if with_tls {
        let mut io = soon(client_tls.connect(tcp, "localhost")).await.unwrap();
        io.write_all(head("/", "").as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut io).await), 101);
        flood(io, why, &whole, &bad, &answer).await;
    } else {
        tcp.write_all(head("/", "").as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut tcp).await), 101);
        flood(tcp, why, &whole, &bad, &answer).await;
    }
    until_len(&server, 0).await;
    let closed = server.registry().totals().closed;
    assert!(!closed.contains_key("handler_panicked"), "{closed:?}");
    resets.assert_none(port);
}

async fn our_client(why: Why, with_tls: bool) {
    let resets = Resets::watch();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (server_tls, client_tls) = tls();
    // A server's frames are not masked.
    let mut whole = vec![0x82, 126, 3, 232];
    whole.extend([0; 1000]);
    let (bad, answer) = (frame(0x81, b"x"), [0x88, 2, 3, 232]);
    let peer = tokio::spawn(async move {
        let tcp = listener.accept().await.unwrap().0;
        if with_tls {
            let io = server_tls.accept(tcp).await.unwrap();
            serve(io, why, &whole, &bad, &answer).await;
        } else {
            serve(tcp, why, &whole, &bad, &answer).await;
        }
    });
    let scheme = if with_tls { "wss" } else { "ws" };
    let client = Client::new(&format!("{scheme}://localhost:{port}/")).unwrap();
    let mut ws = soon(client.dialer(Dialer::new().with_tls(client_tls)).connect()).await.unwrap();
    if why == Why::Close {
        soon(ws.recv()).await;
        drop(ws.close(CloseCode::NORMAL_CLOSURE, "enough").unwrap());
    }
    while soon(ws.recv()).await.is_some() {}
    let closure = soon(ws.closed()).await;
    match why {
        Why::Violation => assert!(matches!(closure.cause, Cause::Protocol(_)), "{closure}"),
        Why::Close => assert!(closure.is_clean(), "{closure}"),
    }
    soon(peer).await.unwrap();
    resets.assert_none(port);
}

/// A server that answers the opening handshake by hand.
async fn serve<S>(mut io: S, why: Why, whole: &[u8], bad: &[u8], answer: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = read_head(&mut io).await;
    let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = key.or_else(|| request.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")));
    let accept = everwire_proto::handshake::accept_key(key.expect("a key").trim());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    io.write_all(response.as_bytes()).await.unwrap();
    flood(io, why, whole, bad, answer).await;
}

#[tokio::test]
async fn a_servers_close_outlives_what_a_client_has_under_way() {
    for why in [Why::Violation, Why::Close] {
        our_server(why, false).await;
        our_server(why, true).await;
    }
}

#[tokio::test]
async fn a_clients_close_outlives_what_a_server_has_under_way() {
    for why in [Why::Violation, Why::Close] {
        our_client(why, false).await;
        our_client(why, true).await;
    }
}
