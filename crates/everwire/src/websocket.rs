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
    task::{Context, Poll, Waker, ready},
};

use everwire_proto::{
    CloseCode, Closure, Event, Message, MessageKind, Payload, Piece, SendError, State, Text,
};

use crate::{
    Closing, Conn, Sender,
    driver::{App, Panicked},
    shared::{Outgoing, Place, Shared, Until, wake},
};

/// What a queued message counts beside its payload, so that empty ones fill the queue too.
const MESSAGE_COST: usize = 64;

/// A WebSocket connection for application code.
///
/// Pings are answered, the heartbeat runs and closing works whether or not anybody is in
/// [`recv`](Self::recv), as far as the queue of received messages reaches: 64 KiB
/// ([`Limits::receive_queue`](everwire_proto::Limits::receive_queue)) or one message. Behind a full
/// queue reading stops.
///
/// Dropping it, and every [`Sender`] cloned from it, ends the connection: what was queued is
/// written, then a Close with 1001, and nobody waits for the answer
/// ([`Cause::Cancelled`](everwire_proto::Cause::Cancelled)). [`close`](Sender::close) ends it
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
        let receiver = Receiver { sender: sender.clone(), request, assembly: Vec::new() };
        Self { sender, receiver }
    }

    /// Splits into a half that sends and a half that receives, for two tasks.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    // `send` and `close` are here as well as in `Sender`, so that a `SinkExt` in scope does not
    // come between.

    /// Queues a message, waiting while the send queue is full. See [`Sender::send`].
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was queued.
    pub async fn send(&self, message: impl Into<Message<'_>>) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// Starts the closing handshake and returns a future of how it went. See [`Sender::close`].
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<Closing, SendError> {
        self.sender.close(code, reason)
    }

    /// Receives the next message; `None` for ever once the connection has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Message<'static>> {
        self.receiver.recv().await
    }

    /// Receives the next piece of a message; `None` for ever once the connection has ended. See
    /// [`Receiver::recv_piece`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv_piece(&mut self) -> Option<Piece<'static>> {
        self.receiver.recv_piece().await
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
    /// The start of a message that comes in pieces but is received whole.
    assembly: Vec<u8>,
}

impl Receiver {
    /// Receives the next message; `None` for ever once the connection has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Message<'static>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Receives the next piece of a message; `None` for ever once the connection has ended.
    ///
    /// With [`Delivery::Pieces`](everwire_proto::Delivery::Pieces) a message is handed out as it
    /// arrives, never held whole; else each message is one piece. A piece is at most what was read
    /// at once, and the end of a connection can leave a message without its last piece.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv_piece(&mut self) -> Option<Piece<'static>> {
        poll_fn(|cx| self.poll_recv_piece(cx)).await
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
        loop {
            match ready!(self.poll_received(cx)) {
                Some(Received::Message(message)) => return Poll::Ready(Some(message)),
                Some(Received::Piece(piece)) => {
                    if let Some(message) = self.assemble(piece) {
                        return Poll::Ready(Some(message));
                    }
                }
                None => return Poll::Ready(None),
            }
        }
    }

    /// Polls for the next piece of a message.
    pub fn poll_recv_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece<'static>>> {
        self.poll_received(cx).map(|received| {
            received.map(|received| match received {
                Received::Message(message) => {
                    Piece::new(message.kind(), true, true, message.into_payload())
                }
                Received::Piece(piece) => piece,
            })
        })
    }

    /// Puts a message together whose pieces are not asked for; the limit on messages bounds it.
    fn assemble(&mut self, piece: Piece<'static>) -> Option<Message<'static>> {
        let payload = if piece.first && piece.last {
            piece.payload
        } else {
            self.assembly.extend_from_slice(&piece.payload);
            if !piece.last {
                return None;
            }
            std::mem::take(&mut self.assembly).into()
        };
        Some(match piece.kind {
            MessageKind::Text => Message::Text(text(payload)),
            MessageKind::Binary => Message::Binary(payload),
        })
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let shared = self.sender.shared();
        let mut state = shared.lock();
        if let Some(received) = state.inbox.pop_front() {
            state.inbox_bytes -= received.cost();
            let driver = if state.inbox_was_full && !shared.is_inbox_full(&state) {
                shared.alert(&state)
            } else {
                None
            };
            drop(state);
            wake(driver);
            return Poll::Ready(Some(received));
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
        state.inbox_bytes = 0;
        let inbox = std::mem::take(&mut state.inbox);
        let receiver = state.receiver.take();
        let driver = self.sender.shared().alert(&state);
        drop(state);
        drop((inbox, receiver));
        wake(driver);
    }
}

/// What waits for `recv`.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Message<'static>),
    Piece(Piece<'static>),
}

impl Received {
    fn cost(&self) -> usize {
        MESSAGE_COST
            + match self {
                Self::Message(message) => message.len(),
                Self::Piece(piece) => piece.payload.len(),
            }
    }
}

/// Turns bytes that were validated as they came into text. Only the rest of a message whose start
/// was taken by `recv_piece` can begin inside a character.
fn text(payload: Payload<'static>) -> Text<'static> {
    let bytes = payload.into_bytes();
    Text::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
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
        self.shared().peers.local()
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
                self.shared().poll_room(cx, Until::Room, &mut Place::ByTask)
            }

            fn start_send(self: Pin<&mut Self>, message: Message<'static>) -> Result<(), SendError> {
                // `poll_ready` has seen room for one, and a sink cannot give the message back.
                self.shared().push_admitted(Outgoing::message(message))
            }

            /// Is ready at once: the driver writes what was queued without being asked.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
                Poll::Ready(Ok(()))
            }

            /// Does the closing handshake with 1000.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
                drop(self.close(CloseCode::NORMAL_CLOSURE, "")?);
                self.shared().poll_closed(cx, &mut Place::ByTask).map(|_| Ok(()))
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
        if !matches!(event, Event::Message(_) | Event::Piece(_)) {
            return;
        }
        let mut state = conn.shared.lock();
        // Behind our Close, what nobody takes is discarded.
        let discard = state.receiver_gone
            || (conn.proto.state() != State::Open && conn.shared.is_inbox_full(&state));
        if discard {
            return;
        }
        let received = match event {
            Event::Message(message) => Received::Message(message.into_owned()),
            Event::Piece(piece) => Received::Piece(piece.into_owned()),
            _ => return,
        };
        state.inbox_bytes += received.cost();
        state.inbox.push_back(received);
        // What follows may be a Close; this is to be answered first.
        conn.proto.hold_end();
        self.full = conn.shared.is_inbox_full(&state);
        state.inbox_was_full = self.full;
        let elsewhere = match (&state.receiver, &self.own) {
            (Some(receiver), Some(own)) if receiver.will_wake(own) => None,
            _ => state.receiver.take(),
        };
        drop(state);
        elsewhere.into_iter().for_each(Waker::wake);
    }

    fn is_ready(&mut self, shared: &Shared) -> bool {
        if self.full {
            let mut state = shared.lock();
            self.full = shared.is_inbox_full(&state);
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

    fn is_companion_here(&self) -> bool {
        self.companion.is_some()
    }

    fn close(&mut self, _: &Shared, _: &Closure) {}
}
