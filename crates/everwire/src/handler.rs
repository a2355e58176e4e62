//! The push face: a value per connection whose methods are called as things happen.

use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use everwire_proto::{
    Advice, Cause, CloseCode, Closure, Compress, Connection, DeflateParams, Event, Message,
    MessageKind, Payload, Piece, PreparedMessage, SendError,
};

use crate::{
    ConnectionId, Sender,
    driver::{App, Called},
    shared::{Outgoing, Shared},
};

/// What a server or client does with one connection. One value per connection.
///
/// The methods are called by the connection's driver, one after the other, and must not block: a
/// call that takes long holds up every connection of its thread. That is logged, with the
/// connection's id if it happens again. A panic ends the connection with 1011; no method is called
/// afterwards.
///
/// # Examples
/// An echo server in three lines:
/// ```
/// use everwire::{Conn, Handler, Message};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
///         conn.send(message).ok();
///     }
/// }
/// ```
pub trait Handler: Send + 'static {
    /// Is called once, before anything else.
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// Is called for each message. The payload is borrowed from the input where it arrived whole.
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>);

    /// Is called for each piece of a message, with
    /// [`Delivery::Pieces`](everwire_proto::Delivery::Pieces).
    fn on_piece(&mut self, conn: &mut Conn<'_>, piece: Piece<'_>) {
        let _ = (conn, piece);
    }

    /// Is called for each Pong.
    fn on_pong(&mut self, conn: &mut Conn<'_>, payload: Payload<'_>) {
        let _ = (conn, payload);
    }

    /// Is called after [`Sender::notify`], once however often that was called in the meantime.
    fn on_notify(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// Is called once if the server [shuts down](crate::Server::shutdown), before it closes the
    /// connection. What is sent here leaves before the Close; closing here is as good as leaving it
    /// to the server.
    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// Is called exactly once, last, with how the connection ended.
    fn on_close(&mut self, closure: &Closure) {
        let _ = closure;
    }
}

/// The connection, lent to a [`Handler`] while it is called. What is sent here leaves in one write
/// with everything else that is sent while one piece of input is handled.
pub struct Conn<'a> {
    pub(crate) proto: &'a mut Connection,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) now: Instant,
    flags: &'a mut HandlerFlags,
}

/// What a handler leaves behind for its next call.
#[derive(Default)]
pub(crate) struct HandlerFlags {
    /// It asked to stop reading.
    pub(crate) paused: bool,
    /// It is sending a message in pieces.
    streaming: bool,
}

impl<'a> Conn<'a> {
    #[inline]
    pub(crate) fn new(
        proto: &'a mut Connection,
        shared: &'a Arc<Shared>,
        now: Instant,
        flags: &'a mut HandlerFlags,
    ) -> Self {
        Self { proto, shared, now, flags }
    }
}

