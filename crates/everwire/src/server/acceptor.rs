//! A TCP socket that listens, in a runtime.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use everwire_proto::Config;

use crate::io::Io;
#[cfg(target_os = "linux")]
use crate::{event_loop, path};

/// Accepts connections of TCP.
#[cfg(target_os = "linux")]
pub(super) struct Acceptor(tokio::io::unix::AsyncFd<TcpListener>);

#[cfg(target_os = "linux")]
impl Acceptor {
    /// Takes a listener into the current runtime.
    ///
    /// What every connection is to have, it has from its listener: "this option, like many others,
    /// will be inherited by the socket returned by accept(2)", tcp(7) says of TCP_USER_TIMEOUT.
    pub(super) fn new(listener: TcpListener, config: &Config) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let socket = socket2::SockRef::from(&listener);
        socket.set_tcp_nodelay(true).ok();
        socket.set_tcp_user_timeout(path::user_timeout(config)).ok();
        event_loop::watch_listener(listener).map(Self)
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropped, it has accepted nothing.
    pub(super) async fn accept(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        self.0.async_io(tokio::io::Interest::READABLE, Self::accept_from).await
    }

    /// Accepts without waiting: asks the system itself, since tokio hears of a new connection only
    /// when it looks.
    pub(super) fn accept_now(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        Self::accept_from(self.0.get_ref())
    }

    fn accept_from(listener: &TcpListener) -> io::Result<(Io, Option<SocketAddr>)> {
        use rustix::net::{SocketFlags, acceptfrom_with};

        let (socket, remote) =
            acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        Ok((Io::Fresh(Some(socket.into())), remote.and_then(|addr| addr.try_into().ok())))
    }
}

/// Accepts connections of TCP.
#[cfg(not(target_os = "linux"))]
pub(super) struct Acceptor(tokio::net::TcpListener);

#[cfg(not(target_os = "linux"))]
impl Acceptor {
    /// Takes a listener into the current runtime.
    pub(super) fn new(listener: TcpListener, _: &Config) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener).map(Self)
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropped, it has accepted nothing.
    pub(super) async fn accept(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        let (stream, remote) = self.0.accept().await?;
        stream.set_nodelay(true).ok();
        Ok((Io::Tcp(stream), Some(remote)))
    }

    /// Accepts what waits, as far as the runtime has heard of it.
    pub(super) fn accept_now(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.0.poll_accept(&mut cx) {
            std::task::Poll::Ready(accepted) => {
                accepted.map(|(stream, remote)| (Io::Tcp(stream), Some(remote)))
            }
            std::task::Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use everwire_proto::Keepalive;

    use super::*;

    #[tokio::test]
    async fn what_is_accepted_has_the_options_of_its_listener() {
        let mut config = Config::default();
        config.keepalive = Some(Keepalive::standard());
        config.write_timeout = Duration::from_secs(30);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(listener, &config).unwrap();
        let client = TcpStream::connect(addr).unwrap();
        let (io, remote) = acceptor.accept().await.unwrap();
        assert_eq!(remote, client.local_addr().ok());
        let socket = io.tcp().unwrap();
        let socket = socket2::SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(45)));
        assert!(socket.nonblocking().unwrap());
        assert!(acceptor.accept_now().is_err(), "nobody else waits");
    }
}
