//! The receiving half of the pull face.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use everwire_proto::{Closure, Message, MessageKind, Payload, Piece, Text};

use super::Received;
use crate::{
    Sender,
    shared::{Decided, Inbox, wake},
};

/// The receiving half of a [`WebSocket`](crate::WebSocket).
///
/// Dropped, it discards what comes in from then on, so that pings and Close are still handled.
pub struct Receiver {
    pub(super) sender: Sender,
    pub(super) request: Option<Arc<http::Request<()>>>,
    /// The start of a message that comes in pieces but is received whole.
    pub(super) assembly: Vec<u8>,
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

    /// Receives the next message, or learns once why there are no more, with the peer's Close, as soon
    /// as that is decided; `None` for ever once the connection has ended. Of a connection of
    /// [`Client::connect_telling`](crate::Client::connect_telling) only: others do not keep why.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn recv_or_end(&mut self) -> Option<Result<Message<'static>, Decided>> {
        poll_fn(|cx| match self.poll_recv(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            end => match self.sender.shared().lock().inbox().decided.take() {
                Some(decided) => Poll::Ready(Some(Err(decided))),
                None => end.map(|_| None),
            },
        })
        .await
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
        let inbox = state.inbox();
        if let Some(received) = inbox.queue.pop_front() {
            inbox.bytes -= received.cost();
            let has_room_now = inbox.was_full && !shared.is_inbox_full(inbox);
            let driver = if has_room_now { shared.alert(&state) } else { None };
            drop(state);
            wake(driver);
            return Poll::Ready(Some(received));
        }
        if state.closure.is_some() {
            return Poll::Ready(None);
        }
        let inbox = state.inbox();
        if !inbox.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inbox.receiver = Some(cx.waker().clone());
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
        let gone = Inbox { receiver_gone: true, ..Inbox::default() };
        let inbox = std::mem::replace(state.inbox(), gone);
        let driver = self.sender.shared().alert(&state);
        drop(state);
        drop(inbox);
        wake(driver);
    }
}

impl futures_core::Stream for Receiver {
    type Item = Message<'static>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("id", &self.sender.id()).finish_non_exhaustive()
    }
}

/// Turns bytes that were validated as they came into text. Only the rest of a message whose start
/// was taken by `recv_piece` can begin inside a character.
fn text(payload: Payload<'static>) -> Text<'static> {
    let bytes = payload.into_bytes();
    Text::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}
