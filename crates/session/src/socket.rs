//! What belongs to one socket and goes with it: what it is asked and answers, and when it last
//! lived (protocol §9).

use crate::{At, Transmit, rare::Rare, rate::Rate};

const STRIKES_AT_ONCE: u32 = 100;
const STRIKES_PER_SECOND: u32 = 10;

/// A socket of a session.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: u64,
    /// Whether HELLO and WELCOME were exchanged.
    pub(crate) is_attached: bool,
    /// Whether its end is decided: what it says has no effect, what is queued still leaves.
    pub(crate) is_parting: bool,
    pub(crate) last_received: At,
    pub(crate) last_sent: At,
    pub(crate) ping: Option<Ping>,
    pub(crate) ping_due: bool,
    pub(crate) pong: Option<u64>,
    pub(crate) bye_at: Option<At>,
    pub(crate) queue: Rare<Transmit>,
    /// The number of PINGs: the token of the last.
    pings: u64,
    /// Our `recv` when the peer last said where it stands.
    counted_at: u64,
    strikes: Rate,
}

/// A PING that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub(crate) at: At,
    /// What the answer has to acknowledge.
    pub(crate) position: u64,
    /// Whether the answer is still to come.
    pub(crate) is_open: bool,
}

impl Socket {
    pub(crate) fn new(now: At, id: u64) -> Self {
        Self {
            id,
            is_attached: false,
            is_parting: false,
            last_received: now,
            last_sent: now,
            ping: None,
            ping_due: false,
            pong: None,
            bye_at: None,
            queue: Rare::new(),
            pings: 0,
            counted_at: u64::MAX,
            strikes: Rate::new(now, STRIKES_AT_ONCE),
        }
    }

    /// Returns whether it is attached, and messages are all that is to be sent on it.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_attached
            && !self.is_parting
            && !self.ping_due
            && self.pong.is_none()
            && self.queue.is_empty()
    }

    /// Returns a PING to send.
    pub(crate) fn next_ping(&mut self, now: At, position: u64) -> u64 {
        self.pings += 1;
        self.ping_due = false;
        self.ping = Some(Ping { at: now, position, is_open: true });
        self.pings
    }

    /// Returns the PING that a PONG answers.
    pub(crate) fn answered(&mut self, token: u64) -> Option<Ping> {
        let is_last = self.pings == token;
        let ping = self.ping.as_mut().filter(|ping| is_last && ping.is_open)?;
        ping.is_open = false;
        Some(*ping)
    }

    /// Returns the PING after which nothing at all was received.
    pub(crate) fn silent_since(&self) -> Option<Ping> {
        self.ping.filter(|ping| ping.is_open && self.last_received <= ping.at)
    }

    /// Notes our `recv` when the peer says where it stands, and returns whether it had said so
    /// with the same.
    pub(crate) fn counted(&mut self, recv: u64) -> bool {
        std::mem::replace(&mut self.counted_at, recv) == recv
    }

    /// Takes note of a frame that says nothing; returns whether that is too many.
    pub(crate) fn strike(&mut self, now: At) -> bool {
        !self.strikes.take(now, STRIKES_AT_ONCE, STRIKES_PER_SECOND)
    }
}
