//! A socket that can be cut at any byte of either direction.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_session::{Lent, Transmit};

use crate::Rng;

/// Who is told of a cut, and what goes on in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing passes any more; both ends are told.
    Reset,
    /// Nothing passes any more; only the client is told.
    ClientTold,
    /// Nothing passes any more; only the server is told.
    ServerTold,
    /// Nothing passes any more; nobody is told.
    HalfOpen,
    /// What is sent in this direction is lost; nobody is told.
    OneWay,
    /// The client is told, and what is on its way arrives all the same, late.
    Late,
}

impl Cut {
    const ALL: [Self; 6] =
        [Self::Reset, Self::ClientTold, Self::ServerTold, Self::HalfOpen, Self::OneWay, Self::Late];
}

/// What arrives.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Message(Bytes),
    Closed(Option<u16>),
}

impl From<Transmit> for Item {
    fn from(transmit: Transmit) -> Self {
        match transmit {
            Transmit::Frame(frame) => Self::Message(frame),
            Transmit::Close(code) => Self::Closed(Some(code.number())),
        }
    }
}

/// Returns what to send, for which only memory was lent.
pub(super) fn whole(lent: Option<Lent<'_>>) -> Option<Transmit> {
    lent.map(|frame| Transmit::Frame(Bytes::copy_from_slice(frame.as_slice())))
}

/// One direction: a stream of bytes that arrive in order.
#[derive(Debug)]
pub(super) struct Wire {
    latency: Duration,
    /// Bytes a second; nothing for any number.
    rate: Option<u64>,
    is_held: bool,
    /// When all that was sent has been let in.
    free_at: Option<Instant>,
    queue: VecDeque<(Instant, Item)>,
    sent: u64,
    cut_after: u64,
    is_dead: bool,
}

impl Wire {
    fn new(latency: Duration, cut_after: u64) -> Self {
        Self {
            latency,
            rate: None,
            is_held: false,
            free_at: None,
            queue: VecDeque::new(),
            sent: 0,
            cut_after,
            is_dead: false,
        }
    }

    /// Returns one that takes so many bytes a second, and is not cut.
    pub(super) fn slow(latency: Duration, rate: u64) -> Self {
        Self { rate: Some(rate), ..Self::new(latency, u64::MAX) }
    }

    /// Sends; returns whether the cut came within it.
    pub(super) fn send(&mut self, now: Instant, item: Item, overhead: u64) -> bool {
        if self.is_dead {
            return false;
        }
        let len = match &item {
            Item::Message(message) => message.len() as u64,
            Item::Closed(_) => 2,
        };
        self.sent += len + overhead;
        if self.sent > self.cut_after {
            return true;
        }
        let mut leaves = now;
        if let Some(rate) = self.rate {
            // It arrives when its last byte does, behind all that was sent before.
            let takes = Duration::from_micros((len + overhead) * 1_000_000 / rate);
            leaves = self.free_at.map_or(now, |at| at.max(now)) + takes;
            self.free_at = Some(leaves);
        }
        let earliest = self.queue.back().map_or(now, |(at, _)| *at);
        self.queue.push_back((earliest.max(leaves + self.latency), item));
        false
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.queue.front().filter(|_| !self.is_held).map(|(at, _)| *at)
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Item> {
        let is_due = self.next_at().is_some_and(|at| at <= now);
        is_due.then(|| self.queue.pop_front()).flatten().map(|(_, item)| item)
    }

    /// Returns whether bytes of something are coming out of it.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        !self.is_held && self.free_at.is_some_and(|at| at > now)
    }

    /// Keeps what is on its way, and all that is sent from now on; or lets it arrive again.
    pub(super) const fn hold(&mut self, holds: bool) {
        self.is_held = holds;
    }

    fn kill(&mut self, loses_all: bool) {
        self.is_dead = true;
        if loses_all {
            self.queue.clear();
        }
    }
}

/// A socket between the client and the server.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) id: usize,
    /// The number of the client's attempt.
    pub(super) attempt: u64,
    pub(super) up: Wire,
    pub(super) down: Wire,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
    pub(super) client_told_at: Option<Instant>,
    pub(super) server_told_at: Option<Instant>,
    pub(super) was_cut: bool,
    /// When it is cut if the byte has not come by then.
    pub(super) cut_at: Option<Instant>,
    kind: Cut,
}

impl Socket {
    /// Opens a socket that will be cut somewhere, or not.
    pub(super) fn open(now: Instant, id: usize, attempt: u64, rng: &mut Rng, is_cut: bool) -> Self {
        let latency = match rng.below(20) {
            0 => rng.below(15_000),
            1..4 => rng.below(2_000),
            _ => 1 + rng.below(100),
        };
        let latency = Duration::from_millis(latency as u64);
        let place = |rng: &mut Rng| match rng.below(3) {
            0 => rng.below(300) as u64,   // Around HELLO and WELCOME.
            1 => rng.below(3_000) as u64, // In a replay, in the first messages.
            _ => rng.below(30_000) as u64,
        };
        let latest = now + Duration::from_millis(rng.below(30_000) as u64);
        let (mut up, mut down) = (u64::MAX, u64::MAX);
        if is_cut {
            if rng.below(2) == 0 {
                up = place(rng);
            } else {
                down = place(rng);
            };
        }
        Self {
            id,
            attempt,
            up: Wire::new(latency, up),
            down: Wire::new(latency, down),
            client_open: true,
            server_open: true,
            client_told_at: None,
            server_told_at: None,
            was_cut: false,
            cut_at: is_cut.then_some(latest),
            kind: Cut::ALL[rng.below(Cut::ALL.len())],
        }
    }

    /// Cuts the socket. `upwards` says in which direction the byte was.
    pub(super) fn cut(&mut self, now: Instant, rng: &mut Rng, upwards: bool) {
        (self.was_cut, self.cut_at) = (true, None);
        let soon = now + Duration::from_millis(rng.below(200) as u64);
        // What had left before may be on its way still, or be lost with the rest.
        let loses_all = rng.below(2) == 0;
        if self.kind == Cut::OneWay {
            let wire = if upwards { &mut self.up } else { &mut self.down };
            return wire.kill(loses_all);
        }
        self.up.kill(loses_all && self.kind != Cut::Late);
        self.down.kill(loses_all && self.kind != Cut::Late);
        if matches!(self.kind, Cut::Reset | Cut::ClientTold | Cut::Late) {
            self.client_told_at = Some(soon);
        }
        if matches!(self.kind, Cut::Reset | Cut::ServerTold) {
            self.server_told_at = Some(soon);
        }
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        let told = [self.client_told_at, self.server_told_at, self.cut_at];
        let times = [self.up.next_at(), self.down.next_at()].into_iter().chain(told);
        times.flatten().min()
    }

    /// Returns whether nothing can happen on it any more, unless the client still uses it.
    pub(super) fn is_over(&self) -> bool {
        !self.server_open && self.next_at().is_none()
    }
}
