//! A server's end of a session.

mod attach;
mod receive;
mod rest;
mod send;
mod tombstone;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use self::rest::Rest;
pub use self::{attach::Attach, tombstone::Tombstone};
use crate::{
    At, Code, EndedBy, Event, Frame, Lent, Malformed, Mutation, Transmit, Violation, at::Span,
    endpoint::Endpoint, rate::Rate, token::Tokens,
};

/// The slowest path, in bytes a second, on which a client is given the time to hear all before a PING.
const SLOWEST: u64 = 16 << 10;

/// Who a client is, as the application says. All clients of an application that does not ask are
/// [`ANONYMOUS`](Self::ANONYMOUS).
///
/// # Examples
///
/// ```
/// use everwire_session::Principal;
///
/// let alice = Principal::new("alice");
/// assert_eq!(alice.name(), Some("alice"));
/// assert_ne!(alice, Principal::ANONYMOUS); // Who may not have the sessions of the other.
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(
    /// A thin pointer: every session has one.
    Option<Arc<Box<str>>>,
);

impl Principal {
    /// Nobody in particular.
    pub const ANONYMOUS: Self = Self(None);

    /// Returns the principal of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Some(Arc::new(name.into())))
    }

    /// Returns its name, unless it is anonymous.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|name| &***name)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({})", self.name().unwrap_or("anonymous"))
    }
}

/// A server's end of a session: it outlives its sockets.
///
/// A socket begins with a [`Hello`](crate::Hello). Find out who the client is, and ask the
/// [`Store`](crate::Store) for the session of its token: [`attach`](Self::attach) the socket to
/// that, or [`accept`](Self::accept) it into a new one. From then on hand in every message, and
/// the end, of the socket under its epoch. After any call send what
/// [`poll_transmit`](Self::poll_transmit) returns on each socket until it returns `None`, take
/// [`poll_event`](Self::poll_event), and arm [`poll_timeout`](Self::poll_timeout).
///
/// ```text
///   accept()               first valid frame            closed, silence
///  ──────────► Unconfirmed ─────────────────► Attached ────────────────► Detached
///                  │ closed                   ▲ │  ▲      attach()        │ │
///                  ▼                 attach() └─┘  └──────────────────────┘ │ ttl
///              Detached, 10 s                    BYE, violation: Ended ◄────┘
/// ```
#[derive(Debug)]
pub struct ServerSession {
    end: Endpoint,
    principal: Principal,
    tokens: Tokens,
    attempt: u64,
    attaches: Rate,
    ttl: Span,
    /// Between which heartbeats those of this session are.
    phase: u8,
    /// Nothing in one that is attached and rests.
    rest: Option<Box<Rest>>,
}

impl ServerSession {
    /// Says goodbye once all that was accepted has been sent, and waits for the answer. A detached
    /// session waits for its client to come back, until its ttl or `deadline`.
    pub fn close(&mut self, code: Code, reason: &str, deadline: Option<Instant>) {
        self.set_epitaph(code, reason);
        let deadline = deadline.map(|at| self.end.at(at));
        self.end.close(code, reason, deadline);
    }

    /// Ends the session now: throws the client out.
    pub fn end(&mut self, code: Code, reason: &str) {
        if self.end.is_ended {
            return;
        }
        self.end.end_abruptly(code, reason, EndedBy::Us);
        self.set_epitaph(code, reason);
    }

    /// Ends the session because its memory is needed. Its client will find it lost. One that has a socket
    /// stays: its client came back in the meantime.
    pub fn drop_for_memory(&mut self) {
        if !self.end.is_attached() {
            self.end.end(Code::TIMEOUT, String::new(), EndedBy::Expiry);
        }
    }

    /// Drops all messages that are kept, because their memory is needed. Their client will be told
    /// of the gap.
    pub fn evict_all(&mut self) {
        if !self.end.is_attached() {
            self.end.out.evict_all();
        }
    }

