//! The byte streams that a server or client runs on.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(target_os = "linux")]
use std::{
    io::Write,
    os::fd::{AsFd, BorrowedFd},
};

#[cfg(target_os = "linux")]
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

#[cfg(target_os = "linux")]
use crate::event_loop;

/// A socket of one of the kinds that a server accepts.
#[derive(Debug)]
pub(crate) enum Io {
    Tcp(TcpStream),
    /// TCP that tokio has not been told to watch: it is when there is something to wait for. Most
    /// requests are there when a connection is accepted, and an event loop watches sockets itself.
    /// Nothing once that has failed.
    #[cfg(target_os = "linux")]
    Fresh(Option<std::net::TcpStream>),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// TLS on any of them; boxed, because it is large.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Self>>),
}

impl Io {
    /// Returns the socket at the bottom, if it is one of TCP.
    #[cfg(target_os = "linux")]
    pub(crate) fn tcp(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(io) => Some(io.as_fd()),
            Self::Fresh(io) => io.as_ref().map(AsFd::as_fd),
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(io) => io.get_ref().0.tcp(),
        }
    }

    /// Returns whether TLS is spoken.
    pub(crate) fn is_tls(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
            _ => false,
        }
    }

    /// Returns the address that a client of TCP connected to.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(io) => io.local_addr().ok(),
            #[cfg(target_os = "linux")]
            Self::Fresh(io) => io.as_ref()?.local_addr().ok(),
            _ => None,
        }
    }

    /// Returns whether TCP is spoken, and nothing around it.
    #[cfg(feature = "tls")]
    pub(crate) fn is_plain_tcp(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            #[cfg(target_os = "linux")]
            Self::Fresh(_) => true,
            _ => false,
        }
    }

    /// Has tokio watch the socket from now on.
    #[cfg(target_os = "linux")]
    #[inline]
    fn watched(&mut self) -> io::Result<&mut Self> {
        if let Self::Fresh(stream) = self {
            let stream = stream.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = Self::Tcp(TcpStream::from_std(stream)?);
        }
        Ok(self)
    }

    /// Writes to a socket that tokio does not watch yet; nothing if there is no room, or it does. What
    /// tries only once, as the alert of a failed TLS handshake does, would else be refused: tokio does
    /// not know yet that there is room.
    #[cfg(target_os = "linux")]
    #[inline]
    fn write_fresh(
        &self,
        write: impl FnOnce(&std::net::TcpStream) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let Self::Fresh(Some(stream)) = self else { return None };
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            written => Some(written),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn watched(&mut self) -> io::Result<&mut Self> {
        Ok(self)
    }
}

macro_rules! each {
    ($self:expr, $io:ident => $do:expr) => {
        match $self.get_mut().watched()? {
            Io::Tcp($io) => $do,
            #[cfg(target_os = "linux")]
            Io::Fresh(_) => unreachable!("it is watched now"),
            #[cfg(unix)]
            Io::Unix($io) => $do,
            #[cfg(feature = "tls")]
            Io::Tls($io) => $do,
        }
    };
}

impl AsyncRead for Io {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(target_os = "linux")]
        if let Self::Fresh(Some(stream)) = &*self {
            match event_loop::recv(stream, buf) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Some(written) = self.write_fresh(|mut stream| stream.write(buf)) {
            return Poll::Ready(written);
        }
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Some(written) = self.write_fresh(|mut stream| stream.write_vectored(bufs)) {
            return Poll::Ready(written);
        }
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            #[cfg(target_os = "linux")]
            Self::Fresh(_) => true,
            #[cfg(unix)]
            Self::Unix(io) => io.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

/// A stream with bytes in front of it that were read already.
#[derive(Debug)]
pub(crate) struct Rewind<S> {
    pub(crate) early: bytes::Bytes,
    pub(crate) io: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
