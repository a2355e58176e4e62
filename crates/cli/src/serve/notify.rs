//! What the service manager is told, as `sd_notify(3)` has it.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::{
    convert::Infallible,
    env,
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use everwire::Server;
use tokio::time::{sleep, timeout};

/// What a shutdown takes at most beside the time it gives to clients.
const MARGIN: Duration = Duration::from_secs(5);

/// The way to the service manager, if one wants to hear.
#[derive(Debug)]
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that all is well.
    watchdog: Option<Duration>,
}

impl Notify {
    /// Looks for a service manager in the environment.
    pub(super) fn from_env() -> Self {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = name.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(?name, %error, "cannot tell the service manager anything");
                None
            }
        });
        let variable = |name| env::var(name).ok();
        let watchdog = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        Self { socket, watchdog }
    }

    /// Tells that clients are served.
    pub(super) fn ready(&self, server: &Server) {
        let addrs: Vec<String> = server.addrs().iter().map(ToString::to_string).collect();
        self.send(&format!("READY=1\nSTATUS=listening on {}", addrs.join(", ")));
    }

    /// Tells that files are read again; [`reloaded`](Self::reloaded) must follow.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Tells that files were read again, or could not be.
    pub(super) fn reloaded(&self) {
        self.send("READY=1");
    }

    /// Tells that the end has begun and how long clients are given.
    pub(super) fn stopping(&self, server: &Server, drain_deadline: Duration) {
        let open = server.registry().len();
        let plural = if open == 1 { "" } else { "s" };
        let micros = drain_deadline.saturating_add(MARGIN).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.send(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=closing {open} connection{plural}"
        ));
    }

    /// Tells for ever that all is well, if that is wanted and as long as it is true: a thread that
    /// is stuck silences it.
    pub(super) async fn keep_watch(&self, server: &Server) -> Infallible {
        let (Some(watchdog), true) = (self.watchdog, self.socket.is_some()) else {
            return std::future::pending().await;
        };
        // sd_watchdog_enabled(3): "every half of the time".
        let period = watchdog / 2;
        loop {
            if timeout(period, server.pulse()).await.is_ok() {
                self.send("WATCHDOG=1");
                sleep(period).await;
            } else {
                tracing::error!(?period, "a thread that serves connections is stuck");
            }
        }
    }

    fn send(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::debug!(%error, state, "the service manager does not listen");
        }
    }
}

/// Connects to a path, or on Linux to an abstract name behind an `@`.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let addr = match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&addr)?;
    // Nobody must be kept waiting by a service manager that does not read.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Reads how often the service manager wants to hear from this process.
fn watchdog(micros: Option<String>, pid: Option<String>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let micros = micros?.parse().ok().filter(|micros| is_ours && *micros > 0)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: &str, pid: Option<String>, expected: Option<u64>) {
        assert_eq!(watchdog(Some(micros.into()), pid), expected.map(Duration::from_micros));
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        check("30000000", None, Some(30_000_000));
        check("30000000", Some(std::process::id().to_string()), Some(30_000_000));
        check("30000000", Some((std::process::id() + 1).to_string()), None);
        for nonsense in ["", "0", "-1", "soon"] {
            check(nonsense, None, None);
        }
        assert_eq!(watchdog(None, None), None);
    }
}
