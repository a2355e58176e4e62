//! Where a server listens.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system may keep waiting before they are accepted.
const BACKLOG: i32 = 4096;

/// A socket that listens, made elsewhere or inherited.
#[derive(Debug)]
pub struct Listener(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Binds a TCP address, exclusively: an address in use is an error.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn tcp(addr: SocketAddr) -> io::Result<Self> {
        bind(addr, false).map(|listener| Self(Kind::Tcp(listener)))
    }

    /// Binds a TCP address once for each of `n` threads, which the system balances (SO_REUSEPORT).
    ///
    /// # Errors
    /// An address in use is an error all the same: it is bound exclusively first.
    pub(crate) fn tcp_per_thread(addr: SocketAddr, n: usize) -> io::Result<Vec<Self>> {
        let addr = bind(addr, false)?.local_addr()?;
        (0..n).map(|_| bind(addr, true).map(|listener| Self(Kind::Tcp(listener)))).collect()
    }

    /// Binds a Unix socket.
    ///
    /// # Errors
    /// Whatever the system says; a path that exists is an error.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        std::os::unix::net::UnixListener::bind(path).map(|listener| Self(Kind::Unix(listener)))
    }

    /// Returns the listeners that systemd passed on (socket activation), TCP and Unix.
    ///
    /// # Errors
    /// A descriptor that was passed on is of another kind.
    #[cfg(unix)]
    pub fn systemd() -> io::Result<Vec<Self>> {
        let mut inherited = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for i in 0..inherited.len() {
            if let Ok(Some(listener)) = inherited.take_tcp_listener(i) {
                listeners.push(Self(Kind::Tcp(listener)));
            } else if let Some(listener) = inherited.take_unix_listener(i)? {
                listeners.push(Self(Kind::Unix(listener)));
            }
        }
        Ok(listeners)
    }

    /// Returns another handle to the same socket.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Kind::Tcp(listener) => Kind::Tcp(listener.try_clone()?),
            #[cfg(unix)]
            Kind::Unix(listener) => Kind::Unix(listener.try_clone()?),
        }))
    }

    /// Returns the address that it is bound to.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<BoundAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().map(BoundAddr::Tcp),
            #[cfg(unix)]
            Kind::Unix(listener) => Ok(BoundAddr::Unix(
                listener.local_addr()?.as_pathname().map(Into::into).unwrap_or_default(),
            )),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::UnixListener> for Listener {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self(Kind::Unix(listener))
    }
}

/// Where a server is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddr {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket, empty if it has none.
    Unix(PathBuf),
}

impl BoundAddr {
    /// Returns the address if it is a TCP one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for BoundAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    {
        // Connections of a former server in TIME_WAIT do not keep the address.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
    }
    #[cfg(not(unix))]
    let _ = shared;
    if addr.is_ipv6() {
        socket.set_only_v6(false).ok();
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
