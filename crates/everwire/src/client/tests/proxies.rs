//! Proxies on the way to the server.

use super::*;

#[tokio::test]
async fn a_socks5_proxy_is_gone_through() {
    let (_server, url) = echo_server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("socks5://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut near = listener.accept().await.unwrap().0;
        near.read_exact(&mut [0; 3]).await.unwrap();
        near.write_all(&[5, 0]).await.unwrap();
        let mut request = [0; 10];
        near.read_exact(&mut request).await.unwrap();
        let port = u16::from_be_bytes([request[8], request[9]]);
        let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        relay(near, far).await
    });
    echo_through(&url, &proxy).await;
}

#[tokio::test]
async fn an_http_proxy_is_gone_through() {
    let (_server, url) = echo_server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://u:p@{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut near = listener.accept().await.unwrap().0;
        let head = read_head(&mut near).await;
        assert_eq!(field(&head, "proxy-authorization").as_deref(), Some("Basic dTpw"));
        let far = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
        near.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").await.unwrap();
        relay(near, far).await
    });
    echo_through(&url, &proxy).await;
}

async fn relay(mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
}

async fn echo_through(url: &str, proxy: &str) {
    let proxy = ProxyConfig::Url(ProxyUrl::parse(proxy).unwrap());
    let mut ws = Client::new(url).unwrap().proxy(proxy).connect().await.unwrap();
    ws.send("through").await.unwrap();
    assert_eq!(ws.recv().await, Some(Message::text("through")));
    assert!(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap().await.is_clean());
}

#[tokio::test]
async fn a_proxy_in_the_way_is_blamed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut near = listener.accept().await.unwrap().0;
        read_head(&mut near).await;
        near.write_all(b"HTTP/1.1 403 No\r\n\r\n").await.unwrap();
    });
    let config = ProxyConfig::Url(ProxyUrl::parse(&proxy).unwrap());
    let error = Client::new("ws://unknown.test/").unwrap().proxy(config).connect().await;
    assert!(error.unwrap_err().to_string().starts_with(&format!("proxy {proxy}: refused")));
}
