//! A client's end of a session.

mod attach;
mod doubt;
mod liveness;
mod snapshot;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::doubt::Doubt;
pub use self::snapshot::{Snapshot, SnapshotChange};
use crate::{
    At, Code, Config, EndedBy, Event, Frame, Kind, Lent, Malformed, MessageRef, Meter, Mutation,
    Oversize, Prepared, Role, SendError, Ticket, Transmit, Violation, endpoint::Endpoint,
};

/// A client's end of a session: it outlives its sockets.
///
/// Open a WebSocket that offers [`SUBPROTOCOL`](crate::SUBPROTOCOL), call [`hello`](Self::hello),
/// send what it returns as the first message (or in the upgrade request), and from then on hand in
/// every message, and the end, of this socket under the attempt's number. After any call send what
/// [`poll_transmit`](Self::poll_transmit) returns until it returns `None`, take
/// [`poll_event`](Self::poll_event), and arm [`poll_timeout`](Self::poll_timeout).
///
/// ```text
///                hello()                    WELCOME
///    Detached ────────────► Attaching ─────────────────► Attached
///       ▲                       │ closed, 10 s, refused     │
///       └───────────────────────┴───── closed, silence ─────┘    BYE, 4509, violation: Ended
/// ```
///
/// An attached socket that was silent for so long that the application was told [`Event::Detached`]
/// stays attached: that is over, by [`Event::Resumed`], when it speaks after all.
#[derive(Debug)]
pub struct ClientSession {
    end: Endpoint,
    attempt: u64,
    token: Ticket,
    ticket: Ticket,
    epoch: u64,
    id: Bytes,
    /// What the HELLO on its way said, and when it was sent.
    asked: Option<Asked>,
    heartbeat: Duration,
    heartbeat_timeout: Duration,
    first_spread: Duration,
    ttl: Duration,
    doubt: Doubt,
    /// How often the session was lost.
    losses: u32,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Nothing while the socket is being opened that it travels with.
    at: Option<At>,
    recv: u64,
    resumes: bool,
}

/// An attempt to attach a socket. The HELLO holds secrets, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Names the socket from now on.
    pub number: u64,
    /// The HELLO frame: the first message, or the upgrade request's header in base64url
    /// ([`Hello::base64`](crate::Hello::base64)).
    pub hello: Bytes,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("number", &self.number).finish_non_exhaustive()
    }
}

impl ClientSession {
    /// Returns the client's end of a session that does not exist yet.
    #[must_use]
    pub fn new(now: Instant, config: Arc<Config>) -> Self {
        Self {
            end: Endpoint::new(now, config),
            attempt: 0,
            token: Ticket(Bytes::new()),
            ticket: Ticket(Bytes::new()),
            epoch: 0,
            id: Bytes::new(),
            asked: None,
            heartbeat: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_secs(10),
            first_spread: Duration::from_secs(1),
            ttl: Duration::ZERO,
            doubt: Doubt::default(),
            losses: 0,
        }
    }

    /// Sets the ticket that says who the client is, for the attempts to come.
    pub fn set_ticket(&mut self, ticket: impl Into<Bytes>) {
        self.ticket = Ticket(ticket.into());
    }

    /// Shows a fresh ticket on the attached socket, and uses it from now on.
    pub fn authenticate(&mut self, ticket: impl Into<Bytes>) {
        self.ticket = Ticket(ticket.into());
        if self.end.is_attached() {
            if self.end.incoming.is_ack_due() {
                // It may be the first on this socket, and goes before all else.
                let counts = self.end.counts();
                self.end.queue_frame(&Frame::Ack(counts));
            }
            self.end.queue_frame(&Frame::AuthTicket(self.ticket.clone()));
        }
    }

    /// Accepts a message for sending and returns its number. It is kept until the server lets it
    /// be forgotten, with or without a socket.
    ///
    /// # Errors
    /// Why it was not accepted; see [`SendError`].
    pub fn send(&mut self, now: Instant, message: Prepared) -> Result<u64, SendError> {
        let now = self.end.at(now);
        self.end.send(now, message)
    }

    /// Sends a message as [`send`](Self::send) does. Its bytes count on `meter`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{ClientSession, Config, Kind, Meter};
    /// # let (now, config) = (Instant::now(), Arc::new(Config::client()));
    /// let mut session = ClientSession::new(now, config);
    /// let number = session.send_payload(now, Kind::Text, b"hello", &Meter::default())?;
    /// assert_eq!((number, session.buffered()), (1, (5, 1)));
    /// # Ok::<(), everwire_session::SendError>(())
    /// ```
    #[inline]
    pub fn send_payload(
        &mut self,
        now: Instant,
        kind: Kind,
        payload: &[u8],
        meter: &Meter,
    ) -> Result<u64, SendError> {
        let now = self.end.at(now);
        self.end.send_own(now, kind, payload, meter)
    }

    /// Sends a message that may be dropped; returns whether it was queued.
    pub fn send_volatile(&mut self, kind: Kind, payload: &[u8]) -> bool {
        self.end.send_volatile(kind, payload)
    }

