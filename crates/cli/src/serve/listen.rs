//! Where the command line says to listen.

use std::{
    error::Error,
    fmt, io,
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
    str::FromStr,
};

use everwire::{Listener, ServerBuilder};

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080`, `localhost:8080`, `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddr {
    /// A host and a port.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Adds this address to a server.
    ///
    /// # Errors
    /// A Unix socket that cannot be bound; TCP addresses are bound when the server starts.
    pub(crate) fn add_to(&self, builder: ServerBuilder) -> anyhow::Result<ServerBuilder> {
        match self {
            Self::Tcp(addr) => Ok(builder.bind(addr)),
            Self::Unix(path) => {
                let listener = bind_unix(path).map_err(|error| {
                    anyhow::anyhow!("cannot listen on unix:{}: {error}", path.display())
                })?;
                Ok(builder.listener(listener))
            }
        }
    }

    /// Removes what was left in the file system.
    pub(crate) fn clean_up(&self) {
        if let Self::Unix(path) = self {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Binds a Unix socket; one that nobody listens on any more is replaced.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if is_socket
        && let Err(error) = UnixStream::connect(path)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        std::fs::remove_file(path)?;
    }
    Listener::unix(path)
}

impl Default for ListenAddr {
    fn default() -> Self {
        Self::Tcp("127.0.0.1:8080".into())
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(ListenAddrError)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddrError)?;
        let is_bare_v6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || is_bare_v6 || port.parse::<u16>().is_err() {
            return Err(ListenAddrError);
        }
        Ok(Self::Tcp(text.into()))
    }
}

/// A text is not an address to listen on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListenAddrError;

impl fmt::Display for ListenAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ADDR:PORT such as 127.0.0.1:8080 or [::]:8080, or unix:/path")
    }
}

impl Error for ListenAddrError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port_or_a_path() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:80"] {
            assert_eq!(text.parse(), Ok(ListenAddr::Tcp(text.into())));
        }
        assert_eq!("unix:/run/e".parse(), Ok(ListenAddr::Unix("/run/e".into())));
        for text in ["", "8080", ":8080", "::1:8080", "a:b", "a:99999", "unix:"] {
            assert_eq!(text.parse::<ListenAddr>(), Err(ListenAddrError), "{text:?}");
        }
    }
}