    /// Detaches the socket and closes it with this code: the session stays.
    pub fn detach(&mut self, now: Instant, code: Code) {
        let now = self.end.at(now);
        self.end.detach(Some(code));
        self.note_detached(now);
    }

    /// Advises the client to attach another socket, after a time and at random over another.
    pub fn goaway(&mut self, after: Duration, spread: Duration, url: &str) {
        if self.end.is_attached() {
            if self.end.incoming.has_news() {
                // The socket may be closed soon: then nobody doubts what has come on it.
                let counts = self.end.counts();
                self.end.queue_frame(&Frame::Ack(counts));
            }
            let (after, spread) = (crate::config::millis(after), crate::config::millis(spread));
            let goaway = crate::Goaway { after, spread, url: url.to_owned() };
            self.end.queue_frame(&Frame::Goaway(goaway));
        }
    }

    /// Notes until when the client's ticket is valid; `None` for ever. The client is asked for
    /// another when a fifth of the time is left.
    pub fn set_expiry(&mut self, now: Instant, valid: Option<Duration>) {
        let now = self.end.at(now);
        self.authenticate(now, valid.map(|valid| now + valid));
    }

    /// Accepts the ticket of [`Event::Ticket`], which says that the client is `principal`. That of
    /// another ends the session.
    pub fn authenticated(&mut self, now: Instant, principal: &Principal, valid: Option<Duration>) {
        if *principal != self.principal {
            return self.end(Code::FORBIDDEN, "another principal");
        }
        self.set_expiry(now, valid);
        let millis = valid.map_or(0, |valid| crate::config::millis(valid).max(1));
        if self.end.is_attached() {
            self.end.queue_frame(&Frame::AuthAccepted(millis));
        }
    }

    /// Handles a text message that arrived on the socket of this epoch.
    pub fn handle_text(&mut self, now: Instant, epoch: u64) {
        let now = self.end.at(now);
        if self.end.listening(epoch) {
            self.violate(now, Malformed::TextMessage.into());
        }
    }

    /// Handles that bytes of a message which is still coming arrived on the socket of this epoch, last at this
    /// time. They are life, as a whole message is: call it before [`handle_timeout`](Self::handle_timeout),
    /// and a message that takes longer than a heartbeat arrives.
    pub fn handle_bytes(&mut self, at: Instant, epoch: u64) {
        let at = self.end.at(at);
        self.end.bytes_came(at, epoch);
    }

    /// Handles that a message on the socket of this epoch was refused for its size, by the WebSocket of
    /// either end: the session is over. Call it as soon as that is known, so that a HELLO which comes
    /// before the socket has gone is told, and before [`handle_closed`](Self::handle_closed).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Code, Config, Event, Hello, Oversize, Principal, ServerSession};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (who, config) = (Principal::new("alice"), Arc::new(Config::server()));
    /// # let hello = Hello::first(1, 1 << 18, 1 << 20);
    /// # let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
    /// // The WebSocket beneath has refused a message of two megabytes, and closes with 1009.
    /// session.handle_too_big(session.epoch(), Oversize::Theirs(2 << 20));
    /// let end = std::iter::from_fn(|| session.poll_event(now)).last();
    /// assert!(matches!(end, Some(Event::Ended(end)) if end.code == Code::TOO_BIG));
    /// ```
    pub fn handle_too_big(&mut self, epoch: u64, oversize: crate::Oversize) {
        if self.end.listening(epoch) {
            let reason = self.end.too_big(oversize);
            self.set_epitaph(Code::TOO_BIG, reason);
        }
    }

    /// Handles the end of the socket of this epoch. Its close code decides nothing.
    pub fn handle_closed(&mut self, now: Instant, epoch: u64) {
        let now = self.end.at(now);
        if self.end.has_socket(epoch) {
            self.end.detach(None);
            self.note_detached(now);
        }
    }

