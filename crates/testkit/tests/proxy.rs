//! A proxy that cuts connections, over real sockets.
#![cfg(feature = "proxy")]

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use everwire_testkit::{ChaosProxy, Cut, CutReport, Plan, Tally};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedReceiver,
    time::timeout,
};

const LOCAL: &str = "127.0.0.1:0";

/// Returns what finishes within a generous time.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A client and a server with a proxy in between.
struct Path {
    proxy: ChaosProxy,
    cuts: UnboundedReceiver<CutReport>,
    listener: TcpListener,
}

impl Path {
    async fn new(plan: Plan) -> Self {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        let target = listener.local_addr().unwrap();
        let (proxy, cuts) = ChaosProxy::start(LOCAL.parse().unwrap(), target, plan).await.unwrap();
        Self { proxy, cuts, listener }
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (server, _) = soon(self.listener.accept()).await.unwrap();
        (client, server)
    }
}

/// Returns what one end hears in the end: the bytes, and whether they end in a reset.
async fn hear(stream: &mut TcpStream) -> (usize, bool) {
    let mut all = Vec::new();
    let is_reset = soon(stream.read_to_end(&mut all)).await.is_err();
    (all.len(), is_reset)
}

/// Returns whether nothing at all is heard for a while.
async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_millis(100), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_calm_proxy_carries_everything_both_ways() {
    let path = Path::new(Plan::calm()).await;
    let (mut client, mut server) = path.connect().await;
    let bytes = vec![7; 1 << 20];
    let (one, other) = tokio::join!(
        async {
            client.write_all(&bytes).await.unwrap();
            client.shutdown().await.unwrap();
            hear(&mut client).await
        },
        async {
            let heard = hear(&mut server).await;
            server.write_all(&bytes[..1000]).await.unwrap();
            server.shutdown().await.unwrap();
            heard
        }
    );
    assert_eq!((one, other), ((1000, false), (1 << 20, false)));
    assert_eq!(path.proxy.tally(), Tally { connections: 1, cuts: 0 });
}

#[tokio::test]
async fn what_passes_before_a_cut_is_what_the_plan_says() {
    let plan = Plan {
        within: Duration::from_secs(60),
        kinds: vec![Cut::Close],
        bytes: 5_000,
        ..Plan::default()
    };
    let mut path = Path::new(plan.clone()).await;
    for n in 1..=10 {
        let (mut client, mut server) = path.connect().await;
        let bytes = vec![7; 5_001];
        client.write_all(&bytes).await.unwrap();
        server.write_all(&bytes).await.unwrap();
        let (down, up) = (hear(&mut client).await, hear(&mut server).await);
        let fate = plan.fate(n);
        let heard = match fate.way {
            everwire_testkit::Way::Up => up,
            everwire_testkit::Way::Down => down,
        };
        assert_eq!(heard, (fate.after as usize, false), "{fate:?}");
        let cut = soon(path.cuts.recv()).await.unwrap();
        assert_eq!((cut.number, cut.connection, cut.cut), (n, n, Cut::Close));
        assert_eq!(cut.passed, (up.0 as u64, down.0 as u64));
    }
}

#[tokio::test]
async fn after_its_cuts_a_proxy_is_calm() {
    let plan = Plan { cuts: Some(3), kinds: vec![Cut::Reset], bytes: 0, ..Plan::default() };
    let path = Path::new(plan).await;
    for n in 0..5 {
        let (mut client, mut server) = path.connect().await;
        client.write_all(b"hello").await.ok();
        server.write_all(b"hello").await.ok();
        server.shutdown().await.ok();
        let is_cut = hear(&mut client).await.0 < 5;
        assert_eq!(is_cut, n < 3, "{n}");
    }
    assert_eq!(path.proxy.tally(), Tally { connections: 5, cuts: 3 });
}

#[tokio::test]
async fn each_kind_of_cut_is_seen_by_whom_it_says() {
    for cut in Cut::ALL {
        let path = Path::new(Plan::calm()).await;
        let (mut client, mut server) = path.connect().await;
        client.write_all(b"ping").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        path.proxy.cut(cut);
        while path.proxy.tally().cuts == 0 {
            tokio::task::yield_now().await;
        }
        // A write would take the error that a reset leaves for who reads.
        if !matches!(cut, Cut::Reset | Cut::Client | Cut::Server) {
            client.write_all(b"up").await.ok();
            server.write_all(b"down").await.ok();
        }
        match cut {
            Cut::Close => {
                assert_eq!(hear(&mut client).await, (0, false));
                assert_eq!(hear(&mut server).await, (0, false));
            }
            Cut::Reset => assert!(hear(&mut client).await.1 && hear(&mut server).await.1),
            Cut::Client => {
                assert!(hear(&mut client).await.1 && is_silent(&mut server).await);
            }
            Cut::Server => {
                assert!(hear(&mut server).await.1 && is_silent(&mut client).await);
            }
            Cut::Hole => assert!(is_silent(&mut client).await && is_silent(&mut server).await),
            Cut::Up => {
                soon(client.read_exact(&mut [0; 4])).await.unwrap();
                assert!(is_silent(&mut server).await);
            }
            Cut::Down => {
                soon(server.read_exact(&mut [0; 2])).await.unwrap();
                assert!(is_silent(&mut client).await);
            }
        }
    }
}

#[tokio::test]
async fn silence_ends_in_a_reset() {
    let path = Path::new(Plan { hush: Duration::from_millis(10), ..Plan::calm() }).await;
    for cut in [Cut::Client, Cut::Server, Cut::Hole, Cut::Up, Cut::Down] {
        let (mut client, mut server) = path.connect().await;
        client.write_all(b"ping").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        path.proxy.cut(cut);
        assert!(hear(&mut client).await.1 && hear(&mut server).await.1, "{cut}");
    }
}

#[tokio::test]
async fn a_client_whose_server_is_gone_is_reset() {
    let path = Path::new(Plan::calm()).await;
    drop(path.listener);
    let mut client = TcpStream::connect(path.proxy.addr()).await.unwrap();
    assert!(hear(&mut client).await.1);
}

/// The program says where it listens, what it cuts, and ends with its stdin.
#[tokio::test]
async fn the_program_obeys_its_stdin() {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let target: SocketAddr = listener.local_addr().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_chaos-proxy"))
        .args([&target.to_string(), "--cuts", "0", "--seed", "9"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let addr: SocketAddr = lines.next().unwrap().unwrap().parse().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    soon(server.read_exact(&mut [0; 4])).await.unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(b"cut reset\n").unwrap();
    assert!(hear(&mut client).await.1 && hear(&mut server).await.1);
    assert_eq!(lines.next().unwrap().unwrap(), "cut 1 reset connection 1 up 4 down 0");
    drop(stdin);
    assert_eq!(lines.next().unwrap().unwrap(), "carried 1 cut 1 seed 9");
    assert!(program.wait().unwrap().success());
}

#[test]
fn the_program_explains_what_it_cannot_do() {
    for args in [&[][..], &["nowhere"], &["127.0.0.1:1", "--kinds", "explode"], &["--seed"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_chaos-proxy")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("chaos-proxy TARGET"));
    }
}
