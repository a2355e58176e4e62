//! What a connection does in the short turns of an event loop is what it does in a task of its own.
#![cfg(target_os = "linux")]

mod common;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{Probe, Raw, frame, head, read_head, soon, until};
use everwire::{Closure, Config, Conn, Handler, Message, Sender, Server, adapt::Attach};
use everwire_testkit::Rng;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

const SEEDS: u64 = 128;
const WORKERS: u64 = 16;
/// So little that output is soon stuck.
const SOCKET_BUFFER: u32 = 24 << 10;
const SEND_QUEUE: usize = 16 << 10;
/// More than is read at once.
const FLOOD: usize = 300 << 10;

/// What a test sees of a handler.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    sender: Option<Sender>,
    /// When the last bytes had come before it paused.
    paused: Option<Instant>,
    closure: Option<Closure>,
}

impl Seen {
    fn sender(&self) -> Sender {
        self.0.lock().unwrap().sender.clone().expect("it has opened")
    }

    fn closure(&self) -> Option<Closure> {
        self.0.lock().unwrap().closure.clone()
    }
}

/// Echoes: `h` by a handle, all others itself; after `p` it pauses.
struct Echo(Seen);

impl Handler for Echo {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.0.lock().unwrap().sender = Some(conn.sender());
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match message.as_bytes().first() {
            Some(b'h') => {
                // What was written a moment ago may count as queued yet.
                let sent = conn.sender().try_send(message.clone());
                sent.or_else(|_| conn.send(message)).unwrap();
            }
            Some(b'p') => {
                conn.send(message).unwrap();
                self.0.0.lock().unwrap().paused = Some(conn.last_received());
                conn.pause_reading();
            }
            _ => conn.send(message).unwrap(),
        }
    }

    fn on_close(&mut self, closure: &Closure) {
        self.0.0.lock().unwrap().closure = Some(closure.clone());
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Sends this in one go and reads so many frames.
    Talk(Vec<u8>, usize),
    /// The same, but begins to read late.
    Flood(Vec<u8>, usize),
    /// Has the handler pause; sends this meanwhile, in pieces, and reads so many frames after that.
    Pause(Vec<u8>, usize),
    /// Sends this, and reads to the end.
    End(Vec<u8>),
    /// Sends nothing any more, and reads to the end.
    HalfClose,
}

/// Returns a message that begins with this byte, in up to three frames.
fn message(rng: &mut Rng, first: u8, max: usize) -> Vec<u8> {
    let len = 1 + rng.below(max);
    let mut payload = vec![b'a' + rng.below(26) as u8; len];
    payload[0] = first;
    let opcode = 1 + rng.below(2) as u8;
    let (mut rest, mut bytes, mut first) = (&payload[..], Vec::new(), opcode);
    for _ in 0..rng.below(3) {
        let (piece, more) = rest.split_at(rng.below(rest.len() + 1));
        bytes.extend(frame(first, piece));
        (rest, first) = (more, 0);
    }
    bytes.extend(frame(0x80 | first, rest));
    bytes
}

/// Returns messages, with a ping among them at times, and how many frames answer them.
fn talk(rng: &mut Rng) -> (Vec<u8>, usize) {
    let (n, mut bytes) = (1 + rng.below(5), Vec::new());
    for _ in 0..n {
        let max = [1, 200, 3000, 60_000][rng.below(4)];
        bytes.extend(message(rng, b'd', max));
    }
    let is_asked = rng.below(3) == 0;
    if is_asked {
        bytes.extend(frame(0x89, b"ping"));
    }
    (bytes, n + usize::from(is_asked))
}

fn flood(rng: &mut Rng) -> (Vec<u8>, usize) {
    let (mut bytes, mut n) = (Vec::new(), 0);
    while bytes.len() < FLOOD {
        bytes.extend(message(rng, b'd', 30_000));
        n += 1;
    }
    (bytes, n)
}

fn script(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut steps = Vec::new();
    for _ in 0..4 + rng.below(6) {
        let (bytes, n) = talk(&mut rng);
        steps.push(match rng.below(10) {
            0 => {
                let (bytes, n) = flood(&mut rng);
                Step::Flood(bytes, n)
            }
            1 | 2 => Step::Pause(bytes, n),
            3 | 4 => {
                // One alone: its place among others is not certain.
                Step::Talk(message(&mut rng, b'h', 500), 1)
            }
            _ => Step::Talk(bytes, n),
        });
    }
    let mut last = message(&mut rng, b'd', 300);
    steps.push(match rng.below(4) {
        0 => Step::HalfClose,
        1 => {
            last.extend(frame(0x81, b"\xff"));
            Step::End(last)
        }
        _ => {
            last.extend(frame(0x88, &1000_u16.to_be_bytes()));
            Step::End(last)
        }
    });
    steps
}

