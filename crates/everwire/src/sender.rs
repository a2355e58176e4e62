//! The sending handle.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use everwire_proto::{
    Cause, CloseCode, CloseFrame, Closure, Compress, DeflateParams, Message, PreparedMessage,
    SendError,
};
use tokio::time::timeout;

use crate::{
    ConnectionId,
    clock::TICK,
    shared::{Adjustment, Outgoing, Phase, Place, Shared, Until},
};

/// Sends on a connection from anywhere. Cheap to clone.
///
/// Messages of several senders never interleave. A message that was sent is in the connection's
/// bounded send queue; that the peer has it, only
/// [`flush_and_ping`](Self::flush_and_ping) shows.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    /// Held by the user's handles of a pull connection: when the last goes, so does it.
    guard: Option<Arc<Guard>>,
}

/// Ends the connection when its last handle is dropped and no closing has begun.
pub(crate) struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fail(Cause::Cancelled);
    }
}

impl Sender {
    pub(crate) fn unguarded(shared: Arc<Shared>) -> Self {
        Self { shared, guard: None }
    }

    /// Returns a sender that counts as a handle of the connection, with all its clones.
    pub(crate) fn guarded(shared: Arc<Shared>) -> Self {
        let guard = Some(Arc::new(Guard(shared.clone())));
        Self { shared, guard }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Queues a message, waiting while the send queue is full.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was queued. Whoever must keep the message uses
    /// [`reserve`](Self::reserve).
    pub async fn send(&self, message: impl Into<Message<'_>>) -> Result<(), SendError> {
        self.push_when_room(Outgoing::message(message.into())).await
    }

    /// Queues a message as [`send`](Self::send) does, and says whether it is compressed.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    ///
    /// # Examples
    /// ```
    /// use everwire::{Compress, SendError, Sender};
    ///
    /// async fn welcome(sender: &Sender, name: &str, token: &str) -> Result<(), SendError> {
    ///     // The name was chosen by a stranger; its length must tell nothing of the token.
    ///     sender.send_with(format!("{name} {token}"), Compress::Never).await
    /// }
    /// ```
    pub async fn send_with(
        &self,
        message: impl Into<Message<'_>>,
        compress: Compress,
    ) -> Result<(), SendError> {
        self.push_when_room(Outgoing::message_with(message.into(), compress)).await
    }

    /// Queues a message that was encoded before, waiting while the send queue is full.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.push_when_room(Outgoing::Prepared(message.clone())).await
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    /// [`SendError::Full`] when [`Limits::send_queue`](everwire_proto::Limits::send_queue) bytes
    /// wait already, or when something waits and another task is ahead in
    /// [`send`](Self::send) or [`reserve`](Self::reserve); [`SendError::Closed`] once closing has
    /// begun.
    pub fn try_send<'a>(&self, message: impl Into<Message<'a>>) -> Result<(), SendError> {
        self.shared.push_in_turn(Outgoing::message(message.into()))
    }

