//! Signals that ask us to end.

#[cfg(unix)]
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// SIGINT and SIGTERM.
#[cfg(unix)]
pub(super) struct Interrupts([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Interrupts {
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    pub(super) async fn next(&mut self) {
        let either = |cx: &mut Context<'_>| {
            let mut signals = self.0.iter_mut().flatten();
            if signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        };
        poll_fn(either).await;
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

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
