//! What the path between a client and its server does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use everwire::session::{ClientState, Sessions};
use everwire_testkit::Cut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

use super::{builder, client, hear, proxied};
use crate::{
    common::{read_head, soon, until},
    echo, scripted,
};

/// A path on which what a client sends behind its request is held back until it is let go, and
/// which counts what passes.
struct Tap {
    url: String,
    hold: watch::Sender<bool>,
    /// For each connection the bytes that the client sent behind its request.
    held: Arc<Mutex<Vec<usize>>>,
}

impl Tap {
    async fn new(url: &str, holds: bool) -> Self {
        let target: SocketAddr =
            url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let (hold, held) = (watch::Sender::new(holds), Arc::new(Mutex::new(Vec::new())));
        let (hold_task, held_task) = (hold.clone(), held.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut counts = held_task.lock().unwrap();
                let n = counts.len();
                counts.push(0);
                drop(counts);
                tokio::spawn(pass(client, target, hold_task.subscribe(), held_task.clone(), n));
            }
        });
        Self { url, hold, held }
    }
}

async fn pass(
    mut client: TcpStream,
    target: SocketAddr,
    mut hold: watch::Receiver<bool>,
    held: Arc<Mutex<Vec<usize>>>,
    n: usize,
) {
    let mut server = TcpStream::connect(target).await.unwrap();
    let head = read_head(&mut client).await;
    server.write_all(head.as_bytes()).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from_client.read(&mut buffer).await {
            held.lock().unwrap()[n] += len;
            hold.wait_for(|holds| !holds).await.ok();
            if to_server.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
    };
    let down = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}

/// A server is given its time for the answer, however long it takes to get there.
#[tokio::test(start_paused = true)]
async fn the_time_to_attach_begins_when_the_connection_is_open() {
    let (builder, mut connections) = scripted::piped();
    let mut config = everwire::session::SessionConfig::client();
    config.attach_timeout = Duration::from_secs(1);
    let mut client = builder.config(config).start().unwrap();
    let slow = connections.recv().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let _server = scripted::welcome(slow).await;
    assert_eq!(hear(&mut client).await, "attached");
}

/// The server hears nothing of a client but its requests, and yet both sessions are there and all
/// that was to be sent has come: no round trip is needed beyond the upgrade.
#[tokio::test]
async fn a_hello_in_the_upgrade_costs_no_further_round_trip() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let tap = Tap::new(&url, true).await;
    let mut client = client(&tap.url);
    assert_eq!(hear(&mut client).await, "attached");
    tap.hold.send_replace(false);
    client.send("before").await.unwrap();
    assert_eq!(hear(&mut client).await, "before");
    tap.hold.send_replace(true);
    sessions.all()[0].detach();
    assert_eq!(hear(&mut client).await, "detached");
    sessions.all()[0].send_text("while you were out").unwrap();
    assert_eq!(hear(&mut client).await, "resumed");
    assert_eq!(hear(&mut client).await, "while you were out");
    assert_eq!(notes.all(), ["session", "before", "detached", "resumed"]);
    tap.hold.send_replace(false);
    client.send("after").await.unwrap();
    assert_eq!(hear(&mut client).await, "after");
}

/// Without it, one frame of the client has to arrive before the server's.
#[tokio::test]
async fn a_hello_as_the_first_message_costs_one_round_trip() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let tap = Tap::new(&url, true).await;
    let mut client = builder(&tap.url).early(false).start().unwrap();
    until(|| tap.held.lock().unwrap().first().is_some_and(|held| *held > 0)).await;
    assert!(matches!(client.state(), ClientState::Connecting { .. }));
    tap.hold.send_replace(false);
    assert_eq!(hear(&mut client).await, "attached");
}

#[tokio::test]
async fn a_path_that_swallows_everything_is_raced_by_another() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let (proxy, url) = proxied(&url).await;
    for cut in [Cut::Hole, Cut::Down, Cut::Up] {
        let mut client = client(&url);
        assert_eq!(hear(&mut client).await, "attached");
        let id = client.id();
        proxy.cut(cut);
        let begun = Instant::now();
        client.send("into the void").await.unwrap();
        // The application does not notice: the old one was fenced when the new one was there.
        assert_eq!(hear(&mut client).await, "resumed", "{cut}");
        assert_eq!(hear(&mut client).await, "into the void", "{cut}");
        assert!(begun.elapsed() > Duration::from_millis(900), "{cut}: that was no suspicion");
        assert_eq!(client.id(), id);
        drop(client);
    }
    until(|| sessions.stats().sessions == 0).await;
}

/// The first connection was only slow: it speaks before a HELLO went out on the second.
#[tokio::test]
async fn a_suspicion_that_is_over_costs_nothing() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let tap = Tap::new(&url, false).await;
    let (asked, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (provider_asked, provider_goes_on) = (asked.clone(), goes_on.clone());
    let tap_url = tap.url.clone();
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let mut client = builder(&url)
        .url(move |_| {
            let waits = !is_first.swap(false, std::sync::atomic::Ordering::Relaxed);
            let (asked, goes_on) = (provider_asked.clone(), provider_goes_on.clone());
            let url = tap_url.clone();
            async move {
                if waits {
                    asked.notify_one();
                    goes_on.notified().await;
                }
                Ok(url)
            }
        })
        .start()
        .unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    tap.hold.send_replace(true);
    client.send("slow").await.unwrap();
    soon(asked.notified()).await; // It suspects, and is about to open another.
    tap.hold.send_replace(false);
    assert_eq!(hear(&mut client).await, "slow");
    goes_on.notify_one();
    client.send("still the first").await.unwrap();
    assert_eq!(hear(&mut client).await, "still the first");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(notes.all(), ["session", "slow", "still the first"]);
}

#[tokio::test]
async fn waking_asks_a_silent_path_for_life_at_once() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let (proxy, url) = proxied(&url).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    proxy.cut(Cut::Hole);
    until(|| proxy.tally().cuts == 1).await;
    client.wake(); // It has nothing to send, and would notice in half a minute.
    assert_eq!(hear(&mut client).await, "resumed");
}

/// A transparent wait: states follow each other as one would expect.
#[tokio::test]
async fn states_are_told() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    let mut states = client.states();
    assert!(matches!(client.state(), ClientState::Connecting { attempt: 1, .. }));
    assert_eq!(hear(&mut client).await, "attached");
    soon(async { while !matches!(states.next().await, Some(ClientState::Attached)) {} }).await;
    sessions.all()[0].detach();
    soon(async { while !matches!(states.next().await, Some(ClientState::Detached { .. })) {} })
        .await;
    drop(client);
    soon(async { while states.next().await.is_some() {} }).await;
}
