//! Paths that are slow, and paths on which nothing is heard any more.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use everwire::session::{ClientEvent, ClientState, SessionClient, SessionConfig, Sessions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::Instant,
};

use super::{builder, client, hear, words};
use crate::{
    common::{soon, until},
    echo, scripted,
};

/// Which connections carry something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    All,
    /// All are accepted, and swallow what is sent.
    None,
    /// Those that are opened from now on.
    New,
}

/// A proxy that carries so many bytes a second on each connection, in each direction. What it does not
/// carry it keeps for later, as TCP does.
struct Narrows {
    url: String,
    open: watch::Sender<Open>,
    connections: Arc<AtomicUsize>,
}

impl Narrows {
    async fn new(url: &str, rate: usize) -> Self {
        let target: SocketAddr =
            url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let (open, connections) = (watch::Sender::new(Open::All), Arc::new(AtomicUsize::new(0)));
        let (opens, counter) = (open.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let open = opens.subscribe();
                tokio::spawn(async move {
                    let is_new = *open.borrow() == Open::New;
                    let server = TcpStream::connect(target).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let up = carry(from_client, to_server, rate, open.clone(), is_new);
                    let down = carry(from_server, to_client, rate, open, is_new);
                    tokio::join!(up, down);
                });
            }
        });
        Self { url, open, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rate: usize,
    mut open: watch::Receiver<Open>,
    is_new: bool,
) {
    let mut buffer = vec![0; (rate / 50).clamp(1, 1 << 16)];
    let mut free_at = Instant::now();
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let is_open = |open: &Open| *open == Open::All || is_new && *open == Open::New;
        if open.wait_for(is_open).await.is_err() || to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
        // What a loaded machine is late by is made up for.
        let earliest = Instant::now() - Duration::from_millis(500);
        free_at = free_at.max(earliest) + Duration::from_secs(1) * len as u32 / rate as u32;
        tokio::time::sleep_until(free_at).await;
    }
}

/// Hears until a message comes, and returns what else was told before, in words.
async fn hear_message(client: &mut SessionClient) -> (String, Vec<String>) {
    let mut told = Vec::new();
    loop {
        match soon(client.next()).await.expect("there is more") {
            ClientEvent::Message(message) => return (message.as_text().unwrap().to_owned(), told),
            other => told.push(words(&other)),
        }
        assert!(told.len() < 20, "there is no end to it: {told:?}");
    }
}

/// It takes longer than an answer may, up as down; each connection begins it anew.
#[tokio::test]
async fn a_message_arrives_that_takes_longer_than_a_client_is_patient() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let narrows = Narrows::new(&url, 20_000).await;
    let mut client = client(&narrows.url);
    assert_eq!(hear(&mut client).await, "attached");
    let large = "x".repeat(60_000);
    client.send(large.as_str()).await.unwrap();
    let (message, told) = hear_message(&mut client).await;
    assert!(message == large, "{} bytes came", message.len());
    assert!(told.iter().any(|it| it == "resumed"), "nothing was suspected: {told:?}");
    assert_eq!(notes.all().iter().filter(|note| **note == large).count(), 1);
}

/// Returns a server whose heartbeat does not notice anything for minutes.
fn unhurried() -> SessionConfig {
    let mut config = SessionConfig::server();
    config.terms.heartbeat = Duration::from_secs(300);
    config
}

#[tokio::test]
async fn where_everything_is_swallowed_the_client_says_so_and_goes_on_when_it_is_not_any_more() {
    let (_server, url, notes, _) = echo(Sessions::builder().config(unhurried())).await;
    let narrows = Narrows::new(&url, 1 << 24).await;
    let mut client = client(&narrows.url);
    assert_eq!(hear(&mut client).await, "attached");
    narrows.open.send_replace(Open::None);
    client.send("one").await.unwrap();
    // A wait is bounded by a minute: that is long before any heartbeat.
    assert_eq!(hear(&mut client).await, "detached");
    until(|| matches!(client.state(), ClientState::Detached { .. })).await;
    until(|| narrows.connections() > 1).await;
    client.send("two").await.unwrap();
    narrows.open.send_replace(Open::All);
    // Whichever speaks first.
    assert_eq!(hear(&mut client).await, "resumed");
    until(|| matches!(client.state(), ClientState::Attached)).await;
    assert_eq!(hear_message(&mut client).await.0, "one");
    assert_eq!(hear_message(&mut client).await.0, "two");
    let messages: Vec<_> = notes.all().into_iter().filter(|it| it.len() == 3).collect();
    assert_eq!(messages, ["one", "two"]);
}

