//! What belongs to one socket and goes with it: what it is asked and answers, and when it last
//! lived (protocol §9).

use std::collections::VecDeque;

use crate::{At, Transmit, rate::Rate};

const STRIKES_AT_ONCE: u32 = 100;
const STRIKES_PER_SECOND: u32 = 10;

/// A socket of a session: the newest, whose name its [`Endpoint`](crate::endpoint::Endpoint) knows.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Whether HELLO and WELCOME were exchanged.
    pub(crate) is_attached: bool,
    /// Whether its end is decided: what it says has no effect, what is queued still leaves.
    pub(crate) is_parting: bool,
    pub(crate) ping_due: bool,
    pub(crate) last_received: At,
    pub(crate) last_sent: At,
    /// The number of PINGs: the token of the last.
    pings: u32,
    /// Whether the peer has said where it stands.
    was_counted: bool,
    /// The low half of our `recv` when it last did: no window lets as many messages come in between as
    /// there are of these.
    counted_at: u32,
    /// Nothing for a socket that rests.
    rest: Option<Box<Rest>>,
}

/// What a socket has at times.
#[derive(Debug, Default)]
struct Rest {
    queue: VecDeque<Transmit>,
    /// The token of a PING to be answered.
    pong: Option<u64>,
    bye_at: Option<At>,
    /// Frames that say nothing.
    strikes: Option<Rate>,
    /// The last PING, until it is answered and says no more.
    ping: Option<Ping>,
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
    pub(crate) const fn new(now: At) -> Self {
        Self {
            is_attached: false,
            is_parting: false,
            ping_due: false,
            last_received: now,
            last_sent: now,
            pings: 0,
            was_counted: false,
            counted_at: 0,
            rest: None,
        }
    }

    /// Returns whether it is attached, and messages are all that is to be sent on it.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let rest = self.rest.as_ref();
        self.is_attached
            && !self.is_parting
            && !self.ping_due
            && rest.is_none_or(|rest| rest.pong.is_none() && rest.queue.is_empty())
    }

    /// Queues what is to be done on it, before all else.
    pub(crate) fn queue(&mut self, transmit: Transmit) {
        self.rest.get_or_insert_default().queue.push_back(transmit);
    }

    /// Takes the next of what is queued.
    pub(crate) fn take_queued(&mut self) -> Option<Transmit> {
        let transmit = self.rest.as_mut()?.queue.pop_front();
        self.tidy();
        transmit
    }

    /// Notes a PING to be answered.
    pub(crate) fn owe_pong(&mut self, token: u64) {
        self.rest.get_or_insert_default().pong = Some(token);
    }

    /// Returns the token of the PING that is to be answered.
    pub(crate) fn take_pong(&mut self) -> Option<u64> {
        let pong = self.rest.as_mut()?.pong.take();
        self.tidy();
        pong
    }

    /// Returns when BYE was said.
    pub(crate) fn bye_at(&self) -> Option<At> {
        self.rest.as_ref()?.bye_at
    }

    pub(crate) fn set_bye_at(&mut self, at: Option<At>) {
        if at.is_some() || self.rest.is_some() {
            self.rest.get_or_insert_default().bye_at = at;
        }
    }

    /// Gives back memory that is not used. A PING that was answered counts as long as something `waits`
    /// for its acknowledgement.
    pub(crate) fn shrink(&mut self, now: At, waits: bool) {
        if let Some(rest) = &mut self.rest {
            rest.strikes.take_if(|strikes| strikes.is_full(now));
        }
        self.forget_ping(waits);
    }

    /// Forgets the PING that was answered, unless something `waits` for its acknowledgement.
    pub(crate) fn forget_ping(&mut self, waits: bool) {
        if let Some(rest) = &mut self.rest {
            rest.ping.take_if(|ping| !ping.is_open && !waits);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        let is_empty = |rest: &Rest| {
            let is_quiet = rest.queue.is_empty() && rest.pong.is_none() && rest.bye_at.is_none();
            is_quiet && rest.strikes.is_none() && rest.ping.is_none()
        };
        if self.rest.as_deref().is_some_and(is_empty) {
            self.rest = None;
        }
    }

    /// Returns a PING to send.
    pub(crate) fn next_ping(&mut self, now: At, position: u64) -> u64 {
        self.pings = self.pings.wrapping_add(1);
        self.ping_due = false;
        let ping = Ping { at: now, position, is_open: true };
        self.rest.get_or_insert_default().ping = Some(ping);
        self.pings.into()
    }

    /// Returns the last PING, unless it was forgotten.
    pub(crate) fn ping(&self) -> Option<Ping> {
        self.rest.as_ref()?.ping
    }

    /// Returns the PING that a PONG answers.
    pub(crate) fn answered(&mut self, token: u64) -> Option<Ping> {
        let is_last = u64::from(self.pings) == token;
        let ping = self.rest.as_mut()?.ping.as_mut().filter(|ping| is_last && ping.is_open)?;
        ping.is_open = false;
        Some(*ping)
    }

    /// Returns the PING after which nothing at all was received.
    pub(crate) fn silent_since(&self) -> Option<Ping> {
        self.ping().filter(|ping| ping.is_open && self.last_received <= ping.at)
    }

    /// Notes our `recv` when the peer says where it stands, and returns whether it had said so
    /// with the same.
    pub(crate) fn counted(&mut self, recv: u64) -> bool {
        let recv = recv as u32;
        let (before, was) = (self.counted_at, self.was_counted);
        (self.counted_at, self.was_counted) = (recv, true);
        was && before == recv
    }

    /// Takes note of a frame that says nothing; returns whether that is too many.
    pub(crate) fn strike(&mut self, now: At) -> bool {
        let rest = self.rest.get_or_insert_default();
        let strikes = rest.strikes.get_or_insert(Rate::new(now));
        !strikes.take(now, STRIKES_AT_ONCE, STRIKES_PER_SECOND)
    }
}
