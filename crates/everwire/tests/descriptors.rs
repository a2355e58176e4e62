//! A process that runs out of descriptors neither spins nor stops to serve.
#![cfg(target_os = "linux")]

mod common;

use std::{process::Stdio, time::Duration};

use common::{Echo, connect, soon, text, until};
use everwire::Server;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::Command,
};

const CHILD: &str = "EVERWIRE_TEST_CHILD";

/// Is the server when it runs in the process that the test below starts.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let limit = rustix::process::Rlimit { current: Some(40), maximum: Some(40) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .max_connections(1000)
        .handshake_timeout(Duration::from_secs(2))
        .push("/echo", |_| Echo)
        .start()
        .await
        .unwrap();
    println!("\naddr {}", server.local_addr().unwrap());
    std::future::pending::<()>().await;
}

/// Processor time that a process has taken, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn running_out_of_descriptors_neither_spins_nor_ends_accepting() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("an address");
        if let Some(addr) = line.strip_prefix("addr ") {
            break addr.parse().unwrap();
        }
    };
    let mut first = connect(addr, "/echo").await;
    let mut stalled = Vec::new();
    for _ in 0..100 {
        stalled.push(TcpStream::connect(addr).await.unwrap());
    }
    let descriptors = format!("/proc/{}/fd", child.id().unwrap());
    until(|| std::fs::read_dir(&descriptors).unwrap().count() >= 40).await;
    let before = ticks(child.id().unwrap());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = ticks(child.id().unwrap()) - before;
    assert!(spent < 30, "{spent} of 100 ticks for nothing");
    // Who is connected is served meanwhile.
    first.write(&text("alive")).await;
    assert_eq!(first.read().await.unwrap().1, b"alive");
    // When descriptors are free again, accepting goes on.
    drop(stalled);
    let mut last = connect(addr, "/echo").await;
    last.write(&text("again")).await;
    assert_eq!(last.read().await.unwrap().1, b"again");
}
