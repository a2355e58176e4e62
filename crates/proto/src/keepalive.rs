//! The policies of keepalive.

use std::time::Duration;

/// The shortest interval and timeout: nothing is due again at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// When to ask a silent peer for life, and when to give it up.
///
/// Any received byte is life, so a Ping goes out only into silence. While *we* do not read, the
/// peer's time stands still; while the socket is full, what it takes is life too.
///
/// | policy | asks after | gives up after | a dead peer is noticed within |
/// |---|---|---|---|
/// | [`standard`](Self::standard) | 22.5 s to 25 s | 20 s more | 45 s |
/// | [`fast`](Self::fast) | 1.8 s to 2 s | 2 s more | 4 s; 3 s while data is in flight |
/// | [`off_i_have_my_own`](Self::off_i_have_my_own) | never | never | when TCP finds out |
///
/// An engine that rounds its timers adds its tick, twice at most. The first silence of a connection
/// is cut short by up to a half, so that connections that were opened together do not ask together.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire_proto::{Config, Keepalive};
///
/// let mut config = Config::default();
/// assert_eq!(config.keepalive, Some(Keepalive::standard()));
/// config.keepalive = Some(Keepalive::new(Duration::from_secs(50), Duration::from_secs(10)));
/// config.keepalive = Keepalive::off_i_have_my_own();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Keepalive {
    /// Silence after which a Ping is sent; up to 10 % shorter from connection to connection.
    /// Default: 25 s, which survives the idle limits of all common proxies.
    pub interval: Duration,
    /// Time the peer has after the Ping to show any life. Default: 20 s.
    pub timeout: Duration,
    /// Whether what the system knows of the path is asked for while data is in flight, to ask a
    /// peer early that acknowledges nothing. See [`PathFacts`](crate::PathFacts). Default: no.
    pub watches_path: bool,
    /// Whether it is noted which silences the path tolerated. See
    /// [`Tolerance`](crate::Tolerance). Default: no.
    pub learns: bool,
}

impl Keepalive {
    /// Returns a policy with this interval and timeout.
    ///
    /// A Pong lies behind whatever the peer has not read yet, and what its system has acknowledged
    /// is no progress that is seen here. So the timeout is to be at least the bytes that may be
    /// queued at the peer, which are megabytes, divided by the rate at which it reads; a shorter
    /// one takes a slow reader for a dead peer.
    ///
    /// On Linux, everwire also sets TCP_USER_TIMEOUT by it: interval plus timeout, or a second more
    /// than the write timeout if that is longer. A peer whose receive buffer is smaller than one
    /// segment is ended by that ([`Cause::PathTimeout`](crate::Cause::PathTimeout)) even while it
    /// reads: the system's time runs until the window takes a whole one.
    #[must_use]
    pub const fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout, watches_path: false, learns: false }
    }

    /// Returns the policy for most: 25 s of silence, then 20 s to answer.
    #[must_use]
    pub const fn standard() -> Self {
        Self::new(Duration::from_secs(25), Duration::from_secs(20))
    }

    /// Returns the policy that notices a dead peer within 5 s: 2 s of silence, then 2 s to answer;
    /// within 3 s while data is in flight, if the engine hands in
    /// [`PathFacts`](crate::PathFacts).
    ///
    /// It costs a wake-up of both ends every other second, and of a phone its battery.
    #[must_use]
    pub const fn fast() -> Self {
        let mut fast = Self::new(Duration::from_secs(2), Duration::from_secs(2));
        fast.watches_path = true;
        fast
    }

    /// Returns no policy at all: the application asks its peer itself, and gives it up.
    ///
    /// Without one of its own, a peer that vanished is noticed only when something is sent to it,
    /// after the system's own time, which may be a quarter of an hour.
    #[must_use]
    pub const fn off_i_have_my_own() -> Option<Self> {
        None
    }

    /// Returns this policy, noting which silences the path tolerated, as a client does that looks
    /// for the longest interval.
    #[must_use]
    pub const fn learning(mut self) -> Self {
        self.learns = true;
        self
    }
}

impl Default for Keepalive {
    /// Returns [`standard`](Self::standard).
    fn default() -> Self {
        Self::standard()
    }
}

/// A policy as one connection follows it: its intervals are moved by a seed, so that the pings of
/// many connections never align. A seed of 0 moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) policy: Keepalive,
    pub(crate) seed: u8,
}

impl Rhythm {
    /// Returns the interval of this connection: up to 10 % shorter than the policy's, never longer,
    /// because others count on the sum of interval and timeout.
    pub(crate) fn interval(&self) -> Duration {
        self.cut(self.policy.interval, 2560).max(SHORTEST)
    }

    /// Returns the first interval: up to a half shorter.
    pub(crate) fn first_interval(&self) -> Duration {
        self.cut(self.interval(), 512).max(SHORTEST)
    }

    /// Returns a time shortened by as many parts of `parts` as the seed says.
    fn cut(&self, time: Duration, parts: u128) -> Duration {
        // A u128 holds more nanoseconds than a `Duration` has.
        let cut = time.as_nanos() * u128::from(self.seed) / parts;
        time - Duration::from_nanos(u64::try_from(cut).unwrap_or(0))
    }

    /// Returns how soon we show life when we stop reading: a question of the peer's may be on its
    /// way that we shall not answer. Not at once, because most pauses are short.
    pub(crate) fn first_show(&self) -> Duration {
        (self.timeout() / 8).clamp(SHORTEST, Duration::from_secs(1)).min(self.interval())
    }

    /// Returns how often we show life while we do not read: a peer of the same policy that asks
    /// just after must see the next in time, whatever the path takes.
    pub(crate) fn show(&self) -> Duration {
        (self.timeout() * 2 / 5).clamp(SHORTEST, self.interval())
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.policy.timeout.max(SHORTEST)
    }
}