    /// Queues a message if there is room now, and says whether it is compressed.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_with<'a>(
        &self,
        message: impl Into<Message<'a>>,
        compress: Compress,
    ) -> Result<(), SendError> {
        self.shared.push(Outgoing::message_with(message.into(), compress))
    }

    /// Queues a message that was encoded before, if there is room now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.shared.push_in_turn(Outgoing::Prepared(message.clone()))
    }

    /// Has [`Handler::on_notify`](crate::Handler::on_notify) called soon, by the connection's
    /// driver: a way to have a handler look at what somebody else has left for it. Does nothing on
    /// the pull face.
    pub fn notify(&self) {
        self.shared.notify();
    }

    /// Waits until there is room for one more message.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn reserve(&self) -> Result<Permit<'_>, SendError> {
        self.shared.waiting(|cx, place| self.shared.poll_room(cx, Until::Room, place)).await?;
        Ok(Permit(self))
    }

    /// Serialises a value as JSON and queues it as a text message.
    ///
    /// # Errors
    /// [`JsonError::Json`](crate::JsonError::Json) if the value cannot be serialised; then nothing
    /// is sent. [`JsonError::Send`](crate::JsonError::Send) as [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[cfg(feature = "json")]
    pub async fn send_json<T: serde::Serialize + ?Sized>(
        &self,
        value: &T,
    ) -> Result<(), crate::JsonError> {
        let text = serde_json::to_string(value).map_err(crate::JsonError::Json)?;
        self.send(text).await.map_err(crate::JsonError::Send)
    }

    /// Queues a Ping with this payload of at most 125 bytes.
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`], [`SendError::Full`], [`SendError::Closed`].
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong(payload.len()));
        }
        self.shared.push(Outgoing::Ping(payload.into()))
    }

    /// Sends a Ping behind everything that was queued and waits for its Pong: then the peer's
    /// WebSocket stack has read all of it.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection ends before the Pong comes.
    ///
    /// # Cancel safety
    /// Nothing is lost; the Ping goes out all the same.
    pub async fn flush_and_ping(&self) -> Result<(), SendError> {
        let (number, asked) = tokio::sync::oneshot::channel();
        self.push_when_room(Outgoing::Probe(number)).await?;
        let ping = asked.await.map_err(|_| SendError::Closed)?;
        self.shared.waiting(|cx, place| self.shared.poll_answered(cx, ping, place)).await
    }

    /// Returns the smoothed round-trip time (RFC 6298), once a Ping was answered.
    #[must_use]
    pub fn rtt(&self) -> Option<std::time::Duration> {
        self.shared.rtt()
    }

    /// Returns when the last byte was received; before the first, when the connection was opened.
    #[must_use]
    pub fn last_received(&self) -> std::time::Instant {
        self.shared.last_received()
    }

    /// Asks the peer at once whether it lives, and waits until any byte of it shows that it does:
    /// for a network that changed, or a machine that woke up.
    ///
    /// A peer that shows nothing for as long as the path's round-trip time lets expect, at least
    /// 1 s and at most 5 s (3 s while it is not known), is given up, whatever the keepalive's
    /// policy: then [`closure`](Self::closure) says
    /// [`KeepaliveTimeout`](everwire_proto::Cause::KeepaliveTimeout). The deadline stands still
    /// while nothing is read because nobody receives; but a peer that does not read for so long is
    /// given up as well, because it cannot answer. Behind a full socket no Ping is sent; there
    /// the write timeout decides.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection ends before the peer shows life, or has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost; the peer is asked all the same, and given up if it does not answer.
    ///
    /// # Examples
    /// ```
    /// # async fn woken(sender: everwire::Sender) {
    /// if sender.probe().await.is_err() {
    ///     println!("{}", sender.closed().await);
    /// }
    /// # }
    /// ```
    pub async fn probe(&self) -> Result<(), SendError> {
        let (asked, answer) = tokio::sync::oneshot::channel();
        let probe = Adjustment(Box::new(|connection, now| {
            let before = connection.counters().bytes_received;
            if let Ok(ping) = connection.probe(now) {
                let _ = asked.send((ping, before));
            }
        }));
        self.shared.push_admitted(Outgoing::Adjust(probe))?;
        let (ping, before) = answer.await.map_err(|_| SendError::Closed)?;
        let is_alive = || self.shared.counters().bytes_received > before;
        // A Pong wakes whoever waits for one; other signs of life are looked for at each tick.
        while !is_alive() {
            let tick = tokio::time::sleep(TICK);
            let pong = self.shared.waiting(|cx, place| self.shared.poll_answered(cx, ping, place));
            match timeout(TICK, pong).await {
                // An earlier answer, because the queue was full and nothing was sent.
                Ok(Ok(())) if !is_alive() => tick.await,
                Ok(answered) => answered?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Starts the closing handshake and returns a future of how it went. Dropping that future
    /// stops nothing.
    ///
    /// [`CloseCode::NO_STATUS_RCVD`] sends a Close without a code and a reason.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<Closing, SendError> {
        self.shared.close(Cause::LocalClosed, CloseFrame::new(code, reason)?);
        Ok(Closing { shared: self.shared.clone(), place: Place::None })
    }

    /// Starts the closing handshake and lets the closure say why: what the application found out
    /// is told by the metrics and the log, and not lost in
    /// [`LocalClosed`](Cause::LocalClosed).
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    ///
    /// # Examples
    /// ```
    /// use everwire::{Because, CloseCode, SendError, Sender};
    ///
    /// fn publish(member: &Sender, text: &str) {
    ///     if let Err(SendError::Full { .. }) = member.try_send(text) {
    ///         let code = CloseCode::POLICY_VIOLATION;
    ///         member.close_because(Because::SlowConsumer, code, "too slow").ok();
    ///     }
    /// }
    /// ```
    pub fn close_because(
        &self,
        because: Because,
        code: CloseCode,
        reason: &str,
    ) -> Result<Closing, SendError> {
        self.shared.close(because.into(), CloseFrame::new(code, reason)?);
        Ok(Closing { shared: self.shared.clone(), place: Place::None })
    }

    /// Cuts the connection without a closing handshake.
    pub fn abort(&self) {
        self.shared.abort(Cause::Aborted);
    }

    /// Goes on reading after a handler stopped it with
    /// [`pause_reading`](crate::Conn::pause_reading).
    pub fn resume_reading(&self) {
        self.shared.resume_reading();
    }

    /// Waits until the server [shuts down](crate::Server::shutdown), or the closing of this
    /// connection has begun. From then until the grace is over there is time for a goodbye.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn draining(&self) {
        self.shared.waiting(|cx, place| self.shared.poll_draining(cx, place)).await;
    }

    /// Waits for the end of the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closed(&self) -> Arc<Closure> {
        self.shared.waiting(|cx, place| self.shared.poll_closed(cx, place)).await
    }

    /// Returns how the connection ended, once it has.
    #[must_use]
    pub fn closure(&self) -> Option<Arc<Closure>> {
        self.shared.closure()
    }

    /// Returns whether closing has begun or the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().phase != Phase::Open
    }

    /// Returns what was agreed upon about compression, if anything was.
    #[must_use]
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.shared.deflate()
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

    async fn push_when_room(&self, outgoing: Outgoing) -> Result<(), SendError> {
        let mut outgoing = Some(outgoing);
        self.shared.waiting(|cx, place| self.shared.poll_push(cx, &mut outgoing, place)).await
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("id", &self.shared.id)
            .field("guarded", &self.guard.is_some())
            .finish()
    }
}

