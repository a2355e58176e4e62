//! Rows that need sockets, TLS or another process.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use everwire::{
    Config, Sender, Server, ServerBuilder,
    adapt::Attach,
    tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    Clock,
    common::{Raw, connect, echo, head, read_head, soon, start, status},
    rows::{Row, rows},
    stage::{End, Saw, Stage},
};

pub(crate) fn all() -> Vec<(&'static str, Clock, Row)> {
    rows![Real:
        "11" => reset, "reset" => reset, "12" => tls_truncated, "13" => tls_ended,
        "tls" => not_tls, "16" => slow_handshake, "22" => killed,
        "path_timeout" => path_timeout, "runtime_dropped_tcp" => runtime_dropped_tcp,
    ]
}

/// A server whose only path has the stage's handler, and what the other end saw so far.
async fn serve(stage: &Stage, builder: ServerBuilder) -> (Server, SocketAddr) {
    let notes = stage.clone();
    let (server, addr) = start(builder.push("/", move |_| notes.handler())).await;
    stage.watch(server.registry());
    (server, addr)
}

/// Returns the sender of the only connection.
async fn only(server: &Server) -> Sender {
    soon(async {
        loop {
            if let [info] = &server.registry().list()[..] {
                return server.registry().get(info.id).expect("it is there");
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn gone(sender: Sender) -> End {
    soon(sender.closed()).await;
    End { sender: Some(sender), saw: "-".into() }
}

async fn reset(stage: Stage) -> End {
    let (server, addr) = serve(&stage, Server::builder()).await;
    let peer = connect(addr, "/").await;
    let sender = only(&server).await;
    socket2::SockRef::from(&peer.0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    gone(sender).await
}

/// A certificate of its own, and a client that trusts it.
fn tls() -> (ServerTls, ClientTls) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["everwire.test".to_owned()]).unwrap();
    let certificate = PemSource::text(params.signed_by(&key, &authority).unwrap().pem());
    let config = ServerTlsConfig::new(certificate, PemSource::text(key.serialize_pem()));
    let client = ClientTls::builder().roots(PemSource::text(authority.pem())).build().unwrap();
    (ServerTls::load(config).unwrap(), client)
}

/// A connection over TLS, and the peer of it.
async fn over_tls(
    stage: &Stage,
) -> (Server, Sender, Raw<tokio_rustls::client::TlsStream<TcpStream>>) {
    let (server_tls, client_tls) = tls();
    let (server, addr) = serve(stage, Server::builder().tls(server_tls)).await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    let mut io = soon(client_tls.connect(tcp, "everwire.test")).await.unwrap();
    io.write_all(head("/", "").as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    assert_eq!(status(&read_head(&mut io).await), 101);
    let sender = only(&server).await;
    (server, sender, Raw(io))
}

async fn tls_truncated(stage: Stage) -> End {
    let (_server, sender, peer) = over_tls(&stage).await;
    let (mut tcp, _) = peer.0.into_inner();
    tcp.shutdown().await.unwrap();
    gone(sender).await
}

async fn not_tls(stage: Stage) -> End {
    let (_server, sender, peer) = over_tls(&stage).await;
    let (mut tcp, _) = peer.0.into_inner();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    gone(sender).await
}

async fn tls_ended(stage: Stage) -> End {
    let (_server, sender, mut peer) = over_tls(&stage).await;
    peer.0.shutdown().await.unwrap();
    let saw = Saw::default().until_end(&mut peer).await;
    soon(sender.closed()).await;
    End { sender: Some(sender), saw }
}

async fn slow_handshake(stage: Stage) -> End {
    let builder = Server::builder().handshake_timeout(Duration::from_millis(200));
    let (server, addr) = serve(&stage, builder).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    io.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // Unread input makes the end a reset; here all of it was read.
    assert_eq!(soon(io.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(server.registry().totals().failed["timeout"], 1);
    End { sender: None, saw: "end".into() }
}

/// The peer keeps its window at zero, so nothing that we write is taken.
async fn path_timeout(stage: Stage) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, _) = listener.accept().await.unwrap();
    // Whoever brings a stream sets its options.
    let timeout = Some(Duration::from_millis(1500));
    socket2::SockRef::from(&io).set_tcp_user_timeout(timeout).unwrap();
    let mut config = Config::default();
    config.limits.send_queue = 64 << 20;
    let attach = Attach::server().registry(&stage.registry).config(config);
    let sender = attach.push(io, stage.handler());
    sender.send(vec![0; 32 << 20]).await.unwrap();
    soon(sender.closed()).await;
    let mut rest = Vec::new();
    let error = soon(peer.read_to_end(&mut rest)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    End { sender: Some(sender), saw: "reset".into() }
}

async fn runtime_dropped_tcp(stage: Stage) -> End {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let serving = stage.clone();
    let (connected, is_connected) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let (server, addr) = serve(&serving, Server::builder()).await;
        connected.send((server, addr)).ok();
    });
    let (server, addr) = soon(is_connected).await.unwrap();
    let mut peer = connect(addr, "/").await;
    let sender = only(&server).await;
    runtime.shutdown_background();
    let saw = Saw::default().until_end(&mut peer).await;
    soon(sender.closed()).await;
    End { sender: Some(sender), saw }
}

/// Set for the process that is to be killed.
const VICTIM: &str = "EVERWIRE_TEST_VICTIM";

/// Not a test: the server that `killed` kills.
#[tokio::test]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let (_server, addr) = start(echo()).await;
    println!("\naddr {addr}");
    std::future::pending::<()>().await;
}

async fn killed(stage: Stage) -> End {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rows_real::victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("an address");
        if let Some(addr) = line.strip_prefix("addr ") {
            break addr.to_owned();
        }
    };
    let io = connect(addr.parse().unwrap(), "/echo").await.0;
    let sender = Attach::client().registry(&stage.registry).push(io, stage.handler());
    sender.flush_and_ping().await.unwrap();
    child.kill().await.unwrap();
    gone(sender).await
}
