//! One WebSocket connection as a state machine.

mod closing;
mod deflate;
mod input;
mod output;
mod receive;
mod send;
mod simple;
mod state;
mod timeout;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::closing::Closing;
use self::simple::Simple;
pub use self::state::{Role, State};
use crate::{
    Cause, CloseFrame, Closure, Config, Counters, Delivery, Direction, FrameHeader, FrameLine,
    LendCodecs, Random, deflate::PackedParams, frame::MAX_CONTROL, inbound::Inbound,
    liveness::Liveness, rare::Rare, rate::RateLimiter, transmit::Transmit, utf8::Utf8Validator,
};

/// A WebSocket connection after the opening handshake: bytes and time go in, events and bytes come
/// out.
///
/// `handle_*` tells it what happened. Plain verbs say what you want. `poll_timeout` says when to
/// come back. After any call: write what is to be [transmitted](Self::transmit); when
/// [`wants_shutdown`](Self::wants_shutdown), shut down the writing side of the socket; when the
/// [`state`](Self::state) is [`Closed`](State::Closed), drop the socket; and arm a timer for
/// [`poll_timeout`](Self::poll_timeout).
///
/// # Examples
/// ```
/// use std::{sync::Arc, time::Instant};
/// use everwire_proto::{Config, Connection, Event, Message};
///
/// # fn main() -> Result<(), everwire_proto::SendError> {
/// let mut server = Connection::server(Arc::new(Config::default()), Instant::now(), 0);
/// // "Hello", masked, as in RFC 6455 §5.7.
/// let mut input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut events = server.handle_input(Instant::now(), &mut input);
/// while let Some(event) = events.next() {
///     if let Event::Message(message) = event {
///         assert_eq!(message, Message::text("Hello"));
///         events.connection().send(message)?; // Echo it, without a copy in between.
///     }
/// }
/// drop(events);
/// assert_eq!(server.transmit_to_vec(Instant::now()), b"\x81\x05Hello");
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    role: Role,
    state: State,
    /// What may go the short way.
    simple: Simple,
    /// Whether a message is being sent in pieces: its next frame is a continuation.
    open_message: Option<crate::Opcode>,
    /// What has been sent of a text in pieces, as far as it matters.
    sent_text: Option<Utf8Validator>,
    /// Whether the writing side is to be shut down, or has been.
    shutdown: Shutdown,
    /// Input that ends the connection is to be left lying, and whether some was.
    hold: Hold,
    /// Whether the stream is that of TLS.
    is_tls: bool,
    /// Spreads what many connections would otherwise do together.
    seed: u8,
    /// What was agreed upon about compression, if there are `codecs`.
    deflate: PackedParams,
    /// What is sent now was counted against the limit elsewhere.
    admitting: bool,
    inbound: Inbound,
    transmit: Transmit,
    liveness: Liveness,
    control_rate: RateLimiter,
    config: Arc<Config>,
    counters: Counters,
    opened: Instant,
    /// Lends codecs, if compression was agreed upon.
    codecs: Option<LendCodecs>,
    /// What only some configurations need.
    rare: Option<Box<Rare>>,
    /// Everything about the end; absent while open.
    closing: Option<Box<Closing>>,
    /// What others lend; a server mostly has none.
    lent: Option<Box<Lent>>,
}

/// What lives with a connection and belongs to its caller.
#[derive(Default)]
struct Lent {
    /// Masking keys; a client has them.
    random: Option<Box<dyn Random>>,
    observer: Option<Box<dyn Observer>>,
}

/// Whether the writing side of the socket is to be shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    No,
    Wanted,
    Done,
}

/// Whether input that ends the connection is left lying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    Asked,
    /// There was some.
    Held,
}

/// Sees every frame, for logs.
pub trait Observer: Send {
    /// Is called for each frame that was received or queued.
    fn handle_frame(&mut self, frame: FrameLine<'_>);
}

impl Connection {
    /// Returns the server's end of a connection that was just opened.
    ///
    /// `seed` is any byte, best a random one: it spreads the keepalive of many connections.
    #[must_use]
    pub fn server(config: Arc<Config>, now: Instant, seed: u8) -> Self {
        Self::new(Role::Server, config, now, seed, None)
    }

    /// Returns the client's end of a connection that was just opened.
    ///
    /// `random` gives the masking keys; they must be unpredictable (RFC 6455 §10.3).
    #[must_use]
    pub fn client(config: Arc<Config>, now: Instant, mut random: Box<dyn Random>) -> Self {
        let mut seed = [0];
        random.fill(&mut seed);
        Self::new(Role::Client, config, now, seed[0], Some(random))
    }

