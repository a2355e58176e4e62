//! A TCP proxy that cuts the connections it carries, at bytes and in ways that a seed decides.

mod fate;
mod pump;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::timeout,
};

pub use self::fate::{Cut, Fate, Plan, Way};
use self::pump::{Pump, Stopped, discard};

/// How long the ends have to close a connection that is closed before them.
const LINGER: Duration = Duration::from_secs(1);

/// A proxy between a client and a server, which cuts their connections. Dropped, it cuts all.
///
/// The listener accepts as long as the proxy lives; where the server cannot be reached, the client
/// is reset.
#[derive(Debug)]
pub struct ChaosProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A connection that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutReport {
    /// How many were cut so far.
    pub number: u64,
    /// The number of the connection, from 1.
    pub connection: u64,
    /// The bytes that had passed up, and down.
    pub passed: (u64, u64),
    /// How it was cut.
    pub cut: Cut,
}

/// What a proxy has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were cut.
    pub cuts: u64,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    plan: Plan,
    /// Cuts that are still to be made.
    left: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
    orders: broadcast::Sender<Cut>,
    reports: mpsc::UnboundedSender<CutReport>,
}

impl ChaosProxy {
    /// Listens at `listen`, and carries what comes to `target`. What is cut is reported on the
    /// channel that is returned beside it.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(
        listen: SocketAddr,
        target: SocketAddr,
        plan: Plan,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<CutReport>)> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let (reports, cuts) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            target,
            left: AtomicU64::new(plan.cuts.unwrap_or(u64::MAX)),
            plan,
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            orders: broadcast::Sender::new(16),
            reports,
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok((Self { addr, shared, task }, cuts))
    }

    /// Returns where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts nothing by itself from now on. Connections that were cut stay cut.
    pub fn calm(&self) {
        self.shared.left.store(0, Ordering::Relaxed);
    }

    /// Cuts every connection that is open.
    pub fn cut(&self, cut: Cut) {
        self.shared.orders.send(cut).ok();
    }

    /// Returns what it has seen so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            connections: self.shared.connections.load(Ordering::Relaxed),
            cuts: self.shared.cuts.load(Ordering::Relaxed),
        }
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Takes one of the cuts that the plan allows.
    fn take_cut(&self) -> bool {
        let less = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn report(&self, connection: u64, up: &Pump, down: &Pump, cut: Cut) {
        let number = self.cuts.fetch_add(1, Ordering::Relaxed) + 1;
        self.reports
            .send(CutReport { number, connection, passed: (up.passed, down.passed), cut })
            .ok();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // With this set, all connections go as the proxy does.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // Out of descriptors, probably.
            continue;
        };
        let n = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let orders = shared.orders.subscribe();
        connections.spawn(carry(client, n, shared.clone(), orders));
    }
}

/// Carries one connection to its end.
async fn carry(
    mut client: TcpStream,
    n: u64,
    shared: Arc<Shared>,
    mut orders: broadcast::Receiver<Cut>,
) {
    let Ok(mut server) = TcpStream::connect(shared.target).await else {
        return reset([client]);
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let fate = shared.plan.fate(n);
    let (mut up, mut down) = match fate.way {
        Way::Up => (Pump::new(fate.after), Pump::new(u64::MAX)),
        Way::Down => (Pump::new(u64::MAX), Pump::new(fate.after)),
    };
    let mut age = std::pin::pin!(tokio::time::sleep(fate.within));
    let mut is_due = false;
    let cut = loop {
        let stopped = tokio::select! {
            biased;
            Ok(cut) = orders.recv() => break cut,
            () = &mut age, if !is_due => Stopped::Spent,
            stopped = both(&mut client, &mut server, &mut up, &mut down) => stopped,
        };
        match stopped {
            Stopped::Spent if shared.take_cut() => break fate.cut,
            Stopped::Spent => {
                is_due = true;
                up.open();
                down.open();
            }
            Stopped::Done => return,
            Stopped::Broken => return reset([client, server]),
        }
    };
    shared.report(n, &up, &down, cut);
    apply(cut, client, server, (up, down), shared.plan.hush).await;
}

/// Carries both directions until both are at their ends, or one cannot go on.
async fn both(
    client: &mut TcpStream,
    server: &mut TcpStream,
    up: &mut Pump,
    down: &mut Pump,
) -> Stopped {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    while !(up.is_done() && down.is_done()) {
        let (up_ends, down_ends) = (up.is_done(), down.is_done());
        let stopped = tokio::select! {
            stopped = up.run(&mut from_client, &mut to_server), if !up_ends => stopped,
            stopped = down.run(&mut from_server, &mut to_client), if !down_ends => stopped,
        };
        if stopped != Stopped::Done {
            return stopped;
        }
    }
    Stopped::Done
}

/// Cuts a connection.
async fn apply(
    cut: Cut,
    mut client: TcpStream,
    mut server: TcpStream,
    (mut up, mut down): (Pump, Pump),
    hush: Duration,
) {
    match cut {
        Cut::Close => {
            let mut ends = [client, server];
            for end in &mut ends {
                end.shutdown().await.ok();
            }
            // Unread bytes would make a reset of it.
            let [client, server] = &mut ends;
            timeout(LINGER, async { tokio::join!(discard(client), discard(server)) }).await.ok();
            return;
        }
        Cut::Reset => {}
        Cut::Client => {
            reset([client]);
            tokio::time::sleep(hush).await;
            return reset([server]);
        }
        Cut::Server => {
            reset([server]);
            tokio::time::sleep(hush).await;
            return reset([client]);
        }
        Cut::Hole => tokio::time::sleep(hush).await,
        Cut::Up => half(&mut client, &mut server, &mut down, hush).await,
        Cut::Down => half(&mut server, &mut client, &mut up, hush).await,
    }
    reset([client, server]);
}

/// Lets vanish what `unheard` says, while what the other end says still arrives.
async fn half(unheard: &mut TcpStream, heard: &mut TcpStream, pump: &mut Pump, hush: Duration) {
    pump.open();
    let (mut from_unheard, mut to_unheard) = unheard.split();
    let (mut from_heard, _to_heard) = heard.split();
    let goes_on = async {
        tokio::select! {
            () = discard(&mut from_unheard) => {}
            _ = pump.run(&mut from_heard, &mut to_unheard) => {}
        }
    };
    timeout(hush, goes_on).await.ok();
}

/// Drops connections so that their peers see a reset.
fn reset<const N: usize>(streams: [TcpStream; N]) {
    for stream in streams {
        stream.set_zero_linger().ok();
    }
}
