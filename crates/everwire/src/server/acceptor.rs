//! A TCP socket that listens, in a runtime.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use everwire_proto::Config;

use crate::io::Io;
#[cfg(target_os = "linux")]
use crate::{event_loop, path};

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) io: Io,
    pub(super) remote: Option<SocketAddr>,
    /// Where it came to, if it can be only one address; else the socket knows.
    pub(super) local: Option<SocketAddr>,
}

/// Accepts connections of TCP.
#[cfg(target_os = "linux")]
pub(super) struct Acceptor {
    listener: tokio::io::unix::AsyncFd<TcpListener>,
    local: Option<SocketAddr>,
}

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
        let local = only_address(&listener);
        Ok(Self { listener: event_loop::watch_listener(listener)?, local })
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropped, it has accepted nothing.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        let accept = |listener: &TcpListener| self.accept_from(listener);
        self.listener.async_io(tokio::io::Interest::READABLE, accept).await
    }

    /// Accepts without waiting: asks the system itself, since tokio hears of a new connection only
    /// when it looks.
    pub(super) fn accept_now(&self) -> io::Result<Accepted> {
        self.accept_from(self.listener.get_ref())
    }

    fn accept_from(&self, listener: &TcpListener) -> io::Result<Accepted> {
        use rustix::net::{SocketFlags, acceptfrom_with};

        let (socket, remote) =
            acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let remote = remote.and_then(|addr| addr.try_into().ok());
        Ok(Accepted { io: Io::Fresh(Some(socket.into())), remote, local: self.local })
    }
}

/// Accepts connections of TCP.
#[cfg(not(target_os = "linux"))]
pub(super) struct Acceptor {
    listener: tokio::net::TcpListener,
    local: Option<SocketAddr>,
}

#[cfg(not(target_os = "linux"))]
impl Acceptor {
    /// Takes a listener into the current runtime.
    pub(super) fn new(listener: TcpListener, _: &Config) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let local = only_address(&listener);
        Ok(Self { listener: tokio::net::TcpListener::from_std(listener)?, local })
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropped, it has accepted nothing.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        let (stream, remote) = self.listener.accept().await?;
        stream.set_nodelay(true).ok();
        Ok(self.accepted(stream, remote))
    }

    /// Accepts what waits, as far as the runtime has heard of it.
    pub(super) fn accept_now(&self) -> io::Result<Accepted> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.listener.poll_accept(&mut cx) {
            std::task::Poll::Ready(accepted) => {
                accepted.map(|(stream, remote)| self.accepted(stream, remote))
            }
            std::task::Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn accepted(&self, stream: tokio::net::TcpStream, remote: SocketAddr) -> Accepted {
        Accepted { io: Io::Tcp(stream), remote: Some(remote), local: self.local }
    }
}

/// Returns the address of a listener that has but one: its connections need not be asked for theirs.
fn only_address(listener: &TcpListener) -> Option<SocketAddr> {
    listener.local_addr().ok().filter(|addr| !addr.ip().is_unspecified())
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
        let Accepted { io, remote, local } = acceptor.accept().await.unwrap();
        assert_eq!(remote, client.local_addr().ok());
        assert_eq!(local, Some(addr));
        assert_eq!(io.local_addr(), local);
        let socket = io.tcp().unwrap();
        let socket = socket2::SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(45)));
        assert!(socket.nonblocking().unwrap());
        assert!(acceptor.accept_now().is_err(), "nobody else waits");
    }

    #[tokio::test]
    async fn a_listener_on_every_address_leaves_the_address_to_the_socket() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let addr = (std::net::Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();
        let acceptor = Acceptor::new(listener, &Config::default()).unwrap();
        let _client = TcpStream::connect::<SocketAddr>(addr).unwrap();
        let Accepted { io, local, .. } = acceptor.accept().await.unwrap();
        assert_eq!(local, None);
        assert_eq!(io.local_addr(), Some(addr));
    }
}
