//! What an end allows and how long it waits.

use std::time::Duration;

/// Settings of an end. Plain data; shared by `Arc`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everwire_session::{Acks, Config, Overflow};
///
/// let mut config = Config::server();
/// config.acks = Acks::Released; // Who takes nothing stops the client, and nobody else.
/// config.buffer.overflow = Overflow::End; // Who is away for too long has lost nothing unnoticed.
/// config.terms.ttl = Duration::from_secs(300);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The cost of messages that may be on their way to the application: a message costs its
    /// payload and 32. It is 4 GiB at most. Default: 262,144.
    pub window: u64,
    /// The largest message that the end takes, in bytes. Default: 1 MiB.
    pub max_message: u64,
    /// What is kept for a replay.
    pub buffer: Buffer,
    /// Who gives credit back, and says what may be forgotten. Default: automatic.
    pub acks: Acks,
    /// How long an acknowledgement may wait for another. Default: 200 ms.
    pub ack_delay: Duration,
    /// How many messages may go unacknowledged. Default: 64.
    pub ack_after: u32,
    /// How long what was sent may go unacknowledged before the socket counts as dead. A sixth of
    /// it is waited before the peer is asked. Default: 60 s.
    pub ack_timeout: Duration,
    /// How long to wait for HELLO or WELCOME. Default: 10 s.
    pub attach_timeout: Duration,
    /// How long to wait for the reply to BYE. Default: 5 s.
    pub bye_timeout: Duration,
    /// How many volatile messages may wait to be sent, and as many to be taken. Default: 64.
    pub volatile_entries: usize,
    /// For a client: whether to ask for life when a message goes unacknowledged for 1 s.
    /// Default: yes.
    pub probes: bool,
    /// For a client: how long it wants its session kept when it is detached; nothing: the server
    /// decides. Default: 60 s.
    pub ttl: Duration,
    /// For a server: what it tells and grants its clients.
    pub terms: Terms,
    /// A rule to leave out. For tests that show that it is needed.
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

impl Config {
    /// Returns the largest WebSocket message that a socket has to let through to the session, in bytes.
    ///
    /// It is 64 KiB above [`max_message`](Self::max_message): a message that is somewhat too large comes
    /// to the session, which can say so with a BYE. A HELLO and a ticket have room in it as well.
    #[must_use]
    pub const fn max_frame(&self) -> u64 {
        self.max_message.saturating_add(1 + HEADROOM)
    }
}

/// By how much a frame may exceed the largest message and still be answered by the session.
const HEADROOM: u64 = 1 << 16;

/// A rule without which messages are lost or doubled, or a client is locked out.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The server goes on listening to the old socket.
    NoServerFence,
    /// The client goes on listening to the old socket.
    NoClientFence,
    /// Attaches are ordered by their arrival.
    ArrivalOrder,
    /// The old token dies when a new one is made.
    NoTokenGrace,
}

/// How much is kept for a replay, and what happens when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Payload bytes. Default: 262,144 for a server, 1 MiB for a client.
    pub bytes: usize,
    /// Messages. Default: 4,096.
    pub entries: usize,
    /// How old a message may become while there is no socket. Default: as old as it likes.
    pub age: Option<Duration>,
    /// What happens to a message that finds the buffer full while there is no socket. While there
    /// is one it is always refused. Default: evicts the oldest at a server, refuses at a client.
    pub overflow: Overflow,
}

/// What happens to a message that finds the buffer full while there is no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is refused with [`SendError::Full`](crate::SendError::Full).
    Refuse,
    /// The oldest messages make room. Both applications are told.
    Evict,
    /// The session ends with [`Code::SLOW_CONSUMER`](crate::Code::SLOW_CONSUMER).
    End,
}

/// Who gives credit back for received messages, and says which the peer may forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// A message is credited when `poll_event` hands it out, and may be forgotten on receipt.
    Automatic,
    /// A message is credited when the application releases it, and may be forgotten on receipt.
    Released,
    /// A message is credited and may be forgotten when the application releases it, which has
    /// stored its effect by then: what it had not stored comes again after a crash.
    Manual,
}

/// What a server tells and grants its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// How long a detached session is kept if the client does not say. Default: 60 s.
    pub ttl: Duration,
    /// How long it is kept at most, whatever the client says. Default: 10 min.
    pub ttl_limit: Duration,
    /// How long a session is kept whose client never confirmed it. Default: 10 s.
    pub unconfirmed_ttl: Duration,
    /// Silence after which a client is asked for life; varied by ±10 % by session. Default: 25 s.
    pub heartbeat: Duration,
    /// How long a client has to answer. Default: 10 s.
    pub heartbeat_timeout: Duration,
    /// The time over which clients spread their first attempt after a loss. Default: 1 s.
    pub first_spread: Duration,
    /// Attaches of one session at once, then one per second. Default: 5.
    pub attach_burst: u32,
    /// Whether a resume must be authenticated. Default: it must.
    pub reauthentication: Reauthentication,
    /// Whether a token that was replaced and confirmed ends the session: somebody has a copy.
    /// Default: no.
    pub end_on_token_reuse: bool,
}

/// Whether a client that resumes must say again who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reauthentication {
    /// It must.
    Required,
    /// Not within this time after the last authentication.
    Grace(Duration),
    /// The token is enough.
    TokenOnly,
}

impl Config {
    /// Returns the defaults of a client.
    #[must_use]
    pub fn client() -> Self {
        let buffer =
            Buffer { bytes: 1 << 20, entries: 4096, age: None, overflow: Overflow::Refuse };
        Self { buffer, ..Self::server() }
    }

    /// Returns the defaults of a server.
    #[must_use]
    pub fn server() -> Self {
        Self {
            window: 1 << 18,
            max_message: 1 << 20,
            buffer: Buffer { bytes: 1 << 18, entries: 4096, age: None, overflow: Overflow::Evict },
            acks: Acks::Automatic,
            ack_delay: Duration::from_millis(200),
            ack_after: 64,
            ack_timeout: Duration::from_secs(60),
            attach_timeout: Duration::from_secs(10),
            bye_timeout: Duration::from_secs(5),
            volatile_entries: 64,
            probes: true,
            ttl: Duration::from_secs(60),
            terms: Terms::default(),
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }

    #[cfg(feature = "mutations")]
    pub(crate) fn leaves_out(&self, rule: Mutation) -> bool {
        self.mutation == Some(rule)
    }

    #[cfg(not(feature = "mutations"))]
    #[expect(clippy::unused_self, reason = "with the feature it looks")]
    pub(crate) const fn leaves_out(&self, _: Mutation) -> bool {
        false
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            ttl_limit: Duration::from_secs(600),
            unconfirmed_ttl: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_secs(10),
            first_spread: Duration::from_secs(1),
            attach_burst: 5,
            reauthentication: Reauthentication::Required,
            end_on_token_reuse: false,
        }
    }
}

/// Returns whole milliseconds, as they go on the wire.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(crate::MAX_NUMBER)
}
