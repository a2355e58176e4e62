//! The same over TLS.

use super::*;
use crate::tls::{ClientTls, ServerTls, ServerTlsConfig, testing::Authority};

async fn secure_server(authority: &Authority) -> (Server, String) {
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = ServerTls::load(ServerTlsConfig::new(certificate, key)).unwrap();
    let server = Server::builder().bind("127.0.0.1:0").pull("/echo", echo).tls(tls);
    let server = server.start().await.unwrap();
    let url = format!("wss://127.0.0.1:{}/echo", port(&server));
    (server, url)
}

fn trusting(authority: &Authority) -> ClientTls {
    ClientTls::builder().roots(authority.pem()).build().unwrap()
}

#[tokio::test]
async fn wss_works_and_closes_cleanly() {
    let authority = Authority::new();
    let (_server, url) = secure_server(&authority).await;
    let mut ws = client(&url).tls(trusting(&authority)).connect().await.unwrap();
    let large = "x".repeat(200_000);
    ws.send(large.as_str()).await.unwrap();
    assert_eq!(ws.recv().await, Some(Message::text(large)));
    assert!(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap().await.is_clean());
}

#[tokio::test]
async fn an_untrusted_server_is_not_connected_to() {
    let (_server, url) = secure_server(&Authority::new()).await;
    let error = client(&url).tls(trusting(&Authority::new())).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(DialError::Tls(_))), "{error}");
}

#[tokio::test]
async fn a_plain_url_to_our_tls_server_says_so() {
    let (_server, url) = secure_server(&Authority::new()).await;
    let error = client(&url.replace("wss:", "ws:")).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls | ConnectError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_never_leads_out_of_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = ServerTls::load(ServerTlsConfig::new(certificate, key)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let _server = tokio::spawn(async move {
        let mut stream = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 301 X\r\nLocation: ws://127.0.0.1/\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let client = client(&url).tls(trusting(&authority)).redirects(5);
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::InsecureRedirect { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_into_tls_is_followed() {
    let authority = Authority::new();
    let (_server, url) = secure_server(&authority).await;
    let (plain, _redirecting) = redirects::redirecting(&url).await;
    client(&plain).tls(trusting(&authority)).redirects(1).connect().await.unwrap();
}
