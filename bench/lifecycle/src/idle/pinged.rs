//! Clients that do nothing but answer pings; many in one process, on one thread.
//!
//! A line with a number on standard input opens so many connections, the line `pings` asks how many
//! pings were answered; the answer to both is a number.

use std::{
    io::{BufRead, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    event::epoll,
    net::{RecvFlags, SendFlags, recv, send},
};

/// The length of a ping with its payload of eight bytes.
const PING: usize = 10;

#[derive(Default)]
struct Clients {
    connections: Mutex<Vec<TcpStream>>,
    pings: AtomicU64,
}

/// Runs until standard input ends.
pub(crate) fn run(addr: SocketAddr) -> Result<()> {
    let clients = Arc::new(Clients::default());
    let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
    let answering = (clients.clone(), epoll.clone());
    thread::spawn(move || {
        if let Err(error) = answer(&answering.0, &answering.1) {
            eprintln!("lifecycle: {error:#}");
            std::process::exit(1);
        }
    });
    for line in std::io::stdin().lock().lines() {
        let answer = match line?.trim() {
            "pings" => clients.pings.load(Ordering::Relaxed),
            n => open(&clients, &epoll, addr, n.parse()?)?,
        };
        println!("{answer}");
    }
    Ok(())
}

fn open(clients: &Clients, epoll: &OwnedFd, addr: SocketAddr, n: usize) -> Result<u64> {
    for _ in 0..n {
        let mut connection = TcpStream::connect(addr)?;
        connection.set_nodelay(true)?;
        connection.write_all(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
              Sec-WebSocket-Version: 13\r\n\r\n",
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            ensure!(connection.read(&mut byte)? > 0, "the server refuses connections");
            head.extend_from_slice(&byte);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut connections = clients.connections.lock().expect("nobody panics");
        let data = epoll::EventData::new_u64(connections.len() as u64);
        epoll::add(epoll, connection.as_fd(), data, epoll::EventFlags::IN)?;
        connections.push(connection);
    }
    Ok(n as u64)
}

fn answer(clients: &Clients, epoll: &OwnedFd) -> Result<()> {
    let mut events = Vec::with_capacity(1024);
    let mut buffer = [0; 1024];
    loop {
        events.clear();
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        let connections = clients.connections.lock().expect("nobody panics");
        for event in &events {
            let connection =
                connections.get(event.data.u64() as usize).context("it was opened before")?;
            let (_, n) = recv(connection, &mut buffer[..], RecvFlags::DONTWAIT)?;
            if n == 0 {
                return Ok(()); // The server was ended: that was all.
            }
            ensure!(n % PING == 0, "{n} bytes are no pings");
            for ping in buffer[..n].chunks(PING) {
                ensure!(ping[..2] == [0x89, 8], "{ping:?} is no ping");
                // Masked with zeros.
                let mut pong = [0x8a, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                pong[6..].copy_from_slice(&ping[2..]);
                send(connection, &pong, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            }
            clients.pings.fetch_add((n / PING) as u64, Ordering::Relaxed);
        }
    }
}