    /// Says goodbye once all that was accepted has been sent, and waits for the answer. What
    /// arrives until then is handed out. If a socket breaks meanwhile, attach another: without one
    /// the session ends at `deadline` (or is never done).
    pub fn close(&mut self, code: Code, reason: &str, deadline: Option<Instant>) {
        let deadline = deadline.map(|at| self.end.at(at));
        self.end.close(code, reason, deadline);
    }

    /// Ends the session now, with whatever was not sent.
    pub fn abort(&mut self, code: Code, reason: &str) {
        self.end.end_abruptly(code, reason, EndedBy::Us);
    }

    /// Handles a binary message that arrived on the socket of this attempt.
    pub fn handle_message(&mut self, now: Instant, attempt: u64, message: &Bytes) {
        let now = self.end.at(now);
        let is_old = attempt < self.attempt;
        if is_old && self.end.config.leaves_out(Mutation::NoClientFence) {
            let _ = Frame::parse(Role::Server, message).map(|f| self.end.receive(now, f));
        }
        if !self.end.listening(attempt) {
            return self.end.receive_late(attempt, Role::Server, message);
        }
        self.heard();
        let before = self.standing();
        let handled = Frame::parse(Role::Server, message)
            .map_err(Violation::from)
            .and_then(|frame| self.handle_frame(now, frame));
        self.weigh(before);
        if let Err(violation) = handled {
            self.end.violate(violation);
        }
    }

