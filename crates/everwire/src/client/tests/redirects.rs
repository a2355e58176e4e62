//! Servers that send the client elsewhere.

use super::*;

/// A scripted server that redirects to `location`.
pub(super) async fn redirecting(location: &str) -> (String, JoinHandle<Vec<String>>) {
    let answer = format!("HTTP/1.1 307 X\r\nLocation: {location}\r\nSet-Cookie: c=1\r\n\r\n");
    script(vec![answer.leak().as_bytes()]).await
}

#[tokio::test]
async fn redirects_are_refusals_unless_allowed() {
    let (url, _server) = redirecting("/there").await;
    let error = client(&url).connect().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "server refuses with status 307 Temporary Redirect instead of 101 (it redirects to \"/there\": connect there, or allow redirects)"
    );
}

#[tokio::test]
async fn a_redirect_on_the_same_host_keeps_the_secrets() {
    let redirect = b"HTTP/1.1 302 X\r\nLocation: ../there?x\r\n\r\n";
    let (url, server) = script(vec![redirect, OK]).await;
    let client = client(&format!("{url}/a/b")).bearer("t").header("cookie", "a=b").redirects(1);
    client.connect().await.unwrap();
    let heads = server.await.unwrap();
    assert!(heads[1].starts_with("GET /there?x HTTP/1.1\r\n"), "{}", heads[1]);
    assert_eq!(field(&heads[1], "authorization").as_deref(), Some("Bearer t"));
    assert_eq!(field(&heads[1], "cookie").as_deref(), Some("a=b"));
}

#[tokio::test]
async fn a_redirect_elsewhere_leaves_the_secrets_behind() {
    let (there, second) = script(vec![OK]).await;
    let (here, first) = redirecting(&there.replace("ws://", "http://")).await;
    client(&here)
        .bearer("t")
        .header("cookie", "a=b")
        .header("host", "virtual.test")
        .header("x-kept", "1")
        .subprotocols(["chat", "everwire.bearer.dA"])
        .redirects(3)
        .connect()
        .await
        .unwrap();
    let (first, second) = (first.await.unwrap().remove(0), second.await.unwrap().remove(0));
    assert_eq!(field(&first, "authorization").as_deref(), Some("Bearer t"));
    assert_eq!(field(&second, "authorization"), None);
    assert_eq!(field(&second, "cookie"), None);
    assert_eq!(field(&second, "host").as_deref(), Some(&there["ws://".len()..]));
    assert_eq!(field(&second, "x-kept").as_deref(), Some("1"));
    assert_eq!(field(&second, "sec-websocket-protocol").as_deref(), Some("chat"));
}

#[tokio::test]
async fn redirects_are_counted() {
    let redirect: &[u8] = b"HTTP/1.1 301 X\r\nLocation: /again\r\n\r\n";
    let (url, server) = script(vec![redirect; 3]).await;
    let error = client(&url).redirects(2).connect().await.unwrap_err();
    let expected = format!("server redirects more than 2 times, last to {url}/again");
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.await.unwrap().len(), 3);
}
