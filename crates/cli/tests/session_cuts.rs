//! Clients of sessions and the real server, on a path that cuts their connections at random bytes.
//!
//! `EVERWIRE_CUTS` and `EVERWIRE_SEED` make more cuts, and others: `bench/sessions/run cuts --real
//! rust`.

use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use everwire::{
    Client,
    dial::ProxyConfig,
    reconnect::ReconnectPolicy,
    session::{ClientEvent, Code, SessionClient, SessionStore, Snapshot, SnapshotChange},
};
use everwire_testkit::{ChaosProxy, CutReport, Plan, Rng, session::Ledger};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

/// Messages on their way there and back, and the longest of them.
const OUTSTANDING: u64 = 20;
const LONGEST: usize = 3_000;

/// How long nothing may come back once the path is calm.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that is killed when it is dropped.
struct Server(Child);

impl Server {
    fn start() -> (Self, SocketAddr) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.next().expect("it says where it listens").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let addr = said.split("://").nth(1).unwrap();
        let addr = addr.split(|c: char| c == '/' || c.is_whitespace()).next().unwrap();
        (Self(child), addr.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    attached: u64,
    messages: u64,
    restarts: u64,
}

/// What survives a client.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Option<Snapshot>>>);

impl SessionStore for Memory {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(session.clone());
        Ok(())
    }

    fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
        let mut session = self.0.lock().unwrap();
        assert!(session.as_mut().expect("the whole was saved first").apply(change.clone()));
        Ok(())
    }

    fn forget(&self) -> io::Result<()> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

/// One client: what it says comes back, in order and unchanged.
struct Talk {
    client: SessionClient,
    make: Box<dyn Fn() -> SessionClient + Send>,
    /// It is stopped now and then, and another goes on with its session.
    restarts: bool,
    ledger: Ledger,
    rng: Rng,
    said: u64,
    seen: Seen,
}

impl Talk {
    /// Every fourth client has a store, and their windows differ.
    fn start(url: &str, seed: u64, n: u64) -> Self {
        let mut policy = ReconnectPolicy::default();
        policy.cap = Duration::from_secs(1);
        policy.attempt_max = Duration::from_secs(5);
        let client = Client::new(url).unwrap().proxy(ProxyConfig::Direct);
        let window = [1 << 18, 10_000, 1_000][n as usize % 3];
        let store = n.is_multiple_of(4).then(Memory::default);
        let restarts = store.is_some();
        let make = Box::new(move || {
            let builder = SessionClient::builder(client.clone()).policy(policy.clone());
            let builder = match &store {
                Some(store) => builder.store(store.clone()),
                None => builder,
            };
            builder.window(window).start().unwrap()
        });
        let (ledger, seen) = (Ledger::default(), Seen::default());
        let rng = Rng::new(seed.wrapping_add(n));
        Self { client: make(), make, restarts, ledger, rng, said: 0, seen }
    }

    /// Stops the client, and goes on with another. It has been asked for more than what was heard,
    /// so none of that comes again; what it has received and not handed out does.
    async fn restart(&mut self) -> Result<(), String> {
        let left = timeout(PATIENCE, self.client.leave()).await;
        left.map_err(|_| "it does not stop")?;
        self.client = (self.make)();
        self.seen.restarts += 1;
        Ok(())
    }

    /// Says and hears until the path is calm, then hears the rest and says goodbye.
    async fn run(mut self, is_calm: Arc<AtomicBool>) -> Result<Seen, String> {
        while !is_calm.load(Ordering::Relaxed) {
            if self.said < self.ledger.messages + OUTSTANDING {
                let message = self.ledger.compose(&mut self.rng, LONGEST);
                let number = self.client.send(message).await.map_err(|error| error.to_string())?;
                self.ledger.accept(number)?;
                self.said += 1;
            }
            if self.restarts && self.rng.below(100) == 0 {
                self.restart().await?;
            }
            let pause = Duration::from_millis(self.rng.below(20) as u64);
            while let Ok(event) = timeout(pause, self.client.next()).await {
                self.hear(event)?;
            }
        }
        while self.ledger.messages < self.said {
            match timeout(PATIENCE, self.client.next()).await {
                Ok(event) => self.hear(event)?,
                Err(_) => {
                    let (heard, state) = (self.ledger.messages, self.client.state());
                    return Err(format!("heard {heard} of {}, then nothing: {state}", self.said));
                }
            }
        }
        self.ledger.finish()?;
        let end = self.client.close(Code::NORMAL, "");
        match timeout(PATIENCE, end).await {
            Ok(end) if end.is_clean() => Ok(self.seen),
            Ok(end) => Err(format!("an end that is not clean: {end}")),
            Err(_) => Err("its goodbye is not answered".into()),
        }
    }

