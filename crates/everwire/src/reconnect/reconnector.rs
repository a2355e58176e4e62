//! When to connect: the state machine without a clock, a socket or a task.

use std::{
    fmt,
    mem::replace,
    time::{Duration, Instant},
};

use everwire_proto::Random;

use super::{ReconnectPolicy, Retry, attempt_time::AttemptTime};

/// How many closings in a row with 1011 (internal error) make attempts rare.
const SERVER_FAULTS: u32 = 5;

/// Decides when to connect, and when to stop: pure, for whoever runs the attempts.
///
/// ```text
///              handle_timeout            handle_opened
///   Scheduled ───────────────► Attempting ────────────► Open
///     ▲  ▲  │                    │  │                   │ │
///     │  │  │    handle_failed   │  │   handle_closed   │ │
///     │  └──┼────────────────────┘  │                   │ │
///     │     │ pause                 │ pause             │ │
///     │     ▼                       ▼                   │ │
///     └── Waiting ◄─────────────────────────────────────┘ │  if paused
///  wake ▲                                                 │
///       └── Stopped: `stop`, or the verdict `Never` ◄─────┘
/// ```
/// Time and randomness are arguments. After any call, look at [`phase`](Self::phase) and arm
/// [`poll_timeout`](Self::poll_timeout). [`ReconnectingClient`](super::ReconnectingClient) runs it
/// over sockets.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// use everwire::reconnect::{Failure, Phase, ReconnectPolicy, Reconnector, Retry};
///
/// let random = |bytes: &mut [u8]| bytes.fill(0x80); // in earnest: a real generator
/// let start = Instant::now();
/// let mut reconnector = Reconnector::new(ReconnectPolicy::default(), start, random);
/// let attempt = reconnector.handle_timeout(start).expect("the first attempt is due at once");
/// assert_eq!(attempt.number, 1);
///
/// reconnector.handle_failed(start, Failure::new(Retry::Now));
/// let Phase::Scheduled { delay, .. } = reconnector.phase() else { unreachable!() };
/// assert!(delay < Duration::from_secs(1));
/// ```
pub struct Reconnector {
    policy: ReconnectPolicy,
    /// The time over which first retries are spread, as a server wants it.
    first_spread: Option<Duration>,
    random: Box<dyn Random>,
    phase: Phase,
    paused: bool,
    /// The number of the attempt that is next or under way, since the last stable connection.
    attempt: u32,
    /// Retries since the delays began to grow.
    n_retries: u32,
    generation: u64,
    /// Since when there has been no stable connection.
    outage: Option<Instant>,
    /// When the last attempt began.
    begun: Option<Instant>,
    /// Until when the server asked us to stay away.
    advised: Option<Instant>,
    /// When `wake` last let the delays begin anew.
    renewed: Option<Instant>,
    /// Whether each remedy that is tried once was tried since the last stable connection.
    token_refreshed: bool,
    session_renewed: bool,
    /// The next attempt is the one with a new token.
    refresh_token: bool,
    server_faults: u32,
    attempt_time: AttemptTime,
}

/// What a [`Reconnector`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The next attempt begins at this time.
    Scheduled {
        /// When.
        at: Instant,
        /// How long that was when it was decided.
        delay: Duration,
    },
    /// An attempt is under way.
    Attempting,
    /// A connection is open.
    Open,
    /// Nothing happens before [`Reconnector::wake`].
    Waiting,
    /// Nothing will ever happen again.
    Stopped,
}

/// An attempt that is to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number since the last stable connection; the first is 1.
    pub number: u32,
    /// How long it may take.
    pub timeout: Duration,
    /// The last failure suggests that a new token would help.
    pub refresh_token: bool,
}

/// What [`Reconnector::wake`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Look at the phase; an attempt may be due earlier.
    Rescheduled,
    /// Probe the connection that is open: its path may be gone.
    Probe,
    /// Nothing.
    Nothing,
}

