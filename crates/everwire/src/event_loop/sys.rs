//! The system calls of an event loop.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
    net::RecvFlags,
};
use tokio::io::{Interest, ReadBuf, unix::AsyncFd};

pub(super) type Event = epoll::Event;

/// An epoll instance that tokio watches.
#[derive(Debug)]
pub(super) struct Epoll(AsyncFd<OwnedFd>);

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` keeps its descriptor for as long as it lives, and this one is never
        // taken out or replaced.
        let watched = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Watches a socket until it is closed. Each change is told once, with `key`.
    pub(super) fn watch(&self, socket: &TcpStream, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(self.0.get_ref(), socket, EventData::new_u64(key), flags)?)
    }

    /// Returns what is new, as far as `events` has room, and whether there may be more.
    pub(super) fn poll<'e>(
        &mut self,
        cx: &mut Context<'_>,
        events: &'e mut [MaybeUninit<Event>],
    ) -> (&'e [Event], bool) {
        // An error is the runtime's end: it goes on with the sockets that it has.
        let Poll::Ready(Ok(mut ready)) = self.0.poll_read_ready(cx) else { return (&[], false) };
        let room = events.len();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(self.0.get_ref(), events, Some(&at_once)) {
            Ok((events, _)) if events.len() < room => {
                // What comes next makes the descriptor readable anew; only who was told to wait is
                // woken then.
                ready.clear_ready();
                let more = self.0.poll_read_ready(cx).is_ready();
                (events, more)
            }
            Ok((events, _)) => (events, true),
            Err(_) => (&[], true),
        }
    }
}

/// Lets tokio watch a socket that listens.
pub(crate) fn watch_listener(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` keeps its descriptor for as long as it lives, and who has it in an
    // `AsyncFd` has no way to replace it but to take it out.
    let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
    Ok(watched?)
}

/// Receives what there is, as far as `buf` has room. Returns whether it was filled.
#[inline]
pub(crate) fn recv(socket: &TcpStream, buf: &mut ReadBuf<'_>) -> Result<bool, Errno> {
    // SAFETY: only `recv` writes there, and it never takes back what was written. Zeroing the memory
    // first would cost more than a small read.
    let unfilled = unsafe { buf.unfilled_mut() };
    let wanted = unfilled.len();
    let ((received, _), _) = rustix::net::recv(socket, unfilled, RecvFlags::empty())?;
    let n = received.len();
    // SAFETY: `recv` has written `n` bytes.
    unsafe { buf.assume_init(n) };
    buf.advance(n);
    Ok(n == wanted)
}

/// Receives what there is, as far as `buf` has room, behind what is in it. Returns how much that was,
/// and whether it was filled.
#[inline]
pub(super) fn recv_buf(socket: &TcpStream, buf: &mut BytesMut) -> Result<(usize, bool), Errno> {
    let spare = buf.spare_capacity_mut();
    let wanted = spare.len();
    let ((received, _), _) = rustix::net::recv(socket, spare, RecvFlags::empty())?;
    let n = received.len();
    let filled = buf.len() + n;
    // SAFETY: `recv` has written `n` bytes into what was spare.
    unsafe { buf.set_len(filled) };
    Ok((n, n == wanted))
}