    fn hear(&mut self, event: Option<ClientEvent>) -> Result<(), String> {
        match event {
            Some(ClientEvent::Message(message)) => {
                self.ledger.hear(&message)?;
                self.seen.messages += 1;
            }
            Some(ClientEvent::Attached { .. } | ClientEvent::Resumed { .. }) => {
                self.seen.attached += 1;
            }
            Some(ClientEvent::Detached { .. }) => {}
            // A session that its client never confirmed is kept for 10 s only. All is told, and said
            // again from the beginning.
            Some(ClientEvent::Lost { unacknowledged, .. })
                if self.ledger.messages == 0 && unacknowledged.len() as u64 == self.said =>
            {
                self.ledger = Ledger::default();
                self.said = 0;
            }
            other => return Err(format!("after {} messages: {other:?}", self.seen.messages)),
        }
        Ok(())
    }
}

/// Counts the cuts of each kind until there were enough.
async fn count(mut cuts: mpsc::UnboundedReceiver<CutReport>, n: u64) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for _ in 0..n {
        let cut = cuts.recv().await.expect("the proxy lives");
        *kinds.entry(cut.cut.to_string()).or_default() += 1;
    }
    kinds
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("it is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_at_random_bytes_lose_double_and_reorder_nothing() {
    let (n_cuts, seed) = (number("EVERWIRE_CUTS", 200), number("EVERWIRE_SEED", 1));
    let n_clients = (n_cuts / 10).clamp(1, 100);
    let began = Instant::now();
    let (_server, addr) = Server::start();
    let plan = Plan { seed, cuts: Some(n_cuts), ..Plan::default() };
    let (proxy, cuts) =
        ChaosProxy::start("127.0.0.1:0".parse().unwrap(), addr, plan).await.unwrap();
    let url = format!("ws://{}/echo", proxy.addr());
    println!("seed {seed}, {n_cuts} cuts, {n_clients} clients");
    let is_calm = Arc::new(AtomicBool::new(false));
    let mut talks = JoinSet::new();
    for n in 0..n_clients {
        talks.spawn(Talk::start(&url, seed, n).run(is_calm.clone()));
    }
    let (mut sum, mut kinds) = (Seen::default(), None);
    let mut counting = std::pin::pin!(count(cuts, n_cuts));
    loop {
        tokio::select! {
            counted = &mut counting, if kinds.is_none() => {
                kinds = Some(counted);
                is_calm.store(true, Ordering::Relaxed);
            }
            done = talks.join_next() => match done {
                Some(Ok(Ok(seen))) => {
                    sum.attached += seen.attached;
                    sum.messages += seen.messages;
                    sum.restarts += seen.restarts;
                }
                Some(Ok(Err(what))) => panic!("seed {seed}, {:?}: {what}", proxy.tally()),
                Some(Err(error)) => panic!("seed {seed}: {error}"),
                None => break,
            }
        }
    }
    let kinds = kinds.expect("clients end when all cuts were made");
    let kinds: Vec<_> = kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    println!(
        "| client | seed | cuts | sessions | attached | client restarted | delivered there and back | lost, doubled, reordered | time |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|");
    println!(
        "| Rust | {seed} | {n_cuts}: {} | {n_clients} | {} | {} | {} | 0 | {} s |",
        kinds.join(", "),
        sum.attached,
        sum.restarts,
        sum.messages,
        began.elapsed().as_secs(),
    );
    assert!(sum.messages > n_cuts, "hardly anything was said: {sum:?}");
}
