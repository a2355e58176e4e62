//! The adaptive keepalive with real parts: a box on the path that forgets silent connections.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{soon, until};
use everwire::{
    Client, Server, WebSocket,
    dial::ProxyConfig,
    reconnect::{
        AdaptiveKeepalive, KeepaliveStore, MemoryStore, PathRecord, ReconnectPolicy,
        ReconnectingClient,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

/// What a box does with a connection that was silent for too long.
#[derive(Clone, Copy)]
enum Forgets {
    /// Swallows what comes, as a router does.
    Silently,
    /// Ends both sides, as a proxy does.
    Loudly,
}

const PATIENCE: Duration = Duration::from_millis(1400);

/// Stands between client and server; returns its address and how many connections it forgot.
async fn forgetful(server: String, how: Forgets) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let forgotten = Arc::new(AtomicUsize::new(0));
    let count = forgotten.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(near, far, how, count.clone()));
        }
    });
    (addr, forgotten)
}

async fn pass(mut near: TcpStream, mut far: TcpStream, how: Forgets, forgotten: Arc<AtomicUsize>) {
    let mut deadline = Instant::now() + PATIENCE;
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let (n, to, bytes) = tokio::select! {
            n = near.read(&mut up) => (n, &mut far, &up),
            n = far.read(&mut down) => (n, &mut near, &down),
            () = sleep_until(deadline) => break,
        };
        let Ok(n @ 1..) = n else { return };
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
        deadline = Instant::now() + PATIENCE;
    }
    forgotten.fetch_add(1, Ordering::Relaxed);
    if let Forgets::Silently = how {
        copy(&mut near, &mut tokio::io::sink()).await.ok();
    }
}

/// Lets others look at what was saved.
#[derive(Clone, Default)]
struct Shared(Arc<MemoryStore>);

impl KeepaliveStore for Shared {
    fn load(&self, label: &str) -> Option<PathRecord> {
        self.0.load(label)
    }

    fn save(&self, label: &str, record: PathRecord) {
        self.0.save(label, record);
    }
}

async fn idle(mut ws: WebSocket) {
    while ws.recv().await.is_some() {}
}

async fn finds_the_limit(how: Forgets) {
    let server = Server::builder().bind("127.0.0.1:0").pull("/", idle).start().await.unwrap();
    let (addr, forgotten) = forgetful(server.local_addr().unwrap().to_string(), how).await;
    let mut policy = ReconnectPolicy::default();
    policy.first_spread = Duration::from_millis(10);
    let store = Shared::default();
    let keepalive = AdaptiveKeepalive::new(store.clone())
        .shortest(Duration::from_millis(500))
        .timeout(Duration::from_millis(500))
        .network(|| "lab".into());
    let client = Client::new(&format!("ws://{addr}/")).unwrap().proxy(ProxyConfig::Direct);
    let client = ReconnectingClient::builder(client);
    let client = client.policy(policy).adaptive_keepalive(keepalive).start();
    let found = || store.load("lab/127.0.0.1").filter(|record| record.settled.is_some());
    until(|| found().is_some()).await;
    let record = found().unwrap();
    assert!(record.tolerated >= Duration::from_millis(500), "{record:?}");
    assert!(record.tolerated <= PATIENCE, "{record:?}");
    assert!(record.refused.unwrap() > record.tolerated, "{record:?}");
    // It took two failures, and what was found keeps the connection.
    let n_forgotten = forgotten.load(Ordering::Relaxed);
    assert!((2..=3).contains(&n_forgotten), "{n_forgotten} connections lost");
    let generation = soon(client.open()).await.unwrap();
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!(client.state().generation(), Some(generation));
}

#[tokio::test]
async fn a_router_that_forgets_is_found_out() {
    finds_the_limit(Forgets::Silently).await;
}

#[tokio::test]
async fn a_proxy_that_ends_silent_connections_is_found_out() {
    finds_the_limit(Forgets::Loudly).await;
}
