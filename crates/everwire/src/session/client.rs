//! The client's side of sessions.
//!
//! ```text
//!   handles ──messages, orders──► Link: the session, what waits for the application
//!      ▲                           ▲
//!      └─events, states─┐          │ frames
//!                       └─ Runner ─┴─ Carrier: the connection that carries it
//!                            │
//!                            └─ Reconnector: when to open another
//! ```

mod builder;
mod carrier;
mod event;
#[cfg(feature = "json")]
mod file;
mod link;
mod opening;
mod runner;
mod store;
mod wait;

use std::{
    fmt,
    future::{Future, poll_fn},
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everwire_proto::Message as WsMessage;
use everwire_session::{ClientSession, Code, Direction, Kind, Message, Prepared, SendError};
use futures_core::Stream;
use tokio::sync::watch;

#[cfg(feature = "json")]
pub use self::file::SessionFile;
pub use self::{
    builder::SessionClientBuilder,
    event::{ClientEnd, ClientEvent, ClientState, ClientStop, Missing, SessionEnd},
    store::{SessionStore, Snapshot, SnapshotChange, StoreError},
};
use self::{builder::Setup, link::Link};
use crate::{Client, dial::UrlError};

/// A client's session, which outlives its connections. It dereferences to [`ClientSender`].
///
/// A task of its own opens connections, as the [policy](crate::reconnect::ReconnectPolicy) and the
/// server say, until there is an [end](ClientEvent::Ended). Each message is handed out once and in
/// order, in both directions; where that cannot be kept, both applications are told before the next
/// message. A path that looks dead is raced by a second connection, and the session goes on wherever
/// it can.
///
/// A server that does not speak `everwire.v1` is an end:
/// [`AttemptError::NoSessions`](crate::reconnect::AttemptError::NoSessions). For such there is
/// [`ReconnectingClient`](crate::ReconnectingClient).
///
/// [`close`](ClientSender::close) ends the session properly. Dropping all handles ends it at once,
/// with what was not sent; with a [store](SessionClientBuilder::store) it leaves the session to the
/// next process instead.
///
/// # Examples
/// ```
/// use everwire::session::{ClientEvent, Code, SessionClient};
///
/// # use everwire::{Conn, Handler, Message, Server, session::*};
/// # struct Echo;
/// # impl Handler for Echo { fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {} }
/// # impl SessionHandler for Echo {
/// #     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
/// #         session.send_message(&message).ok();
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sessions = Sessions::builder().push(|_| Echo);
/// # let server = Server::builder().bind("127.0.0.1:0").push("/", |_| Echo).sessions(&sessions).start().await?;
/// # let url = format!("ws://{}/", server.addrs()[0]);
/// let mut client = SessionClient::connect(&url)?;
/// client.send("hello").await?; // Also before there is a connection, and while there is none.
/// while let Some(event) = client.next().await {
///     match event {
///         ClientEvent::Message(message) => {
///             println!("{:?}", message.as_text());
///             drop(client.close(Code::NORMAL, "all is said"));
///         }
///         ClientEvent::Lost { unacknowledged, .. } => println!("lost: {unacknowledged:?}"),
///         ClientEvent::Ended(end) => println!("{end}"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(()) }
/// ```
pub struct SessionClient {
    sender: ClientSender,
    receiver: ClientReceiver,
}

impl SessionClient {
    fn new(link: Arc<Link>, states: watch::Receiver<ClientState>) -> Self {
        let guard = Arc::new(Guard(link.clone()));
        let receiver = ClientReceiver { link: link.clone(), _guard: guard.clone() };
        Self { sender: ClientSender { link, _guard: guard, states }, receiver }
    }

    /// Connects to a URL with every default, and again whenever it makes sense.
    ///
    /// # Errors
    /// [`UrlError`] if that is no URL to connect to. What happens later is an event.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn connect(url: &str) -> Result<Self, UrlError> {
        Ok(Self::builder(Client::new(url)?).start().expect("there is no store to load from"))
    }

    /// Returns a builder of clients that connect like this one. Its subprotocols are offered behind
    /// `everwire.v1`.
    pub fn builder(client: Client) -> SessionClientBuilder {
        SessionClientBuilder::new(client)
    }

    /// Splits into a half that sends and a half that receives, for two tasks.
    #[must_use]
    pub fn split(self) -> (ClientSender, ClientReceiver) {
        (self.sender, self.receiver)
    }

    /// Returns what happens next; `None` for ever behind [`Ended`](ClientEvent::Ended).
    ///
    /// # Cancel safety
    /// Nothing is lost. With a store, to ask says that the application is done with the message
    /// before.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.receiver.next().await
    }

    /// Receives the next message, or what is missing before it; `None` for ever once the client has
    /// stopped.
    ///
    /// # Errors
    /// [`Missing`]: messages of the server that will not come.
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn recv(&mut self) -> Option<Result<Message, Missing>> {
        self.receiver.recv().await
    }

    /// Returns what releases the last message, as [`ClientReceiver::receipt`] does.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        self.receiver.receipt()
    }
}

