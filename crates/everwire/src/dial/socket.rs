//! The TCP options of a client's socket. The only file in this module that differs by platform.

use std::io;
use std::net::{IpAddr, SocketAddr};
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
    /// The address to connect from, with a port of the system's choice. By default the system chooses both.
    ///
    /// It must be of the same family as the address that is connected to, or that attempt fails. One address
    /// has some 28,000 ports for connections to one port of a server (`ip_local_port_range`).
    pub local_ip: Option<IpAddr>,
    /// How many bytes the system receives ahead of us (`SO_RCVBUF`); it may take more or less than that. By
    /// default it decides, and adapts to the path, which a fixed number ends.
    pub receive_buffer: Option<usize>,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            nodelay: true,
            user_timeout: Some(Duration::from_secs(45)),
            local_ip: None,
            receive_buffer: None,
        }
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
        if let Some(size) = self.receive_buffer {
            // Before connecting, because the handshake of TCP says how far windows can go.
            socket2::SockRef::from(&socket).set_recv_buffer_size(size)?;
        }
        if let Some(ip) = self.local_ip {
            socket.bind((ip, 0).into())?;
        }
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
        let config = SocketConfig {
            nodelay: true,
            user_timeout: Some(Duration::from_millis(12_345)),
            receive_buffer: Some(20_000),
            ..SocketConfig::default()
        };
        let stream = config.connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = socket2::SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
        assert!(socket.recv_buffer_size().unwrap() < 60_000);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), config.user_timeout);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")] // Elsewhere 127.0.0.2 is not configured.
    async fn a_connection_comes_from_the_address_that_was_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local_ip = [127, 0, 0, 2].into();
        let config = SocketConfig { local_ip: Some(local_ip), ..SocketConfig::default() };
        let stream = config.connect(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), local_ip);
        assert_eq!(listener.accept().await.unwrap().1.ip(), local_ip);
    }
}
