//! The handles of a reconnecting client.

use std::{
    fmt,
    future::{Future, poll_fn},
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use everwire_proto::{CloseCode, CloseFrame, Message, SendError};
use tokio::sync::watch;

use super::{
    NotSent, ReconnectBuilder, Sent, State, States, Stop, Tally,
    link::{Admission, Inbound, Link, Pause},
};
use crate::{Client, dial::UrlError};

/// A client that connects again when its connection ends.
///
/// A task of its own makes the attempts, as the [policy](super::ReconnectPolicy) and the server
/// say, until an ending is [not worth another](super::Ending::retry). Messages of all connections
/// come out of one [`recv`](Self::recv), each with the number of its connection.
///
/// **Messages are delivered at most once.** What was handed to a connection that dies is not sent
/// again on the next: the peer may have read it. Whoever needs more puts a number into the messages
/// and asks the peer, in [`on_connect`](super::ReconnectBuilder::on_connect), which was the last.
///
/// Dropping all its handles ends it, and the connection as a dropped
/// [`WebSocket`](crate::WebSocket) does; [`close`](ReconnectingSender::close) ends it properly.
///
/// # Examples
/// ```
/// use everwire::{CloseCode, Server, WebSocket, reconnect::ReconnectingClient};
///
/// # async fn echo(mut ws: WebSocket) {
/// #     while let Some(message) = ws.recv().await { ws.send(message).await.ok(); }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Server::builder().bind("127.0.0.1:0").pull("/", echo).start().await?;
/// # let url = format!("ws://{}/", server.addrs()[0]);
/// let mut client = ReconnectingClient::connect(&url)?;
/// client.open().await?;
/// client.send("hello").await?;
/// let incoming = client.recv().await.unwrap();
/// assert_eq!((incoming.generation, incoming.message.as_text()), (1, Some("hello")));
/// println!("{}", client.close(CloseCode::NORMAL_CLOSURE, "bye")?.await);
/// # Ok(()) }
/// ```
pub struct ReconnectingClient {
    sender: ReconnectingSender,
    receiver: ReconnectingReceiver,
}

impl ReconnectingClient {
    pub(super) fn new(link: Arc<Link>, states: watch::Receiver<State>) -> Self {
        let guard = Arc::new(Guard(link.clone()));
        let receiver =
            ReconnectingReceiver { link: link.clone(), _guard: guard.clone(), current: None };
        Self { sender: ReconnectingSender { link, _guard: guard, states }, receiver }
    }

    /// Connects to a URL with every default, and again whenever it makes sense.
    ///
    /// # Errors
    /// [`UrlError`] if that is no URL to connect to. What happens later is a [state](State).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn connect(url: &str) -> Result<Self, UrlError> {
        Ok(Self::builder(Client::new(url)?).start())
    }

    /// Returns a builder of clients that connect like this one.
    pub fn builder(client: Client) -> ReconnectBuilder {
        ReconnectBuilder::new(client)
    }

    /// Splits into a half that sends and a half that receives, for two tasks.
    #[must_use]
    pub fn split(self) -> (ReconnectingSender, ReconnectingReceiver) {
        (self.sender, self.receiver)
    }

    /// Receives the next message, of whichever connection; `None` for ever once the client has
    /// stopped.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Incoming> {
        self.receiver.recv().await
    }
}

impl Deref for ReconnectingClient {
    type Target = ReconnectingSender;

    fn deref(&self) -> &ReconnectingSender {
        &self.sender
    }
}

/// The sending half of a [`ReconnectingClient`], and its controls. Cheap to clone.
#[derive(Clone)]
pub struct ReconnectingSender {
    link: Arc<Link>,
    /// Ends the client when the last handle drops it.
    _guard: Arc<Guard>,
    states: watch::Receiver<State>,
}

impl ReconnectingSender {
    /// Hands a message to the connection, waiting while its send queue is full. Without a connection
    /// it does what was [chosen](super::ReconnectBuilder::while_down).
    ///
    /// # Errors
    /// [`NotSent`] if the message was not taken.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was sent or queued.
    pub async fn send(&self, message: impl Into<Message<'_>>) -> Result<Sent, NotSent> {
        let message = message.into().into_owned();
        loop {
            let up = match self.link.admit(&message) {
                Admission::Hand(up) => up,
                Admission::Done(done) => return done,
            };
            // The message stays here until a connection has room for it.
            if let Ok(permit) = up.sender.reserve().await
                && permit.send(message.clone()).is_ok()
            {
                self.link.handed();
                return Ok(Sent::Handed { generation: up.generation });
            }
            self.link.down(up.generation);
        }
    }

