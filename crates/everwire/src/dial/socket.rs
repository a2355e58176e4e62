//! The TCP options of a client's socket. The only file in this module that differs by platform.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// Options that are set on every socket before it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketConfig {
    /// Sends small writes at once (`TCP_NODELAY`). On by default: the engine gathers frames itself.
    pub nodelay: bool,
    /// Ends the connection when sent data stays unacknowledged for so long (`TCP_USER_TIMEOUT`, RFC 5482).
    /// 45 s by default, `None` leaves it to the system. Only on Linux; ignored elsewhere.
    pub user_timeout: Option<Duration>,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { nodelay: true, user_timeout: Some(Duration::from_secs(45)) }
    }
}

impl SocketConfig {
    /// Connects to `addr` with these options.
    ///
    /// TCP keepalive stays off: a probe that a proxy answers proves nothing about the peer, the ping of the
    /// connection does.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub(super) async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(self.nodelay)?;
        socket.set_keepalive(false)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&socket).set_tcp_user_timeout(self.user_timeout)?;
        socket.connect(addr).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn options_are_on_the_connected_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config =
            SocketConfig { nodelay: true, user_timeout: Some(Duration::from_millis(12_345)) };
        let stream = config.connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = socket2::SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), config.user_timeout);
    }
}
