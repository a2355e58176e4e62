//! TCP echo of the same bytes without WebSocket and without a runtime: the limit for anything on Linux.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// The listener among the sockets.
const LISTENER: u64 = u64::MAX;

/// A socket, and what it did not take yet.
struct Peer {
    stream: TcpStream,
    unsent: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("listening on http://{}/", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for &epoll::Event { flags, data } in &events {
            if data.u64() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let place = free.pop().unwrap_or_else(|| {
                        peers.push(None);
                        peers.len() - 1
                    });
                    epoll::add(&epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
                    peers[place] = Some(Peer { stream, unsent: Vec::new() });
                }
                continue;
            }
            let place = data.u64() as usize;
            let Some(peer) = &mut peers[place] else { continue };
            match peer.echo(&mut buffer) {
                Ok(wants) => {
                    if wants != EventFlags::IN || flags.contains(EventFlags::OUT) {
                        epoll::modify(&epoll, &peer.stream, data, wants)?;
                    }
                }
                Err(_) => {
                    peers[place] = None;
                    free.push(place);
                }
            }
        }
    }
}

impl Peer {
    /// Sends back what can be read; returns what to wait for.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<EventFlags> {
        if self.unsent.is_empty() {
            let n_read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                read => read?,
            };
            let n_sent = sent(self.stream.write(&buffer[..n_read]))?;
            self.unsent.extend_from_slice(&buffer[n_sent..n_read]);
        } else {
            let n_sent = sent(self.stream.write(&self.unsent))?;
            self.unsent.drain(..n_sent);
        }
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            Ok(EventFlags::IN)
        } else {
            Ok(EventFlags::OUT)
        }
    }
}

/// Returns how much a socket took, which may be nothing.
fn sent(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