/// The frames that came back, and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<(u8, Vec<u8>)>,
    closure: String,
}

async fn play(peer: TcpStream, seen: &Seen, script: &[Step]) -> Outcome {
    let mut frames = Vec::new();
    let (from, mut to) = peer.into_split();
    let mut from = Raw(tokio::io::join(from, tokio::io::sink()));
    for step in script {
        match step {
            Step::Talk(bytes, n) => exchange(&mut from, &mut to, bytes, *n, &mut frames).await,
            Step::Flood(bytes, n) => {
                let late = async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    read(&mut from, *n, &mut frames).await;
                };
                let (sent, ()) = tokio::join!(soon(to.write_all(bytes)), late);
                sent.unwrap();
            }
            Step::Pause(bytes, n) => {
                pause(&mut from, &mut to, seen, bytes, *n, &mut frames).await;
            }
            Step::End(bytes) => soon(to.write_all(bytes)).await.unwrap(),
            Step::HalfClose => to.shutdown().await.unwrap(),
        }
    }
    while let Some(frame) = from.read().await {
        frames.push(frame);
    }
    until(|| seen.closure().is_some()).await;
    let Closure { cause, failure, ours, sent, received, counters, unsent, .. } =
        seen.closure().unwrap();
    let closure =
        format!("{cause:?} {failure:?} {ours} {sent:?} {received:?} {counters:?} {unsent}");
    Outcome { frames, closure }
}

type From = Raw<tokio::io::Join<tokio::net::tcp::OwnedReadHalf, tokio::io::Sink>>;
type To = tokio::net::tcp::OwnedWriteHalf;
type Frames = Vec<(u8, Vec<u8>)>;

async fn read(from: &mut From, n: usize, frames: &mut Frames) {
    for _ in 0..n {
        frames.push(from.read().await.expect("an answer before the end"));
    }
}

async fn exchange(from: &mut From, to: &mut To, bytes: &[u8], n: usize, frames: &mut Frames) {
    let (sent, ()) = tokio::join!(soon(to.write_all(bytes)), read(from, n, frames));
    sent.unwrap();
}

/// Has the handler pause and sends what is not read before it goes on.
async fn pause(
    from: &mut From,
    to: &mut To,
    seen: &Seen,
    bytes: &[u8],
    n: usize,
    frames: &mut Frames,
) {
    let (sender, tick) = (seen.sender(), Duration::from_millis(3));
    exchange(from, to, &frame(0x81, b"pause"), 1, frames).await;
    let paused = seen.0.lock().unwrap().paused.expect("it has answered");
    // As much as the system takes without its being read.
    let (early, late) = bytes.split_at(bytes.len().min(8 << 10));
    for piece in early.chunks(3 << 10) {
        tokio::time::sleep(tick).await;
        soon(to.write_all(piece)).await.unwrap();
    }
    tokio::time::sleep(tick).await;
    let received = sender.last_received().saturating_duration_since(paused);
    assert!(received <= Duration::from_millis(1), "it read {received:?} after its handler paused");
    sender.resume_reading();
    exchange(from, to, late, n, frames).await;
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.send_queue = SEND_QUEUE;
    config.limits.send_queue_low = SEND_QUEUE / 2;
    config.keepalive = None;
    config
}

fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    // Those that are accepted inherit it.
    socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(64).unwrap()
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    let stream = soon(socket.connect(addr)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Plays on a socket of an event loop.
async fn play_looped(script: &[Step]) -> Outcome {
    let seen = Seen::default();
    let echo = seen.clone();
    let server = Server::builder()
        .threads(1)
        .config(config())
        .listener(listen().into_std().unwrap())
        .push("/", move |_| Echo(echo.clone()));
    let server = server.start().await.unwrap();
    let mut peer = connect(server.local_addr().unwrap()).await;
    peer.write_all(head("/", "").as_bytes()).await.unwrap();
    let response = read_head(&mut peer).await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    play(peer, &seen, script).await
}

/// Plays on a stream that no event loop takes.
async fn play_alone(script: &[Step]) -> Outcome {
    let (seen, listener) = (Seen::default(), listen());
    let peer = connect(listener.local_addr().unwrap()).await;
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    let _sender = Attach::server().config(config()).push(Probe::new(stream).0, Echo(seen.clone()));
    until(|| seen.0.lock().unwrap().sender.is_some()).await;
    play(peer, &seen, script).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_and_a_task_make_the_same_of_the_same() {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(async move {
            for seed in (worker..SEEDS).step_by(WORKERS as usize) {
                let script = script(seed);
                let looped = play_looped(&script).await;
                let alone = play_alone(&script).await;
                assert_eq!(looped.closure, alone.closure, "seed {seed}");
                assert!(looped.frames == alone.frames, "other frames with seed {seed}");
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
}
