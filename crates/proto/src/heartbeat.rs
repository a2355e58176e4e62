//! Keepalive: any byte is life, pings go only into silence, and RTT is measured on the way.

use std::time::{Duration, Instant};

use crate::{Keepalive, deadline::after};

/// What the payload of a numbered ping starts with, so that a user's own ping is not taken for one.
const NUMBERED: [u8; 4] = [0xE7, b'e', b'w', 0x01];

/// The shortest interval and timeout: nothing is due again at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// The clockwork of one connection's keepalive.
///
/// ```text
///            nothing received for `interval`           nothing for `timeout` more
///   alive ───────────────────────────────────► asked ────────────────────────────► dead
///     ▲                                          │
///     └──────────────── any byte ────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Heartbeat {
    last_received: Instant,
    /// When the unanswered ping of the keepalive was sent.
    asked: Option<Instant>,
    /// Since when we do not read; the peer's deadline stands still meanwhile.
    paused: Option<Instant>,
    /// When the last ping went out while paused.
    paused_ping: Option<Instant>,
    /// Spread of the interval, -128..=127 of 1280: ±10 %.
    spread: i8,
    /// Number of the last ping that was sent.
    sent: u32,
    /// Number of the last ping that was answered.
    answered: u32,
    /// When the ping with the number `sent` went out.
    sent_at: Option<Instant>,
    rtt: Rtt,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send a ping.
    Ping,
    /// Send a ping and an unsolicited pong: we are not reading, but we live.
    PingAndPong,
    /// Give the peer up: nothing came for so long.
    Dead(Duration),
}

impl Heartbeat {
    pub(crate) fn new(now: Instant, seed: u8) -> Self {
        Self {
            last_received: now,
            asked: None,
            paused: None,
            paused_ping: None,
            spread: seed as i8,
            sent: 0,
            answered: 0,
            sent_at: None,
            rtt: Rtt::default(),
        }
    }

    #[inline]
    pub(crate) fn handle_received(&mut self, now: Instant) {
        self.last_received = now;
        self.asked = None;
    }

    /// Notes that a full socket took more of our output: a download in progress is life.
    pub(crate) fn handle_progress(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
        self.asked = None;
    }

    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Returns the smoothed round-trip time.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// Numbers the next ping and returns its payload.
    pub(crate) fn next_ping(&mut self, now: Instant) -> [u8; 8] {
        self.sent = self.sent.wrapping_add(1);
        self.sent_at = self.paused.is_none().then_some(now);
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&NUMBERED);
        payload[4..].copy_from_slice(&self.sent.to_be_bytes());
        payload
    }

    /// Returns the number of the last ping.
    pub(crate) fn last_ping(&self) -> u32 {
        self.sent
    }

    /// Returns the number of the last ping that was answered.
    pub(crate) fn answered(&self) -> u32 {
        self.answered
    }

    /// Returns whether the ping of this number, or a later one, was answered.
    pub(crate) fn is_answered(&self, ping: u32) -> bool {
        self.answered.wrapping_sub(ping) as i32 >= 0
    }

    /// Takes a pong; one that answers a numbered ping answers all earlier ones too (§5.5.3).
    pub(crate) fn handle_pong(&mut self, payload: &[u8], now: Instant) {
        let Some(Ok(number)) = payload.strip_prefix(&NUMBERED).map(TryInto::try_into) else {
            return;
        };
        let number = u32::from_be_bytes(number);
        let (ahead, news) =
            (self.sent.wrapping_sub(number) as i32, number.wrapping_sub(self.answered) as i32);
        if ahead < 0 || news <= 0 {
            return; // Unsolicited, or known already.
        }
        self.answered = number;
        if ahead == 0
            && let Some(sent_at) = self.sent_at.take()
        {
            self.rtt.push(now.saturating_duration_since(sent_at));
        }
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        if self.paused.is_none() {
            self.paused = Some(now);
            self.paused_ping = None;
            // A pong that waits for us to read says nothing about the path.
            self.sent_at = None;
        }
    }

    /// Ends a pause and returns how long it was; it does not count as the peer's silence.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Duration> {
        let pause = now.saturating_duration_since(self.paused.take()?);
        // Output that was taken during the pause may have been life in the middle of it.
        self.last_received = (self.last_received + pause).min(now);
        self.asked = self.asked.map(|asked| (asked + pause).min(now));
        Some(pause)
    }

    /// Returns whether the peer was asked for life, or we are paused.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.asked.is_some() || self.paused.is_some()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Returns when something is due.
    #[inline]
    pub(crate) fn poll_timeout(&self, policy: &Keepalive) -> Instant {
        if let Some(paused) = self.paused {
            return after(self.paused_ping.unwrap_or(paused), self.interval(policy));
        }
        match self.asked {
            Some(asked) => after(asked, policy.timeout.max(SHORTEST)),
            None => after(self.last_received, self.interval(policy)),
        }
    }

    /// Returns what is due at `now`, and notes that it was done; what was not done after all is
    /// due again one timeout later.
    pub(crate) fn handle_timeout(&mut self, policy: &Keepalive, now: Instant) -> Option<Due> {
        if now < self.poll_timeout(policy) {
            return None;
        }
        if self.paused.is_some() {
            self.paused_ping = Some(now);
            return Some(Due::PingAndPong);
        }
        match self.asked.replace(now) {
            Some(_) => Some(Due::Dead(now.saturating_duration_since(self.last_received))),
            None => Some(Due::Ping),
        }
    }

    /// Returns the policy's interval moved by up to 10 % either way, so that the pings of many
    /// connections never align; a seed of 0 leaves it as it is.
    fn interval(&self, policy: &Keepalive) -> Duration {
        let nanos = policy.interval.as_nanos() as i128;
        let spread = nanos * i128::from(self.spread) / 1280;
        Duration::from_nanos(u64::try_from(nanos + spread).unwrap_or(u64::MAX)).max(SHORTEST)
    }
}

/// The smoothed round-trip time of RFC 6298 §2.
#[derive(Clone, Copy, Debug, Default)]
struct Rtt {
    /// Microseconds; zero before the first sample.
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    fn push(&mut self, sample: Duration) {
        let sample = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (sample, sample / 2);
        } else {
            let deviation = self.smoothed.abs_diff(sample);
            self.variation = blend(self.variation, deviation, 4);
            self.smoothed = blend(self.smoothed, sample, 8);
        }
    }

    fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed.into()))
    }
}

/// Moves `old` towards `new` by one part of `parts`.
fn blend(old: u32, new: u32, parts: u64) -> u32 {
    ((u64::from(old) * (parts - 1) + u64::from(new)) / parts) as u32
}
