//! One WebSocket connection as a state machine.

mod closing;
mod receive;
mod send;
mod timeout;

use std::{
    fmt,
    io::{self, IoSlice},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BytesMut, buf::Limit};

pub(crate) use self::closing::Closing;
use crate::{
    Cause, Closure, Config, Counters, Delivery, Direction, Events, FrameHeader, FrameLine, Random,
    frame::MAX_CONTROL,
    heartbeat::Heartbeat,
    inbound::Inbound,
    rate::RateLimiter,
    transmit::{SHARE_FROM, Transmit},
    utf8::Utf8Validator,
};

/// Which end of the connection this is. See RFC 6455 §1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that connected; it masks what it sends.
    Client,
    /// The end that accepted.
    Server,
}

/// Where a connection is in its life. See RFC 6455 §4.1 and §7.1.
///
/// ```text
///                       close()                    peer's Close
///   ┌──────┐ ────────────────────────► ┌─────────┐ ────────────┐
///   │ Open │                           │ Closing │             │
///   └──────┘ ──────────┐               └─────────┘             ▼
///       │    peer's Close, failure, end of stream  └─► ┌───────────┐  all written
///       │              └─────────────────────────────► │ Finishing │ ─────────────┐
///       │                                              └───────────┘              ▼
///       │ reset, abort                                       │ deadline    ┌──────────┐
///       ▼                                                    ▼             │ Draining │
///   ┌────────┐ ◄───────────────────────────────────────────────────────── └──────────┘
///   │ Closed │          end of stream, deadline
///   └────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// We sent Close; the peer's is awaited and its messages are still delivered.
    Closing,
    /// How it ends is decided; what is queued is being written, input is discarded.
    Finishing,
    /// All is written; the peer's end of stream is awaited so that no reset destroys what we sent.
    Draining,
    /// It is over; drop the socket. [`Connection::closure`] says how it ended.
    Closed,
}

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
    /// Whether nothing but the bytes decides what a small frame is: a server that takes whole
    /// messages, unobserved, and is not finishing.
    takes_simple: bool,
    /// Whether a message is being sent in pieces: its next frame is a continuation.
    open_message: Option<crate::Opcode>,
    /// What has been sent of a text in pieces, as far as it matters.
    sent_text: Option<Utf8Validator>,
    /// Bytes of the opening handshake's head that wait; they do not count as sent.
    head_left: u32,
    /// Whether the writing side is to be shut down, or has been.
    shutdown: Shutdown,
    /// Input that ends the connection is to be left lying, and whether some was.
    hold: Hold,
    /// What is sent now was counted against the limit elsewhere.
    admitting: bool,
    /// The latest ping that could not be answered because the socket is full.
    unanswered: Option<Box<[u8]>>,
    inbound: Inbound,
    transmit: Transmit,
    heartbeat: Heartbeat,
    control_rate: RateLimiter,
    config: Arc<Config>,
    counters: Counters,
    opened: Instant,
    last_message: Instant,
    /// How many messages had been sent when `last_message` was last moved by one.
    noted_sent: u64,
    /// Everything about the end; absent while open.
    closing: Option<Box<Closing>>,
    /// Masking keys; a client has one.
    #[allow(clippy::redundant_allocation)] // 8 bytes instead of 16 in every idle connection.
    random: Option<Box<Box<dyn Random>>>,
    #[allow(clippy::redundant_allocation)] // The same.
    observer: Option<Box<Box<dyn Observer>>>,
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
            takes_simple,
            open_message: None,
            sent_text: None,
            head_left: 0,
            shutdown: Shutdown::No,
            hold: Hold::No,
            admitting: false,
            unanswered: None,
            inbound: Inbound::default(),
            transmit: Transmit::default(),
            heartbeat: Heartbeat::new(now, seed),
            control_rate: RateLimiter::new(config.limits.control_rate, now),
            config,
            counters: Counters::default(),
            opened: now,
            last_message: now,
            noted_sent: 0,
            closing: None,
            random: random.map(Box::new),
            observer: None,
        }
    }

    /// Lets `observer` see every frame from now on.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(Box::new(observer));
        self.takes_simple = false;
    }

    /// Takes bytes that were received and returns an iterator over the events in them.
    ///
    /// The bytes are unmasked in place. Take all events before the slice goes; what is left when
    /// the iterator is dropped is kept and comes first at the next call, which may bring no new
    /// input.
    #[inline]
    pub fn handle_input<'c, 'b>(&'c mut self, now: Instant, input: &'b mut [u8]) -> Events<'c, 'b> {
        if !input.is_empty() {
            self.heartbeat.handle_received(now);
            self.counters.bytes_received += input.len() as u64;
        }
        Events { connection: self, input, now }
    }

    /// Takes bytes that were received into a buffer of the caller's. What is in it afterwards is of
    /// no more use.
    ///
    /// Like [`handle_input`](Self::handle_input), but the payloads of large messages stay where
    /// they lie: they share the memory of the buffer, which is free again when the last of them is
    /// dropped.
    #[inline]
    pub fn handle_buffer<'c, 'b>(
        &'c mut self,
        now: Instant,
        buffer: &'b mut BytesMut,
    ) -> Events<'c, 'b> {
        if buffer.len() < SHARE_FROM || self.inbound.has_unread() {
            return self.handle_input(now, buffer);
        }
        self.heartbeat.handle_received(now);
        self.counters.bytes_received += buffer.len() as u64;
        self.inbound.keep_shared(buffer.split());
        Events { connection: self, input: &mut [], now }
    }

    /// Keeps bytes that came behind the head of the opening handshake, for the first call of
    /// [`handle_input`](Self::handle_input).
    pub fn handle_early(&mut self, now: Instant, input: &[u8]) {
        drop(self.handle_input(now, &mut input.to_vec()));
    }

    /// Returns memory to read the rest of a large frame into, if one is arriving.
    ///
    /// After reading into it, call [`handle_frame_buffer`](Self::handle_frame_buffer) with the
    /// number of bytes read. Saves a copy; reading elsewhere and calling
    /// [`handle_input`](Self::handle_input) is as correct.
    #[inline]
    pub fn frame_buffer(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        if !matches!(self.state, State::Open | State::Closing) {
            return None;
        }
        let whole = self.config.delivery == Delivery::Whole;
        self.inbound.partial_mut().filter(|_| whole)?.frame_buffer()
    }

    /// Takes `n` bytes that were read into the [`frame_buffer`](Self::frame_buffer).
    pub fn handle_frame_buffer(&mut self, now: Instant, n: usize) -> Events<'_, 'static> {
        if n > 0 {
            self.heartbeat.handle_received(now);
            self.counters.bytes_received += n as u64;
        }
        Events { connection: self, input: &mut [], now }
    }

    /// Returns whether input was kept that [`handle_input`](Self::handle_input), called with no
    /// new input, would look at.
    #[must_use]
    #[inline]
    pub fn has_unread(&self) -> bool {
        self.inbound.has_unlooked()
    }

    /// Leaves input that ends the connection, a Close or what is illegal, lying until
    /// [`release_end`](Self::release_end), so that messages before it can be answered first.
    ///
    /// For engines whose application takes messages later than they are read.
    #[inline]
    pub fn hold_end(&mut self) {
        if self.hold == Hold::No {
            self.hold = Hold::Asked;
        }
    }

    /// Ends [`hold_end`](Self::hold_end). Returns whether something was left lying: call
    /// [`handle_input`](Self::handle_input) to go on.
    #[inline]
    pub fn release_end(&mut self) -> bool {
        std::mem::replace(&mut self.hold, Hold::No) == Hold::Held
    }

    /// Tells that we stop reading because the application is slow.
    ///
    /// Meanwhile the peer's deadlines stand still, and we show life by a Ping and an unsolicited
    /// Pong (RFC 6455 §5.5.3) at each keepalive interval.
    pub fn pause(&mut self, now: Instant) {
        self.heartbeat.pause(now);
    }

    /// Tells that we read again.
    pub fn resume(&mut self, now: Instant) {
        if let Some(pause) = self.heartbeat.resume(now) {
            self.inbound.postpone(pause);
            self.last_message = (self.last_message + pause).min(now);
        }
    }

    /// Returns whether reading is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.heartbeat.is_paused()
    }

    /// Fills `slices` with what is to be written next and returns how many it filled.
    #[inline]
    pub fn transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.transmit.slices(slices)
    }

    /// Returns what is to be written next if it lies in one piece, as it mostly does.
    #[must_use]
    #[inline]
    pub fn transmit_slice(&self) -> Option<&[u8]> {
        self.transmit.as_slice()
    }

    /// Takes everything that is to be written, as if it had been.
    pub fn transmit_to_vec(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.transmit.len());
        while !self.transmit.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = self.transmit.slices(&mut slices);
            let from = out.len();
            slices[..n].iter().for_each(|slice| out.extend_from_slice(slice));
            let taken = out.len() - from;
            self.handle_transmitted(now, taken);
        }
        out
    }

    /// Returns how many bytes wait to be written.
    #[must_use]
    #[inline]
    pub fn transmit_len(&self) -> usize {
        self.transmit.len()
    }

    /// Tells that the socket took `n` bytes of what was to be transmitted.
    #[inline]
    pub fn handle_transmitted(&mut self, now: Instant, n: usize) {
        // Nothing waits any more if the connection was cut between the write and this call.
        let n = n.min(self.transmit.len());
        if n == 0 {
            return;
        }
        let head = n.min(self.head_left as usize);
        self.head_left -= head as u32;
        self.counters.bytes_sent += (n - head) as u64;
        if self.transmit.blocked_since().is_some() {
            self.heartbeat.handle_progress(now);
        }
        if self.noted_sent != self.counters.messages_sent {
            self.noted_sent = self.counters.messages_sent;
            self.last_message = now;
        }
        self.transmit.advance(n);
        if self.unanswered.is_some() && self.has_pong_room() {
            self.answer_late();
        }
        if self.transmit.is_empty() && self.state == State::Finishing {
            self.finish(now);
        }
    }

    /// Tells that the socket is full; the write timeout runs until it takes something.
    pub fn handle_blocked(&mut self, now: Instant) {
        if !self.transmit.is_empty() {
            self.transmit.block(now);
        }
    }

    /// Puts the head that ends the opening handshake in front of the first frame, so that both
    /// leave in one write. It does not count as sent by the connection.
    pub fn transmit_head(&mut self, head: Vec<u8>) {
        self.head_left = u32::try_from(head.len()).unwrap_or(u32::MAX);
        *self.transmit.buf() = head;
    }

    /// Lends a buffer for output, so that an idle connection need not own one; returns it if the
    /// connection has one.
    #[inline]
    pub fn lend_buffer(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        self.transmit.lend(buffer)
    }

    /// Returns whether there is a buffer for output already.
    #[must_use]
    #[inline]
    pub fn has_buffer(&self) -> bool {
        self.transmit.has_buffer()
    }

    /// Gives the output buffer away if all of it was written.
    #[inline]
    pub fn reclaim_buffer(&mut self) -> Option<Vec<u8>> {
        self.transmit.reclaim()
    }

    /// Tells that the peer ended its stream.
    pub fn handle_eof(&mut self, now: Instant) {
        match self.state {
            State::Open | State::Closing => {
                let cause = if self.inbound.is_mid_frame() {
                    Cause::EofMidFrame
                } else {
                    Cause::EofBetweenFrames
                };
                self.end_without_close(now, cause);
            }
            // A peer that has ended its stream may still read our answer to its Close.
            State::Finishing => self.hurry(now),
            State::Draining => self.set_closed(now),
            State::Closed => {}
        }
    }

    /// Tells that the socket failed.
    pub fn handle_io_error(&mut self, now: Instant, error: &io::Error) {
        self.abort(now, Cause::from(error));
    }

    /// Tells that the writing side was shut down, as [`wants_shutdown`](Self::wants_shutdown)
    /// asked.
    pub fn handle_shutdown(&mut self, _now: Instant) {
        self.shutdown = Shutdown::Done;
    }

    /// Returns whether the writing side of the socket is to be shut down now.
    #[must_use]
    #[inline]
    pub fn wants_shutdown(&self) -> bool {
        self.shutdown == Shutdown::Wanted
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
            sent: closing.sent.clone(),
            received: closing.received.clone(),
            duration: closing.ended.saturating_duration_since(self.opened),
            counters: closing.counters,
            unsent: closing.unsent,
            rtt: self.heartbeat.rtt(),
        })
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
        self.heartbeat.last_received()
    }

    /// Returns the smoothed round-trip time, once a Ping was answered.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.heartbeat.rtt()
    }

    fn show(&mut self, direction: Direction, header: &FrameHeader, payload: &[u8]) {
        if let Some(observer) = &mut self.observer {
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
