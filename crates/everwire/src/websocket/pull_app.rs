//! What fills the queue of the pull face.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use everwire_proto::{Closure, Event, Message, Piece};

use crate::{
    Conn,
    driver::{App, Panicked},
    shared::Shared,
};

/// What a queued message counts beside its payload, so that empty ones fill the queue too.
const MESSAGE_COST: usize = 64;

/// What waits for `recv`.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Message<'static>),
    Piece(Piece<'static>),
}

impl Received {
    pub(super) fn cost(&self) -> usize {
        MESSAGE_COST
            + match self {
                Self::Message(message) => message.len(),
                Self::Piece(piece) => piece.payload.len(),
            }
    }
}

/// Fills the queue of a [`WebSocket`], and runs the future that uses it in the same task: so no
/// message costs a wake-up of another task.
pub(crate) struct PullApp<F> {
    /// What the user does with the connection, if it lives here.
    companion: Option<Pin<Box<F>>>,
    /// The waker of this task, for which a wake-up would be in vain.
    own: Option<Waker>,
    /// The queue was full when it was last looked at.
    full: bool,
    /// Who receives wants to know why nothing more comes, and was not told yet.
    tells: bool,
}

/// The companion of a connection whose user lives in another task.
pub(crate) type Elsewhere = std::future::Pending<()>;

impl PullApp<Elsewhere> {
    /// Returns the app of a connection whose user lives in another task.
    pub(crate) fn elsewhere() -> Self {
        Self { companion: None, own: None, full: false, tells: false }
    }

    /// Returns the app of one whose user learns from [`Receiver::recv_or_end`] why nothing more comes.
    ///
    /// [`Receiver::recv_or_end`]: crate::Receiver::recv_or_end
    pub(crate) fn telling() -> Self {
        Self { tells: true, ..Self::elsewhere() }
    }
}

impl<F: Future<Output = ()> + Send> PullApp<F> {
    /// Returns the app of a connection whose user is this future.
    pub(crate) fn with(companion: F) -> Self {
        Self { companion: Some(Box::pin(companion)), own: None, full: false, tells: false }
    }
}

impl<F> PullApp<F> {
    /// Tells who waits for messages that no more come, and why, before the socket has gone.
    #[cold]
    fn tell_end(&mut self, conn: &Conn<'_>) {
        self.tells = false;
        let mut state = conn.shared.lock();
        let inbox = state.inbox();
        if inbox.receiver_gone {
            return;
        }
        let received = conn.proto.received_close().cloned();
        inbox.decided = conn.proto.cause().map(|cause| Box::new((cause.clone(), received)));
        let receiver = inbox.receiver.take();
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<F: Future<Output = ()> + Send> App for PullApp<F> {
    type Batch = ();

    fn open(&mut self, _: &mut Conn<'_>) {}

    fn event(&mut self, conn: &mut Conn<'_>, (): &mut (), event: Event<'_>) {
        if !matches!(event, Event::Message(_) | Event::Piece(_)) {
            return;
        }
        let mut state = conn.shared.lock();
        // Behind our Close, what nobody takes is discarded.
        if state.inbox().receiver_gone || conn.proto.discards() {
            return;
        }
        let received = match event {
            Event::Message(message) => Received::Message(message.into_owned()),
            Event::Piece(piece) => Received::Piece(piece.into_owned()),
            _ => return,
        };
        let inbox = state.inbox();
        inbox.bytes += received.cost();
        inbox.queue.push_back(received);
        // What follows may be a Close; this is to be answered first.
        conn.proto.hold_end();
        self.full = conn.shared.is_inbox_full(inbox);
        inbox.was_full = self.full;
        let elsewhere = match (&inbox.receiver, &self.own) {
            (Some(receiver), Some(own)) if receiver.will_wake(own) => None,
            _ => inbox.receiver.take(),
        };
        drop(state);
        elsewhere.into_iter().for_each(Waker::wake);
    }

    fn input_end(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        if self.tells && conn.proto.cause().is_some() {
            self.tell_end(conn);
        }
    }

    fn is_ready(&mut self, shared: &Shared) -> bool {
        if self.full {
            let mut state = shared.lock();
            let inbox = state.inbox();
            self.full = shared.is_inbox_full(inbox);
            inbox.was_full = self.full;
        }
        !self.full
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Panicked>> {
        let Some(companion) = &mut self.companion else { return Poll::Ready(Ok(())) };
        if !self.own.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.own = Some(cx.waker().clone());
        }
        match catch_unwind(AssertUnwindSafe(|| companion.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                self.companion = None;
                Poll::Ready(Ok(()))
            }
            Err(_) => {
                tracing::error!("the code that serves a connection panicked");
                let poisoned = self.companion.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(poisoned)));
                Poll::Ready(Err(Panicked))
            }
        }
    }

    fn is_companion_here(&self) -> bool {
        self.companion.is_some()
    }

    fn close(&mut self, _: &Shared, _: &Closure) {}
}

#[cfg(test)]
mod tests {
    use everwire_proto::{Cause, CloseCode};
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::{adapt::Attach, shared::Decided};

    /// Lets a peer close a connection; returns what is kept of the reason for who receives.
    async fn closed_by_peer<F>(app: PullApp<F>) -> Option<Decided>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut peer, io) = duplex(1 << 10);
        let sender = Attach::server().run(io, app);
        // A Close of 1000 under a mask of zeros.
        peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).await.unwrap();
        assert_eq!(sender.closed().await.code(), CloseCode::NORMAL_CLOSURE);
        sender.shared().lock().inbox().decided.take()
    }

    #[tokio::test(start_paused = true)]
    async fn why_a_connection_ends_is_kept_only_for_who_asked() {
        assert_eq!(closed_by_peer(PullApp::elsewhere()).await, None);
        assert_eq!(closed_by_peer(PullApp::with(std::future::pending())).await, None);
        let (cause, close) = *closed_by_peer(PullApp::telling()).await.expect("it asked");
        assert_eq!(
            (cause, close.map(|close| close.code)),
            (Cause::PeerClosed, Some(CloseCode::NORMAL_CLOSURE))
        );
    }
}