    /// Handles the passing of time: call it when [`poll_timeout`](Self::poll_timeout) is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.end.at(now);
        let is_due = |at: Option<At>| at.is_some_and(|at| at <= now);
        self.end.handle_timeout(now);
        if is_due(self.lapse_at()) {
            self.end.end(Code::TIMEOUT, String::new(), EndedBy::Expiry);
        }
        if is_due(self.expires_at()) && !self.end.is_ended {
            self.end.end_abruptly(Code::UNAUTHENTICATED, "ticket expired", EndedBy::Expiry);
            self.set_epitaph(Code::UNAUTHENTICATED, "ticket expired");
        }
        if is_due(self.tell_expiry_at()) {
            self.note_expiry_told();
            let left = self.expires_at().map_or(Duration::ZERO, |at| at - now);
            self.end.queue_frame(&Frame::AuthRequest(crate::config::millis(left)));
        }
        if is_due(self.dead_at()) {
            self.end.detach(Some(Code::TIMEOUT));
        } else if is_due(self.ping_at()) {
            self.end.ping();
        }
        self.note_detached(now);
    }

    /// Returns what to do on the socket of this epoch. On one that is not the newest, that is to
    /// close it.
    pub fn poll_transmit(&mut self, now: Instant, epoch: u64) -> Option<Transmit> {
        let now = self.end.at(now);
        match self.end.has_socket(epoch) {
            true => self.end.poll_transmit(now, epoch),
            _ if self.end.config.leaves_out(Mutation::NoServerFence) => None,
            _ if epoch < self.epoch() => Some(Transmit::Close(Code::SUPERSEDED)),
            _ => Some(Transmit::Close(Code::NORMAL)),
        }
    }

    /// Returns the next message to send on the socket of this epoch, as
    /// [`poll_transmit`](Self::poll_transmit) does, but lends it. `None` says nothing: ask
    /// `poll_transmit`.
    #[inline]
    pub fn poll_message(&mut self, now: Instant, epoch: u64) -> Option<Lent<'_>> {
        let now = self.end.at(now);
        self.end.poll_message(now, epoch)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut times = [
            self.end.next_timeout(),
            self.lapse_at(),
            self.expires_at(),
            self.tell_expiry_at(),
            self.dead_at(),
            self.ping_at(),
        ];
        if self.end.is_ended {
            times[1..].fill(None);
        }
        crate::endpoint::earliest(times).map(|at| self.end.instant(at))
    }

    /// Returns whether [`poll_event`](Self::poll_event) has something to tell.
    #[must_use]
    #[inline]
    pub fn has_events(&self) -> bool {
        self.end.has_events()
    }

    /// Returns what happened.
    #[inline]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let now = self.end.at(now);
        self.end.poll_event(now)
    }

    /// Gives back the credit of all messages up to this number, unless
    /// [`Acks::Automatic`](crate::Acks::Automatic) does; with
    /// [`Acks::Manual`](crate::Acks::Manual) the client may forget them.
    pub fn release(&mut self, now: Instant, number: u64) {
        let now = self.end.at(now);
        self.end.release(now, number);
    }

    /// Returns the latest time that the session was told: what is done now, while somebody is at work
    /// with it, is done then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Config, Hello, Prepared, Principal, ServerSession};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (who, config) = (Principal::new("alice"), Arc::new(Config::server()));
    /// # let hello = Hello::first(1, 1 << 18, 1 << 20);
    /// # let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
    /// # let counts = everwire_session::Counts { window: 1 << 18, ..Default::default() };
    /// # let (epoch, frame) = (session.epoch(), everwire_session::Frame::Ack(counts).encode());
    /// session.handle_message(now, epoch, &frame);
    /// // An answer to what has come is sent at the time at which that came: no clock is read for it.
    /// session.send(session.last_now(), Prepared::text("answer"))?;
    /// assert_eq!(session.last_now(), now);
    /// # Ok::<(), everwire_session::SendError>(())
    /// ```
    #[must_use]
    #[inline]
    pub const fn last_now(&self) -> Instant {
        self.end.last_now()
    }

    /// Returns whose session it is.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns how many sockets the session has had: the name of the newest.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.end.newest
    }

    /// Returns whether a socket is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.end.is_attached()
    }

    /// Returns since when no socket is attached.
    #[must_use]
    pub fn detached_at(&self) -> Option<Instant> {
        self.rest.as_ref()?.detached_at.map(|at| self.end.instant(at))
    }

    /// Returns whether the session is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.end.is_ended
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

    fn violate(&mut self, now: At, violation: Violation) {
        if violation != Violation::Rate {
            self.set_epitaph(violation.code(), "");
        }
        self.end.violate(violation);
        self.note_detached(now);
    }

    fn note_detached(&mut self, now: At) {
        if !self.end.is_attached() && !self.end.is_ended {
            self.rest.get_or_insert_default().detached_at.get_or_insert(now);
            if self.ttl() == Duration::ZERO {
                self.end.end(Code::TIMEOUT, String::new(), EndedBy::Expiry);
            }
        }
    }

    /// Returns when a detached session is given up.
    fn lapse_at(&self) -> Option<At> {
        let terms = &self.end.config.terms;
        let detached_at = self.rest.as_ref()?.detached_at?;
        let known = self.epoch() > 1 || self.tokens.is_confirmed();
        let ttl = if known { self.ttl() } else { self.ttl().min(terms.unconfirmed_ttl) };
        Some(detached_at + ttl)
    }

    fn dead_at(&self) -> Option<At> {
        let socket = self.end.socket.as_ref().filter(|_| self.end.is_attached())?;
        let patience = self.end.config.terms.heartbeat_timeout + self.time_on_its_way();
        Some(socket.silent_since()?.at + patience)
    }

    /// Returns how long what is not acknowledged may be on its way, with the PING behind it.
    fn time_on_its_way(&self) -> Duration {
        Duration::from_micros(self.end.out.in_flight().saturating_mul(1_000_000) / SLOWEST)
    }

    fn ping_at(&self) -> Option<At> {
        let socket = self.end.socket.as_ref().filter(|_| self.end.is_attached())?;
        let asks = socket.ping_due || socket.silent_since().is_some();
        let last = socket.last_received.min(socket.last_sent);
        (!asks).then(|| last + self.heartbeat())
    }

    /// Returns the heartbeat, varied by ±10 % so that sessions do not beat together.
    fn heartbeat(&self) -> Duration {
        let phase = u32::from(self.phase);
        self.end.config.terms.heartbeat / 1275 * (1275 - 127 + phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an attached session whose client has acknowledged its WELCOME.
    fn attached(now: Instant) -> ServerSession {
        let (config, hello) =
            (Arc::new(crate::Config::server()), crate::Hello::first(1, 1 << 18, 1 << 20));
        let (who, mut random) = (Principal::ANONYMOUS, |bytes: &mut [u8]| bytes.fill(7));
        let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
        while session.poll_transmit(now, 1).is_some() {}
        session.handle_message(now, 1, &Frame::Ack(counts()).encode());
        while session.poll_event(now).is_some() {}
        session
    }

    fn counts() -> crate::Counts {
        crate::Counts { window: 1 << 18, ..Default::default() }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a beginning for the clock of a test")]
    fn a_session_that_rests_has_no_boxes_before_and_after_its_heartbeats() {
        let mut now = Instant::now();
        let mut session = attached(now);
        for token in 1..=3 {
            assert!(session.rest.is_none() && session.end.is_at_rest(), "before PING {token}");
            now = session.poll_timeout().expect("a heartbeat is due");
            session.handle_timeout(now);
            assert!(session.poll_transmit(now, 1).is_some() && !session.end.is_at_rest());
            let pong = Frame::Pong { token, counts: counts() };
            session.handle_message(now, 1, &pong.encode());
        }
        assert!(session.end.is_at_rest());
    }

    #[test]
    fn what_an_idle_session_keeps_is_small() {
        assert!(size_of::<ServerSession>() <= 336, "{} bytes", size_of::<ServerSession>());
    }
}
