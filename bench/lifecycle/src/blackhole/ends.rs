//! The connections of a row: the ends that are looked at, and their peers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use everwire::{Client, Closure, Config, Conn, Handler, Message, SendError, Sender, Server};
use tokio::{task::JoinHandle, time::sleep};

use super::row::{Case, Observed, Row};
use crate::namespaces::Host;

/// How often, and how much, a connection with data in flight sends.
const SENDS: (Duration, usize) = (Duration::from_millis(100), 200);

/// What is sent to a peer that never reads: more than the systems of both ends hold.
const TOO_MUCH: usize = 16 << 20;

type Closed = JoinHandle<(Arc<Closure>, Instant)>;

/// All connections of one row.
pub(super) struct Ends {
    /// The ends that are looked at.
    senders: Vec<Sender>,
    closed: Vec<Closed>,
    addr: SocketAddr,
    server: Server,
    peers: Vec<Sender>,
}

/// An end that only receives, and may refuse even that.
struct Quiet {
    reads: bool,
    opened: Arc<Mutex<Vec<Sender>>>,
}

impl Handler for Quiet {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        if !self.reads {
            conn.pause_reading();
        }
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

impl Ends {
    /// Opens them: the server is on the near host if it is looked at, and else on the far one.
    pub(super) async fn open(row: &Row, near: &Host, far: &Host) -> Result<Self> {
        let mut observed = Config::default();
        observed.keepalive = Some(row.policy.keepalive);
        observed.limits.send_queue = 2 * TOO_MUCH;
        let mut peer = Config::default();
        peer.keepalive = None;
        peer.limits.message = TOO_MUCH as u64;
        let mut peer_reads = true;
        if let Case::NeverReads { write_timeout } = row.case {
            observed.write_timeout = write_timeout;
            peer_reads = false;
        }
        let (server, clients) = match row.observed {
            Observed::Server => ((near, observed, true), (far, peer, peer_reads)),
            Observed::Client => ((far, peer, peer_reads), (near, observed, true)),
        };
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let server =
            server.0.runtime.spawn(serve(server.0.addr, server.1, server.2, accepted.clone()));
        let (server, addr) = server.await??;
        let (host, config, reads) = clients;
        let mut connected = Vec::new();
        for _ in 0..row.n_connections {
            connected.push(host.runtime.spawn(connect(addr, config.clone(), reads)).await??);
        }
        let accepted = until(&accepted, row.n_connections).await?;
        let (senders, peers) = match row.observed {
            Observed::Server => (accepted, connected),
            Observed::Client => (connected, accepted),
        };
        let closed = senders.iter().map(|sender| {
            let sender = sender.clone();
            near.runtime.spawn(async move { (sender.closed().await, Instant::now()) })
        });
        let closed = closed.collect();
        Ok(Self { senders, closed, addr, server, peers })
    }

    /// Returns where the server listens.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns how one ended, if one has.
    pub(super) async fn first_closed(&self) -> Option<Arc<Closure>> {
        let sender = self.senders.iter().find(|sender| sender.is_closed())?;
        Some(sender.closed().await)
    }

    /// Returns the ends of the ends, and when they were told.
    pub(super) fn closed(self) -> impl Iterator<Item = Closed> {
        // What keeps them open is kept as long.
        let keep = (self.server, self.peers, self.senders);
        self.closed.into_iter().inspect(move |_| _ = &keep)
    }

    /// Lets all of them ask for life at once; returns what they learn, and how long it took.
    pub(super) fn probe_all(
        &self,
        near: &Host,
    ) -> Vec<JoinHandle<(Result<(), SendError>, Duration)>> {
        let probe = |sender: &Sender| {
            let sender = sender.clone();
            near.runtime.spawn(async move {
                let asked = Instant::now();
                (sender.probe().await, asked.elapsed())
            })
        };
        self.senders.iter().map(probe).collect()
    }

    /// Lets all of them send.
    pub(super) fn send_all(&self, near: &Host, case: Case) {
        for sender in &self.senders {
            near.runtime.spawn(send(sender.clone(), case));
        }
    }
}

async fn send(sender: Sender, case: Case) {
    if case != Case::InFlight {
        sender.try_send(vec![0; TOO_MUCH]).ok();
        return;
    }
    while sender.try_send(vec![0; SENDS.1]) != Err(SendError::Closed) {
        sleep(SENDS.0).await;
    }
}

async fn serve(
    addr: std::net::Ipv4Addr,
    config: Config,
    reads: bool,
    opened: Arc<Mutex<Vec<Sender>>>,
) -> Result<(Server, SocketAddr)> {
    let server = Server::builder()
        .bind(format!("{addr}:0"))
        .config(config)
        .push("/", move |_| Quiet { reads, opened: opened.clone() })
        .start()
        .await?;
    let addr = server.local_addr().context("it listens on TCP")?;
    Ok((server, addr))
}

/// Connects. One that reads has the pull face, so that both are looked at.
async fn connect(addr: SocketAddr, config: Config, reads: bool) -> Result<Sender> {
    let client = Client::new(&format!("ws://{addr}/"))?.config(config);
    if !reads {
        return Ok(client.connect_handler(Quiet { reads, opened: Arc::default() }).await?);
    }
    let (sender, mut receiver) = client.connect().await?.split();
    tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    Ok(sender)
}

/// Waits until so many connections are open.
async fn until(opened: &Mutex<Vec<Sender>>, n: usize) -> Result<Vec<Sender>> {
    for _ in 0..1000 {
        let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if opened.len() == n {
            return Ok(opened);
        }
        sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("not all connections open within 10 s")
}
