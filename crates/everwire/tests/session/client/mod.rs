//! The client of sessions over real sockets.

mod advice;
mod backoff;
mod ends;
mod faulty;
mod moves;
mod paths;
mod silent;
mod stored;
mod unkept;

use std::{net::SocketAddr, time::Duration};

use everwire::{
    Client,
    dial::ProxyConfig,
    reconnect::ReconnectPolicy,
    session::{ClientEvent, SessionClient, SessionClientBuilder, Sessions},
};
use everwire_testkit::{ChaosProxy, Cut, Plan};
use tokio::net::TcpSocket;

use crate::{
    common::{settle, soon, until},
    echo,
};

/// A client that comes back quickly.
pub(crate) fn builder(url: &str) -> SessionClientBuilder {
    let mut policy = ReconnectPolicy::default();
    policy.base = Duration::from_millis(10);
    policy.cap = Duration::from_millis(50);
    SessionClient::builder(Client::new(url).unwrap().proxy(ProxyConfig::Direct)).policy(policy)
}

pub(crate) fn client(url: &str) -> SessionClient {
    builder(url).start().unwrap()
}

/// An address at which nobody listens as long as the socket lives, which may begin to.
pub(crate) fn nowhere() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("ws://{}/", socket.local_addr().unwrap());
    (socket, url)
}

/// Returns the next event in words.
pub(crate) async fn hear(client: &mut SessionClient) -> String {
    match soon(client.next()).await {
        Some(event) => words(&event),
        None => "nothing".into(),
    }
}

pub(crate) fn words(event: &ClientEvent) -> String {
    let texts = |messages: &[everwire::session::SessionMessage]| {
        let texts: Vec<_> = messages.iter().map(|it| it.as_text().unwrap_or("binary")).collect();
        texts.join(" ")
    };
    match event {
        ClientEvent::Attached { .. } => "attached".into(),
        ClientEvent::Resumed { .. } => "resumed".into(),
        ClientEvent::Detached { .. } => "detached".into(),
        ClientEvent::Message(message) => message.as_text().unwrap_or("binary").to_owned(),
        ClientEvent::Gap(direction, gap) => format!("gap {direction:?} {}-{}", gap.from, gap.to),
        ClientEvent::Lost { unacknowledged, end: None } => {
            format!("lost [{}]", texts(unacknowledged))
        }
        ClientEvent::Lost { unacknowledged, end: Some(end) } => {
            format!("lost [{}]: {end}", texts(unacknowledged))
        }
        ClientEvent::Ended(end) => format!("{} [{}]", end.why, texts(&end.unacknowledged)),
        other => format!("{other:?}"),
    }
}

/// Returns the messages that come, and what else does.
pub(crate) async fn hear_messages(
    client: &mut SessionClient,
    n: usize,
) -> (Vec<String>, Vec<String>) {
    let (mut messages, mut others) = (Vec::new(), Vec::new());
    while messages.len() < n {
        match soon(client.next()).await.expect("there is more") {
            ClientEvent::Message(message) => messages.push(message.as_text().unwrap().to_owned()),
            other => others.push(words(&other)),
        }
    }
    (messages, others)
}

/// A proxy in front of a server, which cuts by order.
pub(crate) async fn proxied(url: &str) -> (ChaosProxy, String) {
    let addr: SocketAddr = url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let (proxy, _) = ChaosProxy::start(listen, addr, Plan::calm()).await.unwrap();
    let url = format!("ws://{}/", proxy.addr());
    (proxy, url)
}

#[tokio::test]
async fn a_client_is_attached_sends_receives_and_says_goodbye() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(client.send("one").await, Ok(1)); // There is no connection yet.
    assert_eq!(client.try_send(&b"two"[..]), Ok(2));
    assert_eq!(hear(&mut client).await, "attached");
    assert_eq!(hear(&mut client).await, "one");
    assert_eq!(hear(&mut client).await, "binary");
    assert!(!client.id().is_empty());
    let end = soon(client.close(everwire::session::Code::NORMAL, "done")).await;
    assert!(end.is_clean(), "{end}");
    assert_eq!(hear(&mut client).await, "session ended by us with 1000 \"done\" []");
    assert_eq!(hear(&mut client).await, "nothing");
    assert_eq!(hear(&mut client).await, "nothing");
    assert_eq!(notes.until(4).await[3], "ended 1000 by Peer");
    assert!(client.send("three").await.is_err());
}