impl Deref for SessionClient {
    type Target = ClientSender;

    fn deref(&self) -> &ClientSender {
        &self.sender
    }
}

/// The sending half of a [`SessionClient`], and its controls. Cheap to clone.
///
/// # Examples
/// ```no_run
/// use everwire::session::{Code, SessionClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, mut receiver) = SessionClient::connect("wss://example.com/orders")?.split();
/// tokio::spawn(async move {
///     while let Some(event) = receiver.next().await {
///         println!("{event:?}");
///     }
/// });
/// sender.send("two of them").await?;
/// let end = sender.close(Code::NORMAL, "").await;
/// for message in &end.unacknowledged {
///     println!("may not have arrived: {message:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientSender {
    link: Arc<Link>,
    /// Ends the client when the last handle drops it.
    _guard: Arc<Guard>,
    states: watch::Receiver<ClientState>,
}

impl ClientSender {
    /// Sends a message, waiting while what the server has not acknowledged fills the buffer; returns
    /// its number. It is kept until the server lets it be forgotten, with or without a connection.
    ///
    /// # Errors
    /// [`SendError`], but never [`Full`](SendError::Full).
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was sent.
    pub async fn send(&self, message: impl Into<WsMessage<'_>>) -> Result<u64, SendError> {
        let message = prepared(message.into());
        self.link.send_when_room(&message).await
    }

    /// Sends a message if there is room for it; returns its number.
    ///
    /// # Errors
    /// [`SendError`]: the buffer is full, the message is larger than the server takes, or the client
    /// has stopped or is closing.
    pub fn try_send<'a>(&self, message: impl Into<WsMessage<'a>>) -> Result<u64, SendError> {
        self.link.send(prepared(message.into()))
    }

    /// Sends a message that may be dropped, such as a position that the next one replaces; returns
    /// whether it was queued. Without a connection it is not.
    pub fn send_volatile<'a>(&self, message: impl Into<WsMessage<'a>>) -> bool {
        match message.into() {
            WsMessage::Text(text) => self.link.send_volatile(Kind::Text, text.as_bytes()),
            WsMessage::Binary(payload) => self.link.send_volatile(Kind::Binary, &payload),
        }
    }

    /// Gives back the credit of the message with this [receipt](ClientReceiver::receipt) and of all
    /// before it; with [`Acks::Manual`](super::Acks::Manual) the server may forget them, and with a
    /// store they do not come again. A receipt of a session that was lost since does nothing.
    pub fn release(&self, receipt: Receipt) {
        self.link.release(receipt);
    }

    /// Says goodbye once all that was accepted has been sent. While there is no connection, that is
    /// tried for as long as the server keeps the session. Returns a future of how it went; dropping
    /// that stops nothing.
    pub fn close(
        &self,
        code: Code,
        reason: &str,
    ) -> impl Future<Output = Arc<ClientEnd>> + Send + use<> {
        let close = (code, reason.to_owned());
        self.link.order(|orders| orders.close = orders.close.take().or(Some(close)));
        let mut states = self.states();
        async move { states.ended().await }
    }

    /// Stops without ending the session, which the next client with the same
    /// [store](SessionClientBuilder::store) goes on with, as long as the server keeps it: messages
    /// that were not handed out are, there. Without a store nobody can. Returns a future as [`close`](Self::close) does.
    pub fn leave(&self) -> impl Future<Output = Arc<ClientEnd>> + Send + use<> {
        self.link.order(|orders| orders.leave = true);
        let mut states = self.states();
        async move { states.ended().await }
    }

    /// Tells that the network came back or changed, or the device woke up: an attempt is made at
    /// once, an attached connection is asked for life.
    ///
    /// Not sooner than the server asked for, and at most one attempt a second: it may be called as
    /// often as events come.
    pub fn wake(&self) {
        self.link.order(|orders| orders.wake = true);
    }

    /// Returns what the client is doing.
    #[must_use]
    pub fn state(&self) -> ClientState {
        self.states.borrow().clone()
    }

    /// Returns a watch over what the client is doing. Who looks rarely sees the latest state alone.
    #[must_use]
    pub fn states(&self) -> ClientStates {
        ClientStates { watch: self.link.states(), first: true }
    }

    /// Waits until the client has stopped for good, as [`Ended`](ClientState::Ended) says.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn ended(&self) -> Arc<ClientEnd> {
        self.states().ended().await
    }

    /// Returns the session's name for logs; empty before the first.
    #[must_use]
    pub fn id(&self) -> Bytes {
        self.link.look(|session| session.id().clone())
    }

    /// Returns the smoothed round trip between the two ends, once there is one.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.link.look(ClientSession::rtt)
    }

    /// Returns the bytes and the messages that the server may still need.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize) {
        self.link.look(ClientSession::buffered)
    }
}