/// What is to be known of a failed attempt or an ended connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What to do about it.
    pub retry: Retry,
    /// The attempt ran into its deadline.
    pub timed_out: bool,
    /// The server said 1011 (internal error).
    pub server_fault: bool,
}

impl Failure {
    /// Returns a failure with this verdict and nothing special about it.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        Self { retry, timed_out: false, server_fault: false }
    }
}

impl Reconnector {
    /// Returns a machine whose first attempt is due at once.
    #[must_use]
    pub fn new(policy: ReconnectPolicy, now: Instant, random: impl Random + 'static) -> Self {
        Self {
            policy,
            first_spread: None,
            random: Box::new(random),
            phase: Phase::Scheduled { at: now, delay: Duration::ZERO },
            paused: false,
            attempt: 1,
            n_retries: 0,
            generation: 0,
            outage: None,
            begun: None,
            advised: None,
            renewed: None,
            token_refreshed: false,
            session_renewed: false,
            refresh_token: false,
            server_faults: 0,
            attempt_time: AttemptTime::default(),
        }
    }

    /// Tells the time, and returns the attempt that is to be made if one is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Attempt> {
        match self.phase {
            Phase::Scheduled { at, .. } if at <= now => {}
            _ => return None,
        }
        self.phase = Phase::Attempting;
        self.begun = Some(now);
        Some(Attempt {
            number: self.attempt,
            timeout: self.attempt_time.limit(&self.policy),
            refresh_token: self.refresh_token,
        })
    }

    /// Tells that the attempt succeeded, and returns the number of the connection: the first is 1.
    /// `took` is how much of the attempt's [`timeout`](Attempt::timeout) it took.
    pub fn handle_opened(&mut self, now: Instant, took: Duration) -> u64 {
        debug_assert_eq!(self.phase, Phase::Attempting, "only an attempt opens a connection");
        self.attempt_time.handle_success(took);
        self.advised = None;
        self.begun = Some(now); // From here on: since when the connection is open.
        self.phase = Phase::Open;
        self.generation += 1;
        self.generation
    }

    /// Tells that the attempt failed.
    pub fn handle_failed(&mut self, now: Instant, failure: Failure) {
        debug_assert_eq!(self.phase, Phase::Attempting, "only an attempt fails");
        if failure.timed_out {
            self.attempt_time.handle_timeout();
        }
        self.attempt = self.attempt.saturating_add(1);
        self.next(now, failure);
    }

    /// Tells that the connection ended.
    pub fn handle_closed(&mut self, now: Instant, failure: Failure) {
        debug_assert_eq!(self.phase, Phase::Open, "only an open connection ends");
        let open_for = self.begun.map_or(Duration::ZERO, |it| now.saturating_duration_since(it));
        if open_for >= self.policy.stable_after {
            self.attempt = 1;
            self.n_retries = 0;
            self.outage = None;
            self.token_refreshed = false;
            self.session_renewed = false;
        } else {
            self.attempt = self.attempt.saturating_add(1);
        }
        self.server_faults = if failure.server_fault { self.server_faults + 1 } else { 0 };
        self.next(now, failure);
    }

    /// Makes no attempt until [`wake`](Self::wake): the network is gone, or nobody is looking. One
    /// that is under way is to be given up; an open connection stays open.
    pub fn pause(&mut self) {
        self.paused = self.phase != Phase::Stopped;
        if self.phase == Phase::Attempting {
            self.attempt = self.attempt.saturating_add(1);
        }
        if let Phase::Scheduled { .. } | Phase::Attempting = self.phase {
            self.phase = Phase::Waiting;
        }
    }

    /// Tells that something changed for the better: the network came back, the device woke up.
    ///
    /// The next attempt is made at once, but not sooner than the server asked for, and at most one
    /// in [`ReconnectPolicy::wake_spacing`]. The delays begin anew, at most once in
    /// [`ReconnectPolicy::cap`].
    pub fn wake(&mut self, now: Instant) -> Wake {
        self.paused = false;
        match self.phase {
            Phase::Stopped => Wake::Nothing,
            Phase::Open => Wake::Probe,
            Phase::Attempting => {
                self.renew(now);
                Wake::Nothing
            }
            Phase::Scheduled { .. } | Phase::Waiting => {
                self.renew(now);
                let spaced = self.begun.map(|begun| later(begun, self.policy.wake_spacing));
                let at = now.max(spaced.unwrap_or(now)).max(self.advised.unwrap_or(now));
                match self.phase {
                    // Never later than it would have been.
                    Phase::Scheduled { at: sooner, .. } if sooner <= at => Wake::Nothing,
                    _ => {
                        self.schedule(now, at);
                        Wake::Rescheduled
                    }
                }
            }
        }
    }

    /// Sets the time over which first retries are spread, as a server wants it. It is bounded by
    /// [`ReconnectPolicy::advice_limit`].
    pub(crate) fn set_first_spread(&mut self, spread: Duration) {
        self.first_spread = Some(spread.min(self.policy.advice_limit));
    }

    /// Ends it for good.
    pub fn stop(&mut self) {
        self.phase = Phase::Stopped;
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Scheduled { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Returns what it is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the number of the attempt that is next or under way.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the number of the last connection, 0 before the first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Decides what follows a failure.
    fn next(&mut self, now: Instant, failure: Failure) {
        let outage_since = *self.outage.get_or_insert(now);
        let mut outage = now.saturating_duration_since(outage_since);
        if self.server_faults >= SERVER_FAULTS {
            outage = outage.max(self.policy.slow_after);
        }
        self.advised = None;
        let n_retries = self.n_retries;
        self.n_retries = self.n_retries.saturating_add(1);
        self.refresh_token = failure.retry == Retry::RefreshTokenOnce;
        let advice = match failure.retry {
            Retry::Never => return self.stop(),
            Retry::RefreshTokenOnce if replace(&mut self.token_refreshed, true) => {
                return self.stop();
            }
            Retry::FreshSessionOnce if replace(&mut self.session_renewed, true) => {
                return self.stop();
            }
            Retry::After { after, spread } => Some((after, spread)),
            _ => None,
        };
        let at = match advice {
            // Advice that would let us hammer the server is none, but for the first retry.
            Some((after, spread))
                if n_retries == 0 || after.saturating_add(spread) >= self.policy.first_spread =>
            {
                let delay = self.policy.advised(after, spread, &mut *self.random);
                *self.advised.insert(later(now, delay))
            }
            // What counts as hammering above is not the server's to say.
            _ => {
                let wanted = self.first_spread.unwrap_or(self.policy.first_spread);
                let policy = ReconnectPolicy { first_spread: wanted, ..self.policy.clone() };
                later(now, policy.delay(n_retries, outage, &mut *self.random))
            }
        };
        if self.paused {
            self.phase = Phase::Waiting;
        } else {
            self.schedule(now, at);
        }
    }

    /// Lets the delays begin anew, unless that was done a short while ago: whoever calls `wake` in
    /// a loop must not undo the growth of the delays.
    fn renew(&mut self, now: Instant) {
        let recent = |at: Instant| now.saturating_duration_since(at) < self.policy.cap;
        if !self.renewed.is_some_and(recent) {
            self.renewed = Some(now);
            self.n_retries = 0;
            self.outage = self.outage.map(|_| now);
        }
    }

    fn schedule(&mut self, now: Instant, at: Instant) {
        self.phase = Phase::Scheduled { at, delay: at.saturating_duration_since(now) };
    }
}

/// Adds a time that may be for ever.
pub(crate) fn later(now: Instant, delay: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(1 << 32);
    now + delay.min(FOREVER)
}

impl fmt::Debug for Reconnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnector")
            .field("phase", &self.phase)
            .field("attempt", &self.attempt)
            .field("generation", &self.generation)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
