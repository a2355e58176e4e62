//! The accept loop.

use std::{io, sync::Arc, time::Duration};

use everwire_proto::{CloseFrame, Config};
use tokio::sync::watch;

use super::{
    Context, Listener,
    acceptor::{Accepted, Acceptor},
    connection::{Incoming, Seat, refuse, serve, turn_away},
    listener::Kind,
};
use crate::{event_loop::EventLoops, io::Io};

/// How long accepting rests when the process has run out of descriptors.
const REST: Duration = Duration::from_millis(100);

/// How often it is logged that accepting rests.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// A listener that belongs to a runtime.
pub(super) enum Accepting {
    Tcp(Acceptor),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// Takes a listener into the current runtime.
    pub(super) fn new(listener: Listener, config: &Config) -> io::Result<Self> {
        Ok(match listener.0 {
            Kind::Tcp(listener) => Self::Tcp(Acceptor::new(listener, config)?),
            #[cfg(unix)]
            Kind::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await,
            #[cfg(unix)]
            Self::Unix(listener) => {
                let io = Io::Unix(listener.accept().await?.0);
                Ok(Accepted { io, remote: None, local: None })
            }
        }
    }

    /// Accepts without waiting.
    fn accept_now(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept_now(),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let listener = std::os::fd::AsFd::as_fd(listener);
                let stream = rustix::net::accept(listener)?;
                let stream = std::os::unix::net::UnixStream::from(stream);
                stream.set_nonblocking(true)?;
                let io = Io::Unix(tokio::net::UnixStream::from_std(stream)?);
                Ok(Accepted { io, remote: None, local: None })
            }
        }
    }
}

/// Accepts until it is told to stop, whatever happens to single connections.
pub(super) async fn accept_loop(
    context: Arc<Context>,
    loops: EventLoops,
    listener: Accepting,
    mut stopped: watch::Receiver<Option<CloseFrame>>,
    busy: watch::Receiver<()>,
) {
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(Option::is_some) => break,
        };
        match accepted {
            Ok(accepted) => start(&context, &loops, &busy, accepted),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Most likely out of descriptors: wait for some to be closed.
                let now = crate::clock::now();
                if warned.is_none_or(|warned| now >= warned + WARN_EVERY) {
                    tracing::warn!(%error, "cannot accept, trying again");
                    warned = Some(now);
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    // Who waits to be accepted would else be reset; they are told when to come back instead.
    loop {
        match listener.accept_now() {
            Ok(Accepted { io, remote, .. }) => {
                tokio::spawn(turn_away(context.clone(), io, remote, busy.clone()));
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(_) => break,
        }
    }
}

fn start(
    context: &Arc<Context>,
    loops: &EventLoops,
    busy: &watch::Receiver<()>,
    Accepted { io, remote, local }: Accepted,
) {
    let local = local.or_else(|| io.local_addr());
    // A trusted proxy's address stands for many clients.
    let address = remote.map(|addr| addr.ip()).filter(|ip| !context.trusted.contains(*ip));
    match context.slots.take(address) {
        Some(slot) => {
            let seat = Seat { slot, loops: loops.clone() };
            let incoming = Incoming { remote, local, seat, busy: busy.clone() };
            tokio::spawn(serve(context.clone(), io, incoming));
        }
        None => {
            tokio::spawn(refuse(context.clone(), io));
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
