//! The pull face: `recv` and `send`.

mod pull_app;
mod receiver;

use std::{
    any::Any,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use everwire_proto::{CloseCode, Message, Piece, SendError};

pub(crate) use self::pull_app::{Elsewhere, PullApp, Received};
pub use self::receiver::Receiver;

use crate::{
    Closing, Sender,
    shared::{Outgoing, Place, Shared, Until},
};

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
        self.shared().subprotocol()
    }

    /// Returns data that `authorize` attached to the connection.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.shared().data()
    }
}

impl futures_core::Stream for WebSocket {
    type Item = Message<'static>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
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