    fn new(
        role: Role,
        config: Arc<Config>,
        now: Instant,
        seed: u8,
        random: Option<Box<dyn Random>>,
    ) -> Self {
        let takes_simple = role == Role::Server
            && config.delivery == Delivery::Whole
            && config.limits.frame() >= MAX_CONTROL as u64;
        Self {
            role,
            state: State::Open,
            simple: Simple::new(takes_simple, random.is_none()),
            open_message: None,
            sent_text: None,
            shutdown: Shutdown::No,
            hold: Hold::No,
            is_tls: false,
            seed,
            deflate: PackedParams::default(),
            codecs: None,
            admitting: false,
            inbound: Inbound::default(),
            transmit: Transmit::default(),
            liveness: Liveness::new(now, config.keepalive),
            control_rate: RateLimiter::new(config.limits.control_rate),
            rare: Rare::new(&config, now, seed),
            config,
            counters: Counters::default(),
            opened: now,
            closing: None,
            lent: random.map(|random| Box::new(Lent { random: Some(random), observer: None })),
        }
    }

    /// Tells that the stream is that of TLS: then, and only then, may an end be called
    /// [`Cause::Tls`](crate::Cause::Tls).
    pub fn set_tls(&mut self) {
        self.is_tls = true;
    }

    /// Lets a server be [`Closed`](State::Closed) as soon as both Closes have passed and no Ping of its own
    /// is unanswered, instead of waiting for the peer's end of stream (§7.1.1). For a socket that is
    /// dropped without ado: one of TLS wants to say goodbye, and another stream may want to flush.
    /// [`Config::linger`] undoes it, and so does [`ping`](Self::ping), whose answers nobody counts.
    pub fn close_at_once(&mut self) {
        if self.role == Role::Server {
            self.simple.set_ends();
        }
    }

    /// Lets `observer` see every frame from now on.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.lent.get_or_insert_default().observer = Some(observer);
        self.simple.take_no_more();
        self.simple.write_no_more();
    }

    /// Returns where the connection is in its life.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns what this connection allows.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns how the connection ended, once it is [`Closed`](State::Closed).
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        let closing = self.closing.as_ref().filter(|_| self.state == State::Closed)?;
        Some(Closure {
            cause: closing.cause.clone(),
            failure: closing.failure.clone(),
            ours: closing.ours,
            sent: closing.sent().cloned(),
            received: closing.received.clone(),
            duration: closing.ended.saturating_duration_since(self.opened),
            counters: closing.counters,
            unsent: closing.unsent,
            rtt: self.liveness.rtt(),
            tolerance: self.liveness.tolerance(),
        })
    }

    /// Returns why the connection ends, once that is decided: while it is
    /// [`Finishing`](State::Finishing), and after. Nothing that arrives any more is an event.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, time::Instant};
    /// use everwire_proto::{Cause, CloseCode, Config, Connection};
    ///
    /// # fn main() -> Result<(), everwire_proto::SendError> {
    /// # let (now, config) = (Instant::now(), Arc::new(Config::default()));
    /// # let random = Box::new(|key: &mut [u8]| key.fill(7));
    /// # let mut client = Connection::client(config.clone(), now, random);
    /// # let mut server = Connection::server(config, now, 0);
    /// client.close(now, CloseCode::NORMAL_CLOSURE, "")?;
    /// server.handle_input(now, &mut client.transmit_to_vec(now)).for_each(drop);
    /// // Its answer is not written, the socket is open, and there is no closure yet: but nothing more comes.
    /// assert_eq!(server.cause(), Some(&Cause::PeerClosed));
    /// assert!(server.closure().is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn cause(&self) -> Option<&Cause> {
        let closing = self.closing.as_ref()?;
        (self.state != State::Closing).then_some(&closing.cause)
    }

    /// Returns the peer's Close, once it has come.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, time::Instant};
    /// use everwire_proto::{CloseCode, Config, Connection};
    ///
    /// # fn main() -> Result<(), everwire_proto::SendError> {
    /// # let (now, config) = (Instant::now(), Arc::new(Config::default()));
    /// # let random = Box::new(|key: &mut [u8]| key.fill(7));
    /// # let mut client = Connection::client(config.clone(), now, random);
    /// # let mut server = Connection::server(config, now, 0);
    /// client.close(now, CloseCode::GOING_AWAY, "retry=500")?;
    /// server.handle_input(now, &mut client.transmit_to_vec(now)).for_each(drop);
    /// let close = server.received_close().expect("it has come");
    /// assert_eq!((close.code, &*close.reason), (CloseCode::GOING_AWAY, "retry=500"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn received_close(&self) -> Option<&CloseFrame> {
        self.closing.as_ref()?.received.as_ref()
    }

    /// Returns what went through so far.
    #[must_use]
    #[inline]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns when the last byte was received.
    #[must_use]
    #[inline]
    pub fn last_received(&self) -> Instant {
        self.liveness.last_received()
    }

    /// Returns whether the beginning of a message has arrived, and its end has not. While
    /// [`last_received`](Self::last_received) moves, it is on its way.
    #[must_use]
    #[inline]
    pub fn is_mid_message(&self) -> bool {
        self.inbound.is_mid_message()
    }

    /// Returns the smoothed round-trip time, once a Ping was answered.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    #[inline]
    fn is_observed(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.observer.is_some())
    }

    fn show(&mut self, direction: Direction, header: &FrameHeader, payload: &[u8]) {
        if let Some(observer) = self.lent.as_mut().and_then(|lent| lent.observer.as_mut()) {
            observer.handle_frame(FrameLine { direction, header, payload });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("transmit_len", &self.transmit.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
