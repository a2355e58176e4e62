//! Whole dials over loopback: direct, through each kind of proxy, and with TLS inside and outside.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

/// A resolver that knows one name and remembers nothing.
#[derive(Debug)]
struct Hosts(Vec<SocketAddr>);

impl Resolve for Hosts {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            match host {
                "ws.test" => Ok(self.0.iter().map(|addr| (addr.ip(), port).into()).collect()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        })
    }
}

fn loopback() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().unwrap()]
}

fn dialer(proxy: ProxyConfig) -> Dialer {
    Dialer::new().with_resolver(Hosts(loopback())).with_proxy(proxy)
}

/// Listens on a free port and hands the first connection to `serve`.
async fn listen<T, F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await }))
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

fn target(url: String) -> Target {
    Target::parse(&url).unwrap()
}

/// Reads an HTTP request head.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn public_types_and_the_dial_itself_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    fn check_send<T: Send>(_: T) {}
    check::<Dialer>();
    check::<DialError>();
    check::<DialStream>();
    check::<Target>();
    let (dialer, target) = (dialer(ProxyConfig::Direct), target("wss://ws.test".into()));
    check_send(dialer.dial(&target, &PhaseTracker::default()));
}

#[tokio::test]
async fn a_plain_target_is_reached_and_the_phase_moves_on() {
    let (port, server) = listen(async |mut stream| stream.write_all(b"hi").await.unwrap()).await;
    let phase = PhaseTracker::default();
    let target = target(format!("ws://ws.test:{port}"));
    let mut stream = dialer(ProxyConfig::Direct).dial(&target, &phase).await.unwrap();
    assert_eq!(phase.current(), Phase::Handshake);
    assert_eq!(stream.tcp().unwrap().peer_addr().unwrap().port(), port);
    server.await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hi");
}

#[tokio::test]
async fn a_name_without_addresses_is_a_resolve_error() {
    let dialer = Dialer::new().with_resolver(Hosts(vec![])).with_proxy(ProxyConfig::Direct);
    let target = target("ws://ws.test".into());
    let error = dialer.dial(&target, &PhaseTracker::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "could not resolve ws.test: the name has no addresses");
}

#[tokio::test]
async fn a_closed_port_names_each_address() {
    let target = target(format!("ws://127.0.0.1:{}", closed_port().await));
    let error =
        dialer(ProxyConfig::Direct).dial(&target, &PhaseTracker::default()).await.unwrap_err();
    let DialError::Connect(failure) = error else { panic!("{error}") };
    assert_eq!(failure.attempts[0].0.port(), target.port());
    assert_eq!(failure.attempts[0].1.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_http_proxy_resolves_the_name_itself() {
    let (port, proxy) = listen(async |mut stream| {
        let head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhi").await.unwrap();
        head
    })
    .await;
    let config = ProxyConfig::Url(ProxyUrl::parse(&format!("127.0.0.1:{port}")).unwrap());
    let target = target("ws://unknown.test/".into());
    let mut stream = dialer(config).dial(&target, &PhaseTracker::default()).await.unwrap();
    let expected = "CONNECT unknown.test:80 HTTP/1.1\r\nHost: unknown.test:80\r\n\r\n";
    assert_eq!(proxy.await.unwrap(), expected);
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hi");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let (port, _proxy) = listen(async |mut stream| {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 407 Nope\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let config = ProxyConfig::Url(ProxyUrl::parse(&format!("u:p@127.0.0.1:{port}")).unwrap());
    let target = target("ws://unknown.test/".into());
    let error = dialer(config).dial(&target, &PhaseTracker::default()).await.unwrap_err();
    let status = "407 Proxy Authentication Required";
    let expected =
        format!("proxy http://127.0.0.1:{port}: refused the tunnel with status {status}");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_dead_proxy_is_a_proxy_error() {
    let proxy = format!("socks5h://127.0.0.1:{}", closed_port().await);
    let config = ProxyConfig::Url(ProxyUrl::parse(&proxy).unwrap());
    let target = target("ws://unknown.test/".into());
    let error = dialer(config).dial(&target, &PhaseTracker::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Proxy { source: ProxyError::Connect(_), .. }), "{error}");
}

/// Answers one SOCKS5 request without authentication with `reply` and returns the request.
async fn socks(stream: &mut TcpStream, reply: u8) -> Vec<u8> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.unwrap();
    stream.write_all(&[5, 0]).await.unwrap();
    let mut request = vec![0; 10];
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    request
}

#[tokio::test]
async fn socks5_resolves_here_and_tries_one_address_after_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5://{}", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move {
        let mut requests = Vec::new();
        for reply in [4, 0] {
            requests.push(socks(&mut listener.accept().await.unwrap().0, reply).await);
        }
        requests
    });
    let hosts = Hosts(vec!["192.0.2.1:0".parse().unwrap(), "192.0.2.2:0".parse().unwrap()]);
    let dialer = dialer(ProxyConfig::Url(ProxyUrl::parse(&url).unwrap())).with_resolver(hosts);
    dialer.dial(&target("ws://ws.test/".into()), &PhaseTracker::default()).await.unwrap();
    let expected = [1, 2].map(|last| vec![5, 1, 0, 1, 192, 0, 2, last, 0, 80]);
    assert_eq!(proxy.await.unwrap(), expected);
}

