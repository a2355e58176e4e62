//! A thousand members over real sockets, some of whom never read.
#![allow(unsafe_code)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Raw, head, read_head, soon, until, until_len};
use everwire::{
    Config, Conn, Group, Handler, Keepalive, Message, PreparedMessage, Server, SlowPolicy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn add(n: isize) {
    let held = HELD.fetch_add(n, Ordering::Relaxed) + n;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Member(Group);

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

const MEMBERS: usize = 1000;
const DEAF: usize = 100;
/// More than the sockets of a member hold, and its send queue.
const MESSAGES: usize = 64;
const SIZE: usize = 2000;
/// How far who broadcasts may be ahead of those who read; so much fits into their sockets.
const AHEAD: usize = 4;
const SEND_QUEUE: usize = 32 << 10;

/// Starts a server whose sockets take little.
async fn start(group: &Group) -> (Server, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    // Sockets that are accepted inherit it.
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap().into_std().unwrap();
    let mut config = Config::default();
    // Those who read say nothing for as long as it takes.
    config.keepalive = Keepalive::off_i_have_my_own();
    config.limits.send_queue = SEND_QUEUE;
    config.limits.send_queue_low = SEND_QUEUE / 4;
    let group = group.clone();
    let builder = Server::builder().config(config).push("/", move |_| Member(group.clone()));
    let server = builder.listener(listener).start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut io = soon(socket.connect(addr)).await.unwrap();
    io.write_all(head("/", "").as_bytes()).await.unwrap();
    let response = read_head(&mut io).await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    io
}

static TEXTS: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..MESSAGES).map(|i| format!("{i:0>SIZE$}")).collect());

/// Reads all messages and tells how far it has come.
async fn read_all(io: TcpStream, progress: Arc<AtomicUsize>) -> TcpStream {
    let mut raw = Raw(tokio::io::BufReader::with_capacity(4 << 10, io));
    for i in 0..MESSAGES {
        let (first, payload) = raw.read().await.expect("no message is missed");
        assert!(first == 0x81 && payload == TEXTS[i].as_bytes(), "message {i}");
        progress.store(i + 1, Ordering::Relaxed);
    }
    raw.0.into_inner()
}

/// Broadcasts to all, as fast as those who read do.
async fn check(slow: SlowPolicy, members_left: usize) -> isize {
    let group = Group::new(slow);
    let (server, addr) = start(&group).await;
    let mut deaf = Vec::new();
    let mut readers = Vec::new();
    let mut progress = Vec::new();
    for i in 0..MEMBERS {
        let io = connect(addr).await;
        if i % (MEMBERS / DEAF) == 0 {
            deaf.push(io);
        } else {
            let read = Arc::new(AtomicUsize::new(0));
            progress.push(read.clone());
            readers.push(tokio::spawn(read_all(io, read)));
        }
    }
    until_len(&server, MEMBERS).await;
    until(|| group.len() == MEMBERS).await;
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut most_queued = 0;
    for i in 0..MESSAGES {
        for read in &progress {
            while read.load(Ordering::Relaxed) + AHEAD < i {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let done = group.broadcast(&PreparedMessage::new(&TEXTS[i][..]));
        assert!(done.queued >= MEMBERS - DEAF && done.slow <= DEAF, "{done:?}");
        most_queued = most_queued.max(server.registry().totals().queued_bytes);
    }
    let mut open = Vec::new();
    for reader in readers {
        open.push(soon(reader).await.unwrap());
    }
    let grown = PEAK.load(Ordering::Relaxed) - before;
    // Each message counts 14 bytes more than it has; so many more may be with those who read.
    let message = (SIZE + 14) as u64;
    let bound = DEAF as u64 * (SEND_QUEUE as u64 + message)
        + (MEMBERS - DEAF) as u64 * message * (AHEAD + 1) as u64;
    assert!(most_queued <= bound, "{most_queued} of {bound}");
    assert!(
        most_queued > DEAF as u64 * SEND_QUEUE as u64 / 2,
        "the queues were filled: {most_queued}"
    );
    assert_eq!(group.len(), members_left);
    assert!(group.dropped() >= DEAF as u64, "{}", group.dropped());
    for mut io in deaf {
        // They had not been forgotten: there is something to read.
        assert!(soon(io.read_u8()).await.is_ok());
    }
    drop((server, open));
    grown
}

/// One test, because the allocator is one for the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_a_thousand_never_read_and_the_others_miss_nothing() {
    for (slow, left) in [
        (SlowPolicy::default(), MEMBERS - DEAF),
        (SlowPolicy::Skip, MEMBERS),
        (SlowPolicy::KeepLatest(8), MEMBERS),
    ] {
        let grown = check(slow.clone(), left).await;
        // What waits for a member lies in a buffer that grew by doubling, and was copied when it did.
        let bound = (DEAF * 3 * SEND_QUEUE + (8 << 20)) as isize;
        assert!(grown < bound, "{grown} of {bound} with {slow:?}");
    }
}
