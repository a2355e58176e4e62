//! What an event loop owes each of its connections, on real sockets.

mod common;

use std::{
    cell::RefCell,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Echo, Notes, Raw, Recorder, close, connect, frame, soon, text, until};
use everwire::{
    CloseCode, Config, Conn, Handler, Message, Registry, Sender, Server, ServerBuilder, WebSocket,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, runtime::Builder};

async fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.bind("127.0.0.1:0").start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

fn echo() -> ServerBuilder {
    Server::builder().push("/echo", |_| Echo).pull("/pull", pull)
}

async fn pull(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.ok();
    }
}

/// Sends a text and expects it back.
async fn round(peer: &mut Raw<TcpStream>, words: &str) {
    peer.write(&text(words)).await;
    let mut read = peer.read().await.unwrap();
    // A busy machine takes its time, and is asked whether it lives.
    while read.0 == 0x89 {
        read = peer.read().await.unwrap();
    }
    assert_eq!(read, (0x81, words.as_bytes().to_vec()));
}

/// Echoes text at once, and takes its time over anything else.
struct Slow;

impl Handler for Slow {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        if message.as_text().is_some() {
            return Echo.on_message(conn, message);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(3) {
            std::hint::spin_loop();
        }
    }
}

/// One peer sends faster than it is read, without end; another wants answers.
#[tokio::test]
async fn a_flood_from_one_peer_does_not_hold_up_another() {
    let slow = Server::builder().threads(1).push("/slow", |_| Slow);
    let (_server, addr) = start(slow).await;
    let mut peer = connect(addr, "/slow").await;
    let flood = connect(addr, "/slow").await.0.into_std().unwrap();
    flood.set_nonblocking(false).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let flood = std::thread::spawn(move || {
        let frames = frame(0x82, b"1").repeat(1 << 16);
        while !is_over.load(Ordering::Relaxed) {
            (&flood).write_all(&frames).unwrap();
        }
    });
    for n in 0..5 {
        round(&mut peer, &n.to_string()).await;
    }
    // Who comes now is served as well.
    round(&mut connect(addr, "/slow").await, "late").await;
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

/// A future beside a connection that never waits for anything.
#[tokio::test]
async fn a_companion_that_is_never_done_does_not_hold_up_its_loop() {
    let busy = |_: WebSocket| async {
        let (ours, mut theirs) = tokio::sync::mpsc::unbounded_channel();
        loop {
            ours.send(()).unwrap();
            theirs.recv().await;
        }
    };
    let (_server, addr) = start(echo().pull("/busy", busy)).await;
    let _busy = connect(addr, "/busy").await;
    for path in ["/pull", "/echo"] {
        let mut peer = connect(addr, path).await;
        round(&mut peer, "one").await;
        round(&mut peer, "two").await;
    }
}

/// Opens and ends 2,000 connections in random order, up to 300 at a time, and looks at what each
/// echoes.
async fn come_and_go(seed: u64, path: &str) {
    let (server, addr) = start(echo()).await;
    let (mut peers, mut opened, mut random) = (Vec::new(), 0, seed);
    while opened < 2000 || !peers.is_empty() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dice = (random >> 33) as usize;
        if opened < 2000 && (peers.is_empty() || (dice % 5 < 3 && peers.len() < 300)) {
            peers.push(connect(addr, path).await);
            opened += 1;
            continue;
        }
        let mut peer = peers.swap_remove(dice / 5 % peers.len());
        round(&mut peer, &dice.to_string()).await;
        match dice % 4 {
            0 => {
                peer.write(&close(1000)).await;
                assert_eq!(peer.read_close().await.0, 1000);
            }
            1 => peer.0.shutdown().await.unwrap(),
            2 => peer.0.set_zero_linger().unwrap(),
            _ => peers.push(peer),
        }
    }
    until(|| server.registry().is_empty()).await;
    assert_eq!(server.registry().totals().closed.values().sum::<u64>(), 2000);
}