#[tokio::test]
async fn a_silent_proxy_times_out_in_its_phase() {
    let (port, _proxy) = listen(async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let config = ProxyConfig::Url(ProxyUrl::parse(&format!("127.0.0.1:{port}")).unwrap());
    let (phase, target) = (PhaseTracker::default(), target("wss://unknown.test/".into()));
    let dialer = dialer(config);
    let error = phase.within(Duration::from_millis(500), dialer.dial(&target, &phase)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DialError::Timeout { phase: Phase::Proxy, .. }), "{error}");
}

#[cfg(feature = "tls")]
mod with_tls {
    use super::*;
    use crate::tls::testing::Authority;
    use crate::tls::{ClientTls, ServerTls, ServerTlsConfig, TlsError};

    fn server_tls(authority: &Authority, name: &str) -> ServerTls {
        let (certificate, key) = authority.issue(name);
        ServerTls::load(ServerTlsConfig::new(certificate, key)).unwrap()
    }

    fn client_tls(authority: &Authority) -> ClientTls {
        ClientTls::builder().roots(authority.pem()).build().unwrap()
    }

    #[tokio::test]
    async fn a_wss_target_is_verified_by_its_name() {
        let authority = Authority::new();
        let tls = server_tls(&authority, "ws.test");
        let (port, server) = listen(async move |stream| {
            let mut stream = tls.accept(stream).await.unwrap();
            stream.read_u8().await.unwrap()
        })
        .await;
        let dialer = dialer(ProxyConfig::Direct).with_tls(client_tls(&authority));
        let target = target(format!("wss://ws.test:{port}"));
        let mut stream = dialer.dial(&target, &PhaseTracker::default()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(server.await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn an_untrusted_server_is_a_tls_error() {
        let tls = server_tls(&Authority::new(), "ws.test");
        let (port, _server) = listen(async move |stream| tls.accept(stream).await.is_ok()).await;
        let dialer = dialer(ProxyConfig::Direct).with_tls(client_tls(&Authority::new()));
        let target = target(format!("wss://ws.test:{port}"));
        let error = dialer.dial(&target, &PhaseTracker::default()).await.unwrap_err();
        assert!(matches!(error, DialError::Tls(TlsError::Handshake { .. })), "{error}");
    }

    #[tokio::test]
    async fn tls_to_the_server_runs_inside_tls_to_the_proxy() {
        let (outer, inner) = (Authority::new(), Authority::new());
        let (proxy_tls, tls) = (server_tls(&outer, "127.0.0.1"), server_tls(&inner, "ws.test"));
        let (port, server) = listen(async move |stream| {
            let mut tunnel = proxy_tls.accept(stream).await.unwrap();
            let head = read_head(&mut tunnel).await;
            tunnel.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut stream = tls.accept(tunnel).await.unwrap();
            stream.write_all(b"deep").await.unwrap();
            stream.shutdown().await.unwrap();
            head
        })
        .await;
        let proxy = ProxyUrl::parse(&format!("https://127.0.0.1:{port}")).unwrap();
        let dialer = dialer(ProxyConfig::Url(proxy))
            .with_tls(client_tls(&inner))
            .with_proxy_tls(client_tls(&outer));
        let target = target("wss://ws.test/".into());
        let mut stream = dialer.dial(&target, &PhaseTracker::default()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "deep");
        assert!(server.await.unwrap().starts_with("CONNECT ws.test:443 "));
        assert_eq!(stream.tcp().unwrap().peer_addr().unwrap().port(), port);
    }
}
