//! A TCP socket of an event loop.

use std::{
    io::{self, IoSlice, Write},
    net::{Shutdown, TcpStream},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustix::{event::epoll::EventFlags, io::Errno, net::SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::sys;
use crate::io::Io;

/// A socket that does not block, and what the loop has heard of it. Who is told to wait is given
/// another turn by the loop, not by a waker.
#[derive(Debug)]
pub(crate) struct LoopSocket {
    stream: TcpStream,
    may_read: bool,
    may_write: bool,
    /// Nothing will be heard of it any more; reading tells how it ended.
    read_closed: bool,
}

impl LoopSocket {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns whether there may be something to read; else epoll tells when there is.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        self.may_read
    }

    /// Notes what epoll told. It tells each change once.
    #[inline]
    pub(super) fn note(&mut self, flags: EventFlags) {
        let ended = EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR;
        self.read_closed |= flags.intersects(ended);
        self.may_read |= flags.intersects(EventFlags::IN | ended);
        self.may_write |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
    }
}

impl TryFrom<Io> for LoopSocket {
    type Error = Io;

    /// Takes a TCP socket, out of tokio's hands if it is there; gives everything else back.
    fn try_from(io: Io) -> Result<Self, Io> {
        let stream = match io {
            Io::Tcp(stream) => stream.into_std().expect("tokio watches the socket until here"),
            Io::Fresh(Some(stream)) => stream,
            other => return Err(other),
        };
        // It is taken for writable until it is full.
        Ok(Self { stream, may_read: false, may_write: true, read_closed: false })
    }
}

impl AsyncRead for LoopSocket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.may_read {
            match sys::recv(&self.stream, buf) {
                Ok(filled) => {
                    // A short read took all that there was; what comes next is told anew.
                    self.may_read = filled || self.read_closed;
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => self.may_read = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Pending
    }
}

impl LoopSocket {
    /// Reads what there is, as far as `buf` has room.
    #[inline]
    pub(crate) fn poll_recv(&mut self, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        while self.may_read {
            match sys::recv_buf(&self.stream, buf) {
                Ok((n, filled)) => {
                    self.may_read = filled || self.read_closed;
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => self.may_read = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Pending
    }

    /// Writes what there is, as far as the socket has room.
    #[inline]
    pub(crate) fn poll_send(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(bytes.len(), |stream| {
            Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?)
        })
    }

    #[inline]
    fn poll_io(
        &mut self,
        wanted: usize,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while self.may_write {
            match write(&self.stream) {
                Ok(n) => {
                    self.may_write = n == wanted;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.may_write = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }
}

impl AsyncWrite for LoopSocket {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_io(len, |mut stream| stream.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}