#[tokio::test]
async fn where_only_a_new_connection_gets_through_the_session_goes_on_there() {
    let (_server, url, notes, _) = echo(Sessions::builder().config(unhurried())).await;
    let narrows = Narrows::new(&url, 1 << 24).await;
    let mut policy = everwire::reconnect::ReconnectPolicy::default();
    (policy.base, policy.cap) = (Duration::from_millis(10), Duration::from_millis(50));
    policy.attempt_max = Duration::from_secs(2);
    let mut client = builder(&narrows.url).policy(policy).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    narrows.open.send_replace(Open::None);
    client.send("one").await.unwrap();
    assert_eq!(hear(&mut client).await, "detached");
    narrows.open.send_replace(Open::New);
    assert_eq!(hear(&mut client).await, "resumed");
    assert_eq!(hear(&mut client).await, "one");
    assert_eq!(notes.all(), ["session", "resumed", "one"]);
}

/// In virtual time, over pipes: what is told, and when.
#[tokio::test(start_paused = true)]
async fn a_silent_path_is_told_within_three_seconds_and_its_voice_ends_that() {
    let (builder, mut connections) = scripted::piped();
    let mut client = builder.start().unwrap();
    let mut raw = scripted::attach(connections.recv().await.unwrap(), 1).await;
    assert_eq!(hear(&mut client).await, "attached");
    let begun = Instant::now();
    client.send("into the void").await.unwrap();
    let _second = connections.recv().await.unwrap(); // Nobody answers there.
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(hear(&mut client).await, "detached");
    assert!((2750..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // The attempt fails some time, and another follows.
    let mut states = client.states();
    let again = |state: &ClientState| {
        matches!(state, ClientState::Detached { attempt: 2, last: Some(_), .. })
    };
    soon(async { while !again(&states.next().await.unwrap()) {} }).await;
    raw.write(&scripted::frame(b"\x11still here")).await;
    let told = soon(client.next()).await;
    assert!(matches!(told, Some(ClientEvent::Resumed { epoch: 1 })), "{told:?}");
    assert_eq!(hear(&mut client).await, "still here");
    assert!(matches!(client.state(), ClientState::Attached));
}

/// The heartbeat ends the silent connection; what was told is not told again.
#[tokio::test(start_paused = true)]
async fn who_was_told_of_the_silence_hears_no_more_of_its_end() {
    let (builder, mut connections) = scripted::piped();
    let mut client = builder.start().unwrap();
    let _raw = scripted::attach(connections.recv().await.unwrap(), 1).await;
    assert_eq!(hear(&mut client).await, "attached");
    client.send("into the void").await.unwrap();
    assert_eq!(hear(&mut client).await, "detached");
    let begun = Instant::now();
    let mut others = Vec::new();
    while begun.elapsed() < Duration::from_secs(50) {
        // Nobody answers there, until the first is long given up.
        if let Ok(io) = tokio::time::timeout(Duration::from_secs(1), connections.recv()).await {
            others.push(io.unwrap());
        }
    }
    drop(others);
    let _raw = scripted::attach(connections.recv().await.unwrap(), 2).await;
    let told = soon(client.next()).await;
    assert!(matches!(told, Some(ClientEvent::Resumed { epoch: 2 })), "{told:?}");
}

/// Its bytes are life, where whole messages are not to be seen: three seconds each way, and heartbeats of
/// one with a second to answer.
#[tokio::test]
async fn a_message_arrives_that_takes_longer_than_the_heartbeat() {
    let mut config = SessionConfig::server();
    config.terms.heartbeat = Duration::from_secs(1);
    config.terms.heartbeat_timeout = Duration::from_secs(1);
    let (_server, url, notes, _) = echo(Sessions::builder().config(config)).await;
    let narrows = Narrows::new(&url, 20_000).await;
    let mut config = SessionConfig::client();
    config.probes = false; // Only the heartbeats are in the way.
    let mut client = builder(&narrows.url).config(config).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    let large = "x".repeat(60_000);
    client.send(large.as_str()).await.unwrap();
    let (message, told) = hear_message(&mut client).await;
    assert!(message == large, "{} bytes came: {told:?}", message.len());
    assert_eq!(notes.all().iter().filter(|note| **note == large).count(), 1);
}