impl Conn<'_> {
    /// Queues a message, whole or not at all.
    ///
    /// # Errors
    /// [`SendError::Full`] when [`Limits::send_queue`](everwire_proto::Limits::send_queue) bytes
    /// wait already, [`SendError::Closed`] once closing has begun, [`SendError::MessageOpen`] while
    /// the handler is sending a message in pieces itself. Behind one that a [`MessageWriter`] is
    /// sending, it waits in the send queue.
    ///
    /// [`MessageWriter`]: crate::MessageWriter
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        if self.proto.has_open_message() && !self.flags.streaming {
            return self.shared.push(Outgoing::message(message.into()));
        }
        self.proto.send(message)
    }

    /// Queues a message as [`send`](Self::send) does, and says whether it is compressed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), SendError> {
        if self.proto.has_open_message() && !self.flags.streaming {
            return self.shared.push(Outgoing::message_with(message.into(), compress));
        }
        self.proto.send_with(message, compress)
    }

    /// Queues a message that was encoded before.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if self.proto.has_open_message() && !self.flags.streaming {
            return self.shared.push(Outgoing::Prepared(message.clone()));
        }
        self.proto.send_prepared(message)
    }

    /// Starts a message that is sent in pieces. What others send waits until it is finished.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::MessageOpen`] if one is open already, be it of a
    /// [`MessageWriter`](crate::MessageWriter).
    pub fn start_message(&mut self, kind: MessageKind) -> Result<(), SendError> {
        self.start_message_with(kind, Compress::default())
    }

    /// Starts a message as [`start_message`](Self::start_message) does, and says whether it is
    /// compressed.
    ///
    /// # Errors
    /// As [`start_message`](Self::start_message).
    pub fn start_message_with(
        &mut self,
        kind: MessageKind,
        compress: Compress,
    ) -> Result<(), SendError> {
        self.shared.try_begin_stream()?;
        let started = self.proto.start_message_with(kind, compress);
        match started {
            Ok(()) => self.flags.streaming = true,
            Err(_) => self.shared.end_stream(None),
        }
        started
    }

    /// Queues a piece of the message that was started.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::NoMessageOpen`] if none was started.
    pub fn send_piece<'m>(&mut self, piece: impl Into<Payload<'m>>) -> Result<(), SendError> {
        self.check_streaming()?;
        self.proto.send_piece(piece)
    }

    /// Ends the message that was started.
    ///
    /// # Errors
    /// As [`send_piece`](Self::send_piece).
    pub fn finish_message<'m>(&mut self, last: impl Into<Payload<'m>>) -> Result<(), SendError> {
        self.check_streaming()?;
        self.proto.finish_message(last)?;
        self.flags.streaming = false;
        self.shared.end_stream(None);
        Ok(())
    }

    fn check_streaming(&self) -> Result<(), SendError> {
        if self.flags.streaming { Ok(()) } else { Err(SendError::NoMessageOpen) }
    }

    /// Queues a Ping with this payload of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::ControlTooLong`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.proto.ping(payload)
    }

    /// Starts the closing handshake; [`Handler::on_close`] tells how it went.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.proto.close(self.now, code, reason)
    }

    /// Cuts the connection without a closing handshake.
    pub fn abort(&mut self) {
        self.proto.abort(self.now, Cause::Aborted);
    }

    /// Stops reading after what is in hand, until [`Sender::resume_reading`] is called.
    pub fn pause_reading(&mut self) {
        self.flags.paused = true;
    }

    /// Returns a handle for sending from elsewhere.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::unguarded(self.shared.clone())
    }

    /// Returns when the client is to come back, as the Close will say at the end of the drain that is
    /// under way.
    pub(crate) fn drain_advice(&self) -> Option<Advice> {
        let registry = self.shared.lock().registry.clone();
        registry.and_then(|registry| registry.advice())
    }

    /// Returns the id of the connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// Returns the address that the socket is connected to.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.shared.peers.remote()
    }

    /// Returns the address of the socket on this side.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.peers.local()
    }

    /// Returns the address of the client, which a trusted proxy may have told.
    #[must_use]
    pub fn client_ip(&self) -> Option<std::net::IpAddr> {
        self.shared.client_ip()
    }

    /// Returns the path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.shared.path
    }

    /// Returns the subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol()
    }

    /// Returns what was agreed upon about compression, if anything was.
    #[must_use]
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.shared.deflate()
    }

    /// Returns data that `authorize` attached to the connection.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.shared.data()
    }

    /// Returns how many bytes wait to be written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.proto.transmit_len()
    }

    /// Returns the smoothed round-trip time, once a Ping was answered.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.proto.rtt()
    }

    /// Returns when the last byte was received.
    #[must_use]
    pub fn last_received(&self) -> Instant {
        self.proto.last_received()
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

/// Lets the driver run a [`Handler`]; after a panic there is none.
pub(crate) struct HandlerApp<H>(Option<H>);

impl<H: Handler> HandlerApp<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self(Some(handler))
    }

    /// Calls the handler; a panic ends the connection.
    #[inline]
    fn call(&mut self, conn: &mut Conn<'_>, call: impl FnOnce(&mut H, &mut Conn<'_>)) {
        let Some(handler) = &mut self.0 else { return };
        if catch_unwind(AssertUnwindSafe(|| call(handler, conn))).is_err() {
            // Its value may be half changed: no more calls, and its drop is guarded as well.
            let poisoned = self.0.take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(poisoned)));
            tracing::error!(id = %conn.shared.id, path = %conn.shared.path, "handler panicked");
            conn.proto.fail(conn.now, Cause::HandlerPanicked);
        }
    }
}

impl<H: Handler> App for HandlerApp<H> {
    type Batch = ();

    fn open(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, H::on_open);
    }

    fn notify(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, H::on_notify);
    }

    fn drain(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, H::on_drain);
    }

    #[inline]
    fn event(&mut self, conn: &mut Conn<'_>, (): &mut (), event: Event<'_>) {
        match event {
            Event::Message(message) => self.call(conn, |h, conn| h.on_message(conn, message)),
            Event::Piece(piece) => self.call(conn, |h, conn| h.on_piece(conn, piece)),
            Event::Pong(payload) => self.call(conn, |h, conn| h.on_pong(conn, payload)),
            _ => {}
        }
        if conn.shared.has_news() {
            // It may have answered through a handle, and what follows may be a Close.
            conn.proto.hold_end();
        }
    }

    fn close(&mut self, shared: &Shared, closure: &Closure) {
        let Some(mut handler) = self.0.take() else { return };
        let call = AssertUnwindSafe(|| {
            handler.on_close(closure);
            drop(handler);
        });
        if catch_unwind(call).is_err() {
            tracing::error!(id = %shared.id, path = %shared.path, "handler panicked in on_close");
        }
    }
}

impl<H: Handler> Called for HandlerApp<H> {}

impl Shared {
    /// Returns the address of the client behind trusted proxies, or of the socket.
    pub(crate) fn client_ip(&self) -> Option<std::net::IpAddr> {
        self.peers.client()
    }
}