/// Why an application closes a connection. See [`Sender::close_because`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// Somebody else wanted it: [`Cause::Kicked`].
    Kicked,
    /// A newer connection takes its place: [`Cause::Superseded`].
    Superseded,
    /// The peer does not keep up with what is sent to it: [`Cause::SlowConsumer`].
    SlowConsumer,
}

impl From<Because> for Cause {
    fn from(because: Because) -> Self {
        match because {
            Because::Kicked => Self::Kicked,
            Because::Superseded => Self::Superseded,
            Because::SlowConsumer => Self::SlowConsumer,
        }
    }
}

/// Room for one message. See [`Sender::reserve`].
#[derive(Debug)]
pub struct Permit<'a>(&'a Sender);

impl Permit<'_> {
    /// Queues the message.
    ///
    /// # Errors
    /// [`SendError::Closed`] if closing has begun meanwhile.
    pub fn send<'m>(self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.0.shared.push_admitted(Outgoing::message(message.into()))
    }
}

/// The closing handshake under way; resolves to how the connection ended.
#[derive(Debug)]
pub struct Closing {
    shared: Arc<Shared>,
    place: Place,
}

impl Future for Closing {
    type Output = Arc<Closure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arc<Closure>> {
        let Self { shared, place } = &mut *self;
        shared.poll_closed(cx, place)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.shared.leave(self.place);
    }
}
