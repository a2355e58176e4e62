//! The least that pinging can cost: one `send` and one `recv` for each ping, in a bare epoll loop.
//!
//! It gives out pings as everwire does: what is due within a quarter of a second goes out at once.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::{
    event::{Timespec, epoll},
    net::{RecvFlags, SendFlags, recv, send},
};

/// The tick of everwire.
const TICK: Duration = Duration::from_millis(250);

/// A ping as everwire sends it: eight bytes of payload.
const PING: [u8; 10] = [0x89, 8, 0xE7, b'e', b'w', 1, 0, 0, 0, 1];

/// Serves `n` connections and pings each once in every interval, for ever.
pub(crate) fn serve(interval: Duration, n: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("bare: ws://{}/", listener.local_addr()?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    let mut connections = Vec::with_capacity(n);
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let n_ticks = (interval.as_nanos() / TICK.as_nanos()).max(1) as usize;
    let (mut tick, mut next) = (0, Instant::now() + TICK);
    loop {
        let wait = Timespec::try_from(next.saturating_duration_since(Instant::now()))?;
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
        for event in &events {
            match event.data.u64() {
                u64::MAX => {
                    let connection = accept(&listener)?;
                    let data = epoll::EventData::new_u64(connections.len() as u64);
                    epoll::add(&epoll, connection.as_fd(), data, epoll::EventFlags::IN)?;
                    connections.push(connection);
                }
                key => {
                    let connection = &connections[key as usize];
                    let (_, n) = recv(connection, &mut buffer[..], RecvFlags::DONTWAIT)?;
                    ensure!(n > 0, "a connection ended");
                }
            }
        }
        if Instant::now() >= next {
            for connection in connections.iter().skip(tick % n_ticks).step_by(n_ticks) {
                send(connection, &PING, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            }
            (tick, next) = (tick + 1, next + TICK);
        }
    }
}

/// Accepts one connection and says what a WebSocket server would, whatever it is asked.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (mut connection, _) = listener.accept()?;
    connection.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let n = connection.read(&mut bytes)?;
        ensure!(n > 0, "a connection ended");
        head.extend_from_slice(&bytes[..n]);
    }
    connection.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    Ok(connection)
}
