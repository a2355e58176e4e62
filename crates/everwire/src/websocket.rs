//! The pull face: `recv` and `send`.

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use everwire_proto::{Closure, Event, Message, SendError, State};

use crate::{
    Conn, Sender,
    driver::{App, Panicked},
    shared::{Shared, wake},
};

/// Bytes of messages that may wait for `recv` before reading stops; one message may exceed it.
pub(crate) const INBOX_LIMIT: usize = 64 << 10;

/// What a queued message counts beside its payload, so that empty ones fill the queue too.
const MESSAGE_COST: usize = 64;

/// A WebSocket connection for application code.
///
/// Pings are answered, the heartbeat runs and closing works whether or not anybody is in
/// [`recv`](Self::recv), as far as the queue of received messages reaches: 64 KiB or one message.
/// Behind a full queue reading stops.
///
/// Dropping it, and every [`Sender`] cloned from it, cuts the connection
/// ([`Cause::Cancelled`](everwire_proto::Cause::Cancelled)); [`close`](Sender::close) ends it
/// properly.
///
/// # Examples
/// ```
/// use everwire::{CloseCode, WebSocket};
///
/// async fn echo(mut ws: WebSocket) {
///     while let Some(message) = ws.recv().await {
///         if ws.send(message).await.is_err() {
///             break;
///         }
///     }
///     println!("{}", ws.closed().await);
/// }
/// ```
pub struct WebSocket {
    sender: Sender,
    receiver: Receiver,
}

impl WebSocket {
    pub(crate) fn new(shared: Arc<Shared>, request: Option<Arc<http::Request<()>>>) -> Self {
        let sender = Sender::guarded(shared);
        Self { receiver: Receiver { sender: sender.clone(), request }, sender }
    }

    /// Splits into a half that sends and a half that receives, for two tasks.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Receives the next message; `None` for ever once the connection has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Message<'static>> {
        self.receiver.recv().await
    }

    /// Receives a message and deserialises it from JSON.
    ///
    /// # Errors
    /// [`JsonError::Json`](crate::JsonError::Json) if the message is not what `T` asks for; the
    /// connection goes on.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[cfg(feature = "json")]
    pub async fn recv_json<T: serde::de::DeserializeOwned>(
        &mut self,
    ) -> Option<Result<T, crate::JsonError>> {
        self.receiver.recv_json().await
    }

    /// Returns the request that opened the connection.
    #[must_use]
    pub fn request(&self) -> Option<&http::Request<()>> {
        self.receiver.request()
    }
}

impl Deref for WebSocket {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The receiving half of a [`WebSocket`].
///
/// Dropped, it discards what comes in from then on, so that pings and Close are still handled.
pub struct Receiver {
    sender: Sender,
    request: Option<Arc<http::Request<()>>>,
}

impl Receiver {
    /// Receives the next message; `None` for ever once the connection has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Message<'static>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Receives a message and deserialises it from JSON.
    ///
    /// # Errors
    /// [`JsonError::Json`](crate::JsonError::Json) if the message is not what `T` asks for; the
    /// connection goes on.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[cfg(feature = "json")]
    pub async fn recv_json<T: serde::de::DeserializeOwned>(
        &mut self,
    ) -> Option<Result<T, crate::JsonError>> {
        let message = self.recv().await?;
        Some(serde_json::from_slice(message.as_bytes()).map_err(crate::JsonError::Json))
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message<'static>>> {
        let shared = self.sender.shared();
        let mut state = shared.lock();
        if let Some(message) = state.inbox.pop_front() {
            state.inbox_bytes -= message.len() + MESSAGE_COST;
            let driver = if state.inbox_was_full && state.inbox_bytes < INBOX_LIMIT {
                state.take_driver()
            } else {
                None
            };
            drop(state);
            wake(driver);
            return Poll::Ready(Some(message));
        }
        if state.closure.is_some() {
            return Poll::Ready(None);
        }
        if !state.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.receiver = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the end of the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closed(&self) -> Arc<Closure> {
        self.sender.closed().await
    }

    /// Returns how the connection ended, once it has.
    #[must_use]
    pub fn closure(&self) -> Option<Arc<Closure>> {
        self.sender.closure()
    }

    /// Returns the request that opened the connection.
    #[must_use]
    pub fn request(&self) -> Option<&http::Request<()>> {
        self.request.as_deref()
    }

    /// Returns data that `authorize` attached to the connection.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.sender.data()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.sender.shared().lock();
        state.receiver_gone = true;
        state.inbox.clear();
        state.inbox_bytes = 0;
        state.receiver = None;
        let driver = state.take_driver();
        drop(state);
        wake(driver);
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("id", &self.sender.id()).finish_non_exhaustive()
    }
}

impl Sender {
    /// Returns the address of the socket on this side.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared().peers.local
    }

