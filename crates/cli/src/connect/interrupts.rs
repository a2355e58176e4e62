//! Signals that ask us to end.

#[cfg(unix)]
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// What asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// SIGINT, or Ctrl-C while a line is edited.
    Interrupt,
    /// SIGTERM.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Terminate,
}

impl Interrupt {
    /// Returns the status of a process that it ended, as shells write it.
    pub(super) const fn status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// SIGINT and SIGTERM.
#[cfg(unix)]
pub(super) struct Interrupts([(Interrupt, Option<tokio::signal::unix::Signal>); 2]);

#[cfg(unix)]
impl Interrupts {
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            (Interrupt::Interrupt, SignalKind::interrupt()),
            (Interrupt::Terminate, SignalKind::terminate()),
        ];
        Self(kinds.map(|(what, kind)| (what, signal(kind).ok())))
    }

    pub(super) async fn next(&mut self) -> Interrupt {
        let either = |cx: &mut Context<'_>| {
            let came = self.0.iter_mut().find_map(|(what, signal)| {
                signal.as_mut()?.poll_recv(cx).is_ready().then_some(*what)
            });
            came.map_or(Poll::Pending, Poll::Ready)
        };
        poll_fn(either).await
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Interrupts;

#[cfg(not(unix))]
impl Interrupts {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) async fn next(&mut self) -> Interrupt {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Interrupt::Interrupt
    }
}