impl fmt::Debug for ClientSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSender").field("state", &*self.states.borrow()).finish()
    }
}

impl fmt::Debug for SessionClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionClient").field("state", &self.sender.state()).finish()
    }
}

/// Names a message of the server that was handed out, of one session among those that a client has
/// one after the other.
///
/// # Examples
/// ```no_run
/// use everwire::{Client, session::{Acks, SessionClient}};
///
/// # async fn write_to_database(_: everwire::session::SessionMessage) {}
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = SessionClient::builder(Client::new("wss://example.com/orders")?);
/// let mut client = client.acks(Acks::Manual).start()?;
/// while let Some(Ok(message)) = client.recv().await {
///     let receipt = client.receipt();
///     write_to_database(message).await;
///     // Only now may the server forget it.
///     receipt.into_iter().for_each(|receipt| client.release(receipt));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    generation: u64,
    number: u64,
}

/// The receiving half of a [`SessionClient`]. Dropped, what comes in is discarded from then on; with
/// a [store](SessionClientBuilder::store) nothing is discarded, the next process receives it: what
/// was not taken counts against the [window](SessionClientBuilder::window) until then.
pub struct ClientReceiver {
    link: Arc<Link>,
    /// Ends the client when the last handle drops it.
    _guard: Arc<Guard>,
}

impl ClientReceiver {
    /// Returns what happens next, as [`SessionClient::next`] does.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Receives the next message, or what is missing before it, as [`SessionClient::recv`] does.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv(&mut self) -> Option<Result<Message, Missing>> {
        loop {
            match self.next().await? {
                ClientEvent::Message(message) => return Some(Ok(message)),
                ClientEvent::Gap(Direction::In, gap) => return Some(Err(Missing::Gap(gap))),
                ClientEvent::Lost { unacknowledged, end } => {
                    return Some(Err(Missing::Lost { unacknowledged, end }));
                }
                _ => {}
            }
        }
    }

    /// Returns what [releases](ClientSender::release) the last message that was handed out; `None`
    /// before the first. Volatile messages have none.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        self.link.receipt()
    }

    /// Polls for what happens next.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.link.poll_event(cx)
    }
}

impl Drop for ClientReceiver {
    fn drop(&mut self) {
        self.link.receiver_gone();
    }
}

impl Stream for ClientReceiver {
    type Item = ClientEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.poll_event(cx)
    }
}

impl Stream for SessionClient {
    type Item = ClientEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.receiver.poll_event(cx)
    }
}

impl fmt::Debug for ClientReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientReceiver").finish_non_exhaustive()
    }
}

/// A watch over what a client is doing.
///
/// # Examples
/// ```no_run
/// use everwire::session::{ClientState, SessionClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = SessionClient::connect("wss://example.com/orders")?;
/// let mut states = client.states();
/// while let Some(state) = states.next().await {
///     match state {
///         ClientState::Attached => println!("online"),
///         other => println!("offline: {other}"), // As in "detached, connecting in 0.6 s, attempt 2".
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ClientStates {
    watch: watch::Receiver<ClientState>,
    first: bool,
}

impl ClientStates {
    /// Returns the present state, then waits for another; `None` for ever after `Ended`.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<ClientState> {
        if !std::mem::replace(&mut self.first, false) {
            let is_last = self.watch.borrow().ended().is_some();
            if is_last && !self.watch.has_changed().unwrap_or(false) {
                return None;
            }
            self.watch.changed().await.ok()?;
        }
        Some(self.watch.borrow_and_update().clone())
    }

    async fn ended(&mut self) -> Arc<ClientEnd> {
        match self.watch.wait_for(|state| state.ended().is_some()).await {
            Ok(state) => state.ended().cloned(),
            Err(_) => None,
        }
        .unwrap_or_else(|| {
            Arc::new(ClientEnd { why: ClientStop::Dropped, unacknowledged: Vec::new() })
        })
    }
}

/// Ends the client when its last handle is dropped.
struct Guard(Arc<Link>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.order(|orders| orders.dropped = true);
    }
}

fn prepared(message: WsMessage<'_>) -> Prepared {
    match message {
        WsMessage::Text(text) => Prepared::text(&text),
        WsMessage::Binary(payload) => Prepared::binary(&payload),
    }
}