    /// Returns the address of the client, which a trusted proxy may have told.
    #[must_use]
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.shared().client_ip()
    }

    /// Returns the path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.shared().path
    }

    /// Returns the subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared().subprotocol.as_deref()
    }

    /// Returns data that `authorize` attached to the connection.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.shared().data.get()
    }
}

impl futures_core::Stream for WebSocket {
    type Item = Message<'static>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

impl futures_core::Stream for Receiver {
    type Item = Message<'static>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

macro_rules! sink {
    ($($type:ty),*) => {$(
        impl futures_sink::Sink<Message<'static>> for $type {
            type Error = SendError;

            fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
                self.shared().poll_room(cx)
            }

            fn start_send(self: Pin<&mut Self>, message: Message<'static>) -> Result<(), SendError> {
                self.try_send(message)
            }

            /// Is ready at once: the driver writes what was queued without being asked.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
                Poll::Ready(Ok(()))
            }

            /// Does the closing handshake with 1000.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
                drop(self.close(everwire_proto::CloseCode::NORMAL_CLOSURE, "")?);
                self.shared().poll_closed(cx).map(|_| Ok(()))
            }
        }
    )*};
}

sink!(WebSocket, Sender);

/// Fills the queue of a [`WebSocket`], and runs the future that uses it in the same task: so no
/// message costs a wake-up of another task.
pub(crate) struct PullApp<F> {
    /// What the user does with the connection, if it lives here.
    companion: Option<Pin<Box<F>>>,
    /// The waker of this task, for which a wake-up would be in vain.
    own: Option<Waker>,
    /// The queue was full when it was last looked at.
    full: bool,
}

/// The companion of a connection whose user lives in another task.
pub(crate) type Elsewhere = std::future::Pending<()>;

impl PullApp<Elsewhere> {
    /// Returns the app of a connection whose user lives in another task.
    pub(crate) fn elsewhere() -> Self {
        Self { companion: None, own: None, full: false }
    }
}

impl<F: Future<Output = ()> + Send> PullApp<F> {
    /// Returns the app of a connection whose user is this future.
    pub(crate) fn with(companion: F) -> Self {
        Self { companion: Some(Box::pin(companion)), own: None, full: false }
    }
}

impl<F: Future<Output = ()> + Send> App for PullApp<F> {
    fn open(&mut self, _: &mut Conn<'_>) {}

    fn event(&mut self, conn: &mut Conn<'_>, event: Event<'_>) {
        let Event::Message(message) = event else { return };
        let mut state = conn.shared.lock();
        // Behind our Close, what nobody takes is discarded.
        let discard = state.receiver_gone
            || (conn.proto.state() != State::Open && state.inbox_bytes >= INBOX_LIMIT);
        if discard {
            return;
        }
        state.inbox_bytes += message.len() + MESSAGE_COST;
        state.inbox.push_back(message.into_owned());
        self.full = state.inbox_bytes >= INBOX_LIMIT;
        state.inbox_was_full = self.full;
        let elsewhere = match (&state.receiver, &self.own) {
            (Some(receiver), Some(own)) if receiver.will_wake(own) => None,
            _ => state.receiver.take(),
        };
        drop(state);
        wake(elsewhere);
    }

    fn is_ready(&mut self, shared: &Shared) -> bool {
        if self.full {
            let mut state = shared.lock();
            self.full = state.inbox_bytes >= INBOX_LIMIT;
            state.inbox_was_full = self.full;
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

    fn close(&mut self, _: &Shared, _: &Closure) {}
}
