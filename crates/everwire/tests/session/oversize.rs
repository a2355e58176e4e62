//! Messages that a connection refuses for their size: the session ends with the refusal, while the socket
//! is still there.

use std::time::Duration;

use everwire::{
    Client, Config, Server,
    dial::ProxyConfig,
    session::{SessionClient, Sessions},
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    Echo, Form, Plain, Visitor,
    client::hear,
    common::{Notes, Raw, close, frame, head, read_head, soon, start},
    scripted,
};

/// The head of a frame of 2 MiB, as a client sends it and as a server does; of the rest nothing comes.
const FROM_CLIENT: [u8; 14] = [0x82, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4];
const FROM_SERVER: [u8; 10] = [0x82, 0x7f, 0, 0, 0, 0, 0, 0x20, 0, 0];

/// A connection whose peer goes on to hold its end goes on to be there, for an hour.
fn lingering() -> Config {
    let mut config = Config::default();
    config.linger = Some(Duration::from_secs(3600));
    config
}

/// Checks that a session has ended when its client, which says this and keeps its socket, comes on
/// another.
async fn check_server(says: &[u8], expected: &str) {
    let notes = Notes::default();
    let handler = notes.clone();
    let sessions = Sessions::builder().push(move |_| Echo(handler.clone()));
    let server = Server::builder().config(lingering()).push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server).await;
    let mut visitor = Visitor::new(&format!("ws://{addr}/"));
    let now = std::time::Instant::now();
    let attempt = visitor.session.hello(now).unwrap();
    let mut raw = Raw(soon(TcpStream::connect(addr)).await.unwrap());
    raw.write(head("/", "Sec-WebSocket-Protocol: everwire.v1\r\n").as_bytes()).await;
    assert!(read_head(&mut raw.0).await.starts_with("HTTP/1.1 101 "));
    raw.write(&frame(0x82, &attempt.hello)).await;
    let (_, welcome) = raw.read().await.unwrap();
    visitor.session.handle_message(now, attempt.number, &welcome.into());
    raw.write(&frame(0x82, b"\x20\0\0\0\x80\x80\x10")).await;
    raw.write(&frame(0x82, b"\x11heard")).await;
    raw.write(says).await;
    let told = notes.until(3).await;
    assert_eq!(told[..2], ["session", "heard"]);
    assert!(told[2].starts_with(expected), "{told:?}");
    assert_eq!(visitor.hear().await, "opened");
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "ended 4502 by Peer");
    assert_eq!(sessions.stats().sessions, 0);
    assert_eq!(raw.read_close().await.0, 1009);
}

#[tokio::test]
async fn a_client_whose_message_was_refused_finds_the_session_ended_on_another_socket() {
    check_server(&FROM_CLIENT, "ended 4502 by Violation(TooBig").await;
}

#[tokio::test]
async fn a_client_that_refused_a_message_finds_the_session_ended_on_another_socket() {
    check_server(&close(1009), "ended 4502 by Peer").await;
}

/// Checks how a client's session ends whose server says this behind WELCOME, and keeps its socket.
async fn check_client(says: &[u8], expected: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = Client::new(url.as_str()).unwrap().proxy(ProxyConfig::Direct);
    let mut client = SessionClient::builder(client.config(lingering())).start().unwrap();
    let mut raw = scripted::welcome(soon(listener.accept()).await.unwrap().0).await;
    raw.write(&scripted::frame(b"\x11heard")).await;
    raw.write(says).await;
    assert_eq!(hear(&mut client).await, "attached");
    assert_eq!(hear(&mut client).await, "heard");
    let end = hear(&mut client).await;
    assert!(end.starts_with(expected), "{end}");
    assert_eq!(raw.read_close().await.0, 1009);
}

#[tokio::test]
async fn a_client_that_refuses_a_message_ends_its_session_at_once() {
    check_client(&FROM_SERVER, "session ended with 4502: the server broke the protocol").await;
}

#[tokio::test]
async fn a_client_whose_message_is_refused_ends_its_session_at_once() {
    check_client(&scripted::close(1009, ""), "session ended by the server with 4502").await;
}
