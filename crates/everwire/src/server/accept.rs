//! The accept loop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use everwire_proto::CloseFrame;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    Context, Listener,
    connection::{Incoming, Seat, refuse, serve, set_user_timeout, turn_away},
    listener::Kind,
};
use crate::{event_loop::EventLoops, io::Io};

/// How long accepting rests when the process has run out of descriptors.
const REST: Duration = Duration::from_millis(100);

/// How often it is logged that accepting rests.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// A listener that belongs to a runtime.
pub(super) enum Accepting {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl TryFrom<Listener> for Accepting {
    type Error = io::Error;

    fn try_from(listener: Listener) -> io::Result<Self> {
        Ok(match listener.0 {
            Kind::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            #[cfg(unix)]
            Kind::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        })
    }
}

impl Accepting {
    async fn accept(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok((Io::Tcp(stream), Some(remote)))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok((Io::Unix(listener.accept().await?.0), None)),
        }
    }

    fn into_std(self) -> io::Result<Kind> {
        Ok(match self {
            Self::Tcp(listener) => Kind::Tcp(listener.into_std()?),
            #[cfg(unix)]
            Self::Unix(listener) => Kind::Unix(listener.into_std()?),
        })
    }
}

/// Accepts without waiting: asks the system itself, since tokio hears of a new connection only when
/// it looks.
fn accept_now(listener: &Kind) -> io::Result<Io> {
    match listener {
        Kind::Tcp(listener) => {
            let stream = listener.accept()?.0;
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream).map(Io::Tcp)
        }
        #[cfg(unix)]
        Kind::Unix(listener) => {
            let stream = listener.accept()?.0;
            stream.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(stream).map(Io::Unix)
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
            Ok((io, remote)) => start(&context, &loops, &busy, io, remote),
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
    let Ok(listener) = listener.into_std() else { return };
    loop {
        match accept_now(&listener) {
            Ok(io) => {
                tokio::spawn(turn_away(context.clone(), io, busy.clone()));
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
    io: Io,
    remote: Option<SocketAddr>,
) {
    if let Io::Tcp(stream) = &io {
        stream.set_nodelay(true).ok();
    }
    set_user_timeout(&io, &context.config);
    let local = match &io {
        Io::Tcp(stream) => stream.local_addr().ok(),
        _ => None,
    };
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