#[tokio::test]
async fn thousands_come_and_go_on_one_thread() {
    come_and_go(1, "/echo").await;
    come_and_go(2, "/pull").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn thousands_come_and_go_on_many_threads() {
    come_and_go(3, "/echo").await;
}

fn recorder(notes: &Notes) -> ServerBuilder {
    let notes = notes.clone();
    Server::builder().push("/", move |_| Recorder(notes.clone()))
}

#[tokio::test]
async fn every_way_of_a_peer_to_end_is_told() {
    let notes = Notes::default();
    let (_server, addr) = start(recorder(&notes)).await;
    let mut half = connect(addr, "/").await;
    half.write(&text("half")).await;
    half.0.shutdown().await.unwrap();
    assert_eq!(half.read().await.unwrap().1, b"half");
    assert_eq!(notes.until(3).await, ["open", "half", "eof_between_frames"]);

    let reset = connect(addr, "/").await;
    notes.until(4).await;
    reset.0.set_zero_linger().unwrap();
    drop(reset);
    assert_eq!(notes.until(5).await[3..], ["open", "reset"]);

    let mut cut = connect(addr, "/").await;
    cut.write(&text("cut")[..4]).await;
    drop(cut);
    assert_eq!(notes.until(7).await[5..], ["open", "eof_mid_frame"]);
}

#[tokio::test]
async fn a_peer_that_sends_byte_by_byte_is_understood() {
    let (_server, addr) = start(echo()).await;
    for path in ["/echo", "/pull"] {
        let mut peer = connect(addr, path).await;
        for _ in 0..20 {
            for byte in text("slowly") {
                peer.write(&[byte]).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(peer.read().await.unwrap().1, b"slowly");
        }
    }
}

/// Hands its sender to the test.
struct Lends(std::sync::mpsc::Sender<Sender>);

impl Handler for Lends {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.send(conn.sender()).unwrap();
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        Echo.on_message(conn, message);
    }
}

fn lending() -> (ServerBuilder, std::sync::mpsc::Receiver<Sender>) {
    let (lend, lent) = std::sync::mpsc::channel();
    (Server::builder().threads(1).push("/", move |_| Lends(lend.clone())), lent)
}

/// 8 MiB are queued from another thread while nobody reads; then all of it arrives, in order.
#[tokio::test]
async fn a_full_socket_goes_on_when_it_drains() {
    let (builder, lent) = lending();
    let mut config = Config::default();
    config.limits.send_queue = 16 << 20;
    let (_server, addr) = start(builder.config(config)).await;
    let mut peer = connect(addr, "/").await;
    std::thread::spawn(move || {
        let sender = lent.recv().unwrap();
        (0..128).for_each(|n| sender.try_send(vec![n; 64 << 10]).unwrap());
    })
    .join()
    .unwrap();
    for n in 0..128 {
        let (first, payload) = peer.read().await.unwrap();
        assert!(first == 0x82 && payload == vec![n; 64 << 10], "{n}");
        if n % 16 == 0 {
            // The socket fills up again and again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    round(&mut peer, "still here").await;
}

/// Sends what it is told to all connections.
struct Broadcast(Registry);

impl Handler for Broadcast {
    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        let ids = self.0.list().into_iter().map(|info| info.id);
        for sender in ids.filter_map(|id| self.0.get(id)) {
            sender.try_send(message.clone().into_owned()).unwrap();
        }
    }
}

/// More than a loop serves before it lets others have their turn.
#[tokio::test]
async fn what_one_handler_sends_to_all_others_arrives() {
    let registry = Arc::new(std::sync::OnceLock::<Registry>::new());
    let of_server = registry.clone();
    let builder = Server::builder()
        .threads(1)
        .push("/", move |_| Broadcast(of_server.get().expect("set below").clone()));
    let (server, addr) = start(builder).await;
    registry.set(server.registry().clone()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..300 {
        peers.push(connect(addr, "/").await);
    }
    for words in ["one", "two", "three"] {
        peers[0].write(&text(words)).await;
        for peer in &mut peers {
            assert_eq!(peer.read().await.unwrap().1, words.as_bytes());
        }
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as told");
    }
}

#[test]
fn a_runtime_that_is_dropped_ends_each_connection_once() {
    for workers in [0, 2] {
        let runtime = match workers {
            0 => Builder::new_current_thread().enable_all().build().unwrap(),
            n => Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap(),
        };
        let notes = Notes::default();
        // Their futures go with the loop if there is but one thread.
        let bomb = |mut ws: WebSocket| async move {
            let _bomb = Bomb;
            ws.recv().await;
            ws.send("ready").await.ok();
            std::future::pending::<()>().await;
        };
        let peers = runtime.block_on(async {
            let (server, addr) = start(recorder(&notes).pull("/bomb", bomb)).await;
            let mut peers = Vec::new();
            for n in 0..20 {
                let mut peer = connect(addr, if n % 5 == 0 { "/bomb" } else { "/" }).await;
                peer.write(&text("x")).await;
                peer.read().await.unwrap();
                peers.push(peer.0.into_std().unwrap());
            }
            drop(server);
            peers
        });
        drop(runtime);
        let notes = notes.all();
        for (note, n) in [("open", 16), ("cancelled", 16), ("x", 16)] {
            assert_eq!(notes.iter().filter(|other| *other == note).count(), n, "{note}: {notes:?}");
        }
        drop(peers);
    }
}

struct Panics;

impl Handler for Panics {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {
        panic!("as told");
    }
}

#[tokio::test]
async fn a_handler_that_panics_takes_nobody_along() {
    let builder = echo().push("/panics", |_| Panics);
    let (_server, addr) = start(builder).await;
    let mut other = connect(addr, "/echo").await;
    let mut peer = connect(addr, "/panics").await;
    peer.write(&text("x")).await;
    assert_eq!(peer.read_close().await.0, 1011);
    round(&mut other, "alive").await;
}

#[tokio::test(start_paused = true)]
async fn a_close_by_id_moves_the_deadline_of_an_idle_connection() {
    let notes = Notes::default();
    let (server, addr) = start(recorder(&notes)).await;
    let mut silent = connect(addr, "/").await;
    notes.until(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // The keepalive's deadline is armed.
    let id = server.registry().list()[0].id;
    let sender = server.registry().get(id).unwrap();
    let registry = server.registry().clone();
    let begun = tokio::time::Instant::now();
    let closing = move || registry.close(id, CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(std::thread::spawn(closing).join().unwrap());
    let closure = soon(sender.closed()).await;
    assert_eq!((closure.cause.label(), closure.is_clean()), ("kicked", false));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(notes.all(), ["open", "kicked"]);
    assert_eq!(silent.read_close().await.0, 1000);
}

#[tokio::test(start_paused = true)]
async fn deadlines_follow_paused_time() {
    let notes = Notes::default();
    let (_server, addr) = start(recorder(&notes)).await;
    // Longer than the wheel goes round.
    tokio::time::sleep(Duration::from_secs(200)).await;
    let mut silent = connect(addr, "/").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(silent.read().await.unwrap().0, 0x89, "a Ping");
    while notes.all().len() < 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(notes.all(), ["open", "keepalive_timeout"]);
    let took = begun.elapsed().as_secs();
    assert!((31..52).contains(&took), "{took}");
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

/// Sends when its thread has ended.
struct LastWords(Sender);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.try_send("last words").unwrap();
    }
}

#[tokio::test]
async fn a_thread_that_ends_may_still_send() {
    let (builder, lent) = lending();
    let (_server, addr) = start(builder).await;
    let mut peer = connect(addr, "/").await;
    let (go, gone) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let sender = lent.recv().unwrap();
        // What was used last goes first.
        LAST_WORDS.set(Some(LastWords(sender.clone())));
        sender.try_send("first words").unwrap();
        gone.recv().unwrap();
    });
    assert_eq!(peer.read().await.unwrap().1, b"first words");
    go.send(()).unwrap();
    assert_eq!(peer.read().await.unwrap().1, b"last words");
    thread.join().unwrap();
}