    /// Handles a binary message as [`handle_message`](Self::handle_message) does. A message in it that
    /// the application can have at once, because no event waits before it, is handed out here, and lent;
    /// all else comes with [`poll_event`](Self::poll_event).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use everwire_session::{Event, ClientSession};
    ///
    /// /// Returns how many bytes of messages came with a frame.
    /// fn receive(session: &mut ClientSession, now: Instant, attempt: u64, frame: &[u8]) -> usize {
    ///     let lent = session.handle_lent(now, attempt, frame);
    ///     let mut n = lent.map_or(0, |message| message.payload.len());
    ///     while let Some(event) = session.poll_event(now) {
    ///         if let Event::Message(message) = event {
    ///             n += message.payload.len();
    ///         }
    ///     }
    ///     n
    /// }
    /// ```
    #[inline]
    pub fn handle_lent<'m>(
        &mut self,
        now: Instant,
        attempt: u64,
        message: &'m [u8],
    ) -> Option<MessageRef<'m>> {
        let at = self.end.at(now);
        // That it is not detached any more is told before.
        let lent = match self.doubt.is_away() {
            false => self.end.lend(at, attempt, message),
            true => None,
        };
        let Some(lent) = lent else {
            self.handle_message(now, attempt, &Bytes::copy_from_slice(message));
            return None;
        };
        self.doubt.spoke();
        lent.map_err(|violation| self.end.violate(violation)).ok()
    }

    /// Handles a text message that arrived on the socket of this attempt.
    pub fn handle_text(&mut self, attempt: u64) {
        if self.end.listening(attempt) {
            self.end.violate(Malformed::TextMessage.into());
        }
    }

    /// Tells that the HELLO of this attempt travels in the upgrade request: the time to wait for
    /// WELCOME begins with [`handle_opened`](Self::handle_opened).
    pub fn await_opening(&mut self, attempt: u64) {
        if self.has_socket(attempt)
            && let Some(asked) = &mut self.asked
        {
            asked.at = None;
        }
    }

    /// Handles the opening of the socket of this attempt.
    pub fn handle_opened(&mut self, now: Instant, attempt: u64) {
        let now = self.end.at(now);
        if self.has_socket(attempt)
            && let Some(asked) = &mut self.asked
        {
            asked.at = Some(now);
        }
    }

    /// Handles that bytes of a message which is still coming arrived on the socket of this attempt, last at
    /// this time. They are life, as a whole message is: call it before
    /// [`handle_timeout`](Self::handle_timeout), and a message that takes longer than a heartbeat arrives.
    pub fn handle_bytes(&mut self, at: Instant, attempt: u64) {
        let at = self.end.at(at);
        let is_news = self.end.bytes_came(at, attempt);
        let socket = self.end.socket.as_ref().filter(|_| is_news);
        if socket.is_some_and(|socket| socket.silent_since().is_none()) {
            self.heard(); // They came after it was asked.
        }
    }

    /// Handles that a message on the attached socket of this attempt was refused for its size, by the
    /// WebSocket of either end: the session is over. Call it as soon as that is known, before another
    /// attempt can be made, and before [`handle_closed`](Self::handle_closed).
    pub fn handle_too_big(&mut self, attempt: u64, oversize: Oversize) {
        if self.end.listening(attempt) && self.end.is_attached() {
            self.end.too_big(oversize);
        }
    }

    /// Handles the end of the socket of this attempt, with the code of the Close if one came.
    pub fn handle_closed(&mut self, attempt: u64, code: Option<u16>) {
        if !self.has_socket(attempt) {
            return;
        }
        let is_superseded = code == Some(Code::SUPERSEDED.number());
        if is_superseded && self.end.listening(attempt) {
            self.end.end(Code::SUPERSEDED, String::new(), EndedBy::Superseded);
        }
        self.end.detach(None);
        self.asked = None;
    }

    /// Handles the passing of time: call it when [`poll_timeout`](Self::poll_timeout) is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.end.at(now);
        self.end.handle_timeout(now);
        self.handle_silence(now);
    }

    /// Returns what to do on the socket of this attempt. On one that is not the newest, that is to
    /// close it.
    pub fn poll_transmit(&mut self, now: Instant, attempt: u64) -> Option<Transmit> {
        let now = self.end.at(now);
        match self.has_socket(attempt) {
            true => self.end.poll_transmit(now, attempt),
            false => Some(Transmit::Close(Code::NORMAL)),
        }
    }

    /// Returns the next message to send on the socket of this attempt, as
    /// [`poll_transmit`](Self::poll_transmit) does, but lends it. `None` says nothing: ask
    /// `poll_transmit`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use everwire_session::{ClientSession, Code, Transmit};
    ///
    /// /// Writes what there is to say, copying no message; returns with which code to close, if it is to be.
    /// fn transmit(
    ///     session: &mut ClientSession,
    ///     now: Instant,
    ///     attempt: u64,
    ///     mut write: impl FnMut(&[u8]),
    /// ) -> Option<Code> {
    ///     loop {
    ///         while let Some(message) = session.poll_message(now, attempt) {
    ///             write(message.as_slice());
    ///         }
    ///         match session.poll_transmit(now, attempt)? {
    ///             Transmit::Frame(frame) => write(&frame),
    ///             Transmit::Close(code) => return Some(code),
    ///         }
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn poll_message(&mut self, now: Instant, attempt: u64) -> Option<Lent<'_>> {
        let now = self.end.at(now);
        self.end.poll_message(now, attempt)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = crate::endpoint::earliest([self.end.next_timeout(), self.silence_timeout()]);
        at.map(|at| self.end.instant(at))
    }

    /// Returns what happened.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let now = self.end.at(now);
        loop {
            let event = self.end.poll_event(now)?;
            if self.doubt.is_news(&event) {
                return Some(event);
            }
        }
    }

    /// Gives back the credit of all messages up to this number, unless
    /// [`Acks::Automatic`](crate::Acks::Automatic) does; with
    /// [`Acks::Manual`](crate::Acks::Manual) the server may forget them.
    pub fn release(&mut self, now: Instant, number: u64) {
        let now = self.end.at(now);
        self.end.release(now, number);
    }

    /// Asks the server for life now: after a sleep, a change of the network.
    pub fn probe(&mut self) {
        self.end.ping();
    }

    /// Returns whether the path looks dead and nothing has arrived since.
    #[must_use]
    pub const fn is_suspected(&self) -> bool {
        self.doubt.is_suspected()
    }

    /// Returns whether the application was told last that it is detached. The socket may still be there,
    /// silent.
    #[must_use]
    pub const fn is_told_detached(&self) -> bool {
        self.doubt.is_told()
    }

    /// Returns whether the socket of this attempt is the newest and not closed: any other is to be
    /// closed.
    #[must_use]
    pub fn has_socket(&self, attempt: u64) -> bool {
        self.end.has_socket(attempt)
    }

    /// Returns whether a socket is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.end.is_attached()
    }

    /// Returns whether the session is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.end.is_ended
    }

    /// Returns the session's name for logs; empty before the first.
    #[must_use]
    pub const fn id(&self) -> &Bytes {
        &self.id
    }

    /// Returns how many sockets the session has had, as [`Event::Resumed`] tells it; 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the time over which to spread the first attempt after an unexpected loss.
    #[must_use]
    pub const fn first_spread(&self) -> Duration {
        self.first_spread
    }

    /// Returns how long the server keeps the session while it is detached.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Returns the smoothed round trip of PING and PONG.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.end.rtt.smoothed()
    }

    /// Returns the bytes and the messages that are kept for a replay.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize) {
        (self.end.out.replay().bytes(), self.end.out.replay().entries())
    }

    fn handle_frame(&mut self, now: At, frame: Frame) -> Result<(), Violation> {
        match frame {
            Frame::Welcome(welcome) if self.asked.is_some() => self.welcome(now, welcome),
            _ if !self.end.is_attached() => Err(Malformed::NotNow("a frame before WELCOME").into()),
            Frame::Welcome(_) => Err(Malformed::NotNow("a second WELCOME").into()),
            Frame::Goaway(goaway) => {
                self.alive(now);
                self.end.event(Event::Goaway(goaway));
                Ok(())
            }
            Frame::AuthRequest(millis) => {
                self.alive(now);
                self.end.event(Event::TicketWanted(Duration::from_millis(millis)));
                Ok(())
            }
            Frame::AuthAccepted(millis) => {
                self.alive(now);
                let valid = (millis > 0).then(|| Duration::from_millis(millis));
                self.end.event(Event::TicketAccepted(valid));
                Ok(())
            }
            frame => self.end.receive(now, frame),
        }
    }

    fn alive(&mut self, now: At) {
        if let Some(socket) = &mut self.end.socket {
            socket.last_received = now;
        }
    }
}