#[tokio::test]
async fn whatever_cuts_its_connections_nothing_is_lost_doubled_or_reordered() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let (proxy, url) = proxied(&url).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    let mut sent = Vec::new();
    let mut received = Vec::new();
    let cuts = [Cut::Reset, Cut::Close, Cut::Client, Cut::Server];
    for (round, cut) in cuts.into_iter().enumerate() {
        for n in 0..100 {
            let text = format!("{round}.{n} {}", "x".repeat(n * 10));
            client.send(text.as_str()).await.unwrap();
            sent.push(text);
            if n == 50 {
                proxy.cut(cut);
            }
        }
        received.extend(hear_messages(&mut client, 100).await.0);
    }
    assert_eq!(received, sent);
}

/// The buffer is bounded, and who sends waits for room in it.
#[tokio::test]
async fn send_waits_while_the_buffer_is_full_and_dropped_it_has_sent_nothing() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let (proxy, proxy_url) = proxied(&url).await;
    let buffer = everwire::session::Buffer {
        bytes: 1 << 20,
        entries: 3,
        age: None,
        overflow: everwire::session::Overflow::Refuse,
    };
    let mut client = builder(&proxy_url).buffer(buffer).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    proxy.cut(Cut::Hole);
    until(|| proxy.tally().cuts == 1).await;
    for n in 1..=3 {
        client.send(format!("{n}")).await.unwrap();
    }
    assert!(client.try_send("too much").is_err());
    let waiting = tokio::time::timeout(Duration::from_millis(50), client.send("dropped"));
    assert!(waiting.await.is_err());
    assert_eq!(client.buffered(), (3, 3));
    // Silence is suspected, and another connection takes over.
    soon(client.send("4")).await.unwrap();
    assert_eq!(hear_messages(&mut client, 4).await.0, ["1", "2", "3", "4"]);
}

/// What is not taken holds up the server, and nothing is lost when it is.
#[tokio::test]
async fn a_client_that_takes_nothing_closes_its_window() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let mut client = builder(&url).window(1000).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    let session = &sessions.all()[0];
    for n in 0..100 {
        session.send_text(&format!("{n:0100}")).unwrap();
    }
    // Each costs 132, so eight are begun within 1000; without a window 64 are acknowledged at once.
    until(|| session.buffered().1 == 92).await;
    settle().await;
    assert_eq!(session.buffered().1, 92);
    let received = hear_messages(&mut client, 100).await.0;
    let numbers: Vec<u32> = received.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn volatile_messages_go_out_now_or_never() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert!(!client.send_volatile("never"));
    assert_eq!(hear(&mut client).await, "attached");
    assert!(client.send_volatile("now"));
    assert_eq!(hear(&mut client).await, "now");
}

/// What comes is not asked for, and credit goes back all the same.
#[tokio::test]
async fn a_client_without_a_receiver_goes_on() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let (sender, receiver) = builder(&url).window(500).start().unwrap().split();
    drop(receiver);
    for n in 0..50 {
        soon(sender.send(format!("{n:0100}"))).await.unwrap();
    }
    until(|| sender.buffered().1 == 0 && sessions.all()[0].buffered().1 == 0).await;
}

#[tokio::test]
async fn the_largest_message_goes_both_ways_and_a_larger_one_is_refused() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    let largest = "x".repeat(1 << 20);
    soon(client.send(largest.as_str())).await.unwrap();
    assert_eq!(hear(&mut client).await.len(), 1 << 20);
    let error = soon(client.send(format!("{largest}x"))).await.unwrap_err();
    let said = "message of 1048577 bytes exceeds the peer's limit of 1048576";
    assert_eq!(error.to_string(), said);
}