    /// Ends it for good: with a closing handshake if a connection is open, at once if not. Returns a
    /// future of how it went; dropping that stops nothing.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close(
        &self,
        code: CloseCode,
        reason: &str,
    ) -> Result<impl Future<Output = Stop> + Send + use<>, SendError> {
        CloseFrame::new(code, reason)?;
        let close = (code, reason.to_owned());
        self.link.order(|orders| orders.close = orders.close.take().or(Some(close)));
        let mut states = self.states();
        Ok(async move { states.stopped().await })
    }

    /// Makes no attempt until [`wake`](Self::wake): the network is gone, or nobody is looking. An
    /// attempt that is under way is given up, a connection that is open stays open.
    pub fn pause(&self) {
        self.link.order(|orders| orders.pause = Some(Pause::Pause));
    }

    /// Tells that the network came back or changed, or the device woke up: an attempt is made at
    /// once, an open connection is probed and given up if it does not answer.
    ///
    /// Not sooner than the server asked for, and at most one attempt a second: it may be called as
    /// often as events come.
    pub fn wake(&self) {
        self.link.order(|orders| orders.pause = Some(Pause::Wake));
    }

    /// Returns what the client is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.states.borrow().clone()
    }

    /// Returns a watch over what the client is doing.
    #[must_use]
    pub fn states(&self) -> States {
        States::new(self.link.states())
    }

    /// Waits until a connection is open, and returns its number.
    ///
    /// # Errors
    /// [`Stop`] once the client has stopped.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn open(&self) -> Result<u64, Stop> {
        let mut states = self.states();
        loop {
            match states.next().await {
                Some(State::Open { generation }) => return Ok(generation),
                Some(State::Stopped(stop)) => return Err(stop),
                Some(_) => {}
                None => return Err(Stop::Dropped),
            }
        }
    }

    /// Waits until the client has stopped for good.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stopped(&self) -> Stop {
        self.states().stopped().await
    }

    /// Returns what became of the messages.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.link.tally()
    }
}

impl fmt::Debug for ReconnectingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSender").field("state", &*self.states.borrow()).finish()
    }
}

impl fmt::Debug for ReconnectingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingClient").field("state", &*self.states.borrow()).finish()
    }
}

/// The receiving half of a [`ReconnectingClient`].
///
/// Dropped, what comes in is discarded from then on. One that is kept and not read stops the
/// reading of its connection, as that of a [`WebSocket`](crate::WebSocket) does.
pub struct ReconnectingReceiver {
    link: Arc<Link>,
    /// Ends the client when the last handle drops it.
    _guard: Arc<Guard>,
    current: Option<Inbound>,
}

impl ReconnectingReceiver {
    /// Receives the next message, of whichever connection; `None` for ever once the client has
    /// stopped.
    ///
    /// What a connection had received before it ended comes before what the next one received. At
    /// most 1 MiB is kept of connections that ended; of more, the oldest is discarded and counted
    /// ([`Tally::unread`]).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        loop {
            let current = match &mut self.current {
                Some(current) => current,
                None => match ready!(self.link.poll_inbound(cx)) {
                    Some(inbound) => self.current.insert(inbound),
                    None => return Poll::Ready(None),
                },
            };
            match ready!(current.receiver.poll_recv(cx)) {
                Some(message) => {
                    let generation = current.generation;
                    return Poll::Ready(Some(Incoming { generation, message }));
                }
                None => self.current = None,
            }
        }
    }
}

impl Drop for ReconnectingReceiver {
    fn drop(&mut self) {
        self.link.receiver_gone();
    }
}

impl futures_core::Stream for ReconnectingReceiver {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.poll_recv(cx)
    }
}

impl futures_core::Stream for ReconnectingClient {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.receiver.poll_recv(cx)
    }
}

impl fmt::Debug for ReconnectingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.current.as_ref().map(|current| current.generation);
        f.debug_struct("ReconnectingReceiver").field("generation", &generation).finish()
    }
}

/// A message and the connection it came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Incoming {
    /// The number of the connection; the first is 1. Between two numbers, messages may be missing.
    pub generation: u64,
    /// The message.
    pub message: Message<'static>,
}

/// Ends the client when its last handle is dropped.
struct Guard(Arc<Link>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.order(|orders| orders.dropped = true);
    }
}
