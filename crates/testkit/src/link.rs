//! One direction of an in-memory wire.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use everwire_proto::PathFacts;

use crate::Rng;

/// How long a system waits before it first sends again what is not acknowledged.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// One direction of the wire between two ends, and what can go wrong on it: it can be slow, held,
/// cut, reset, and given little room, so that the socket of the sender is full.
#[derive(Debug)]
pub struct Link {
    /// What is on its way, and when it arrives; in order.
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    in_flight_len: usize,
    /// Everything that was ever written to it, unless it forgets.
    history: Vec<u8>,
    forgets: bool,
    delay: Range<Duration>,
    rng: Rng,
    held: bool,
    room: Option<usize>,
    /// How many bytes still come through.
    cut_after: Option<usize>,
    reset_after: Option<usize>,
    reset_delivered: bool,
    /// Since when bytes are lost, and how many were.
    lost: Option<(Instant, usize)>,
    last_arrival: Option<Instant>,
    /// The sender has ended its stream, and when the end arrives.
    eof: Option<Instant>,
    eof_delivered: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            in_flight: VecDeque::new(),
            in_flight_len: 0,
            history: Vec::new(),
            forgets: false,
            delay: Duration::ZERO..Duration::ZERO,
            rng: Rng::new(0),
            held: false,
            room: None,
            cut_after: None,
            reset_after: None,
            reset_delivered: false,
            lost: None,
            last_arrival: None,
            eof: None,
            eof_delivered: false,
        }
    }
}

impl Link {
    /// Keeps what is written on its way until [`release`](Self::release): the direction stalls.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Delivers again.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// Lets whatever is written take a random time from this range to arrive; the order is kept.
    pub fn delay(&mut self, delay: Range<Duration>, seed: u64) {
        (self.delay, self.rng) = (delay, Rng::new(seed));
    }

    /// Loses everything from now on, what is on its way included, as an unplugged cable does: no
    /// end is told.
    pub fn cut(&mut self) {
        self.cut_after = Some(0);
        self.in_flight.clear();
        self.in_flight_len = 0;
    }

    /// Loses everything after so many more bytes.
    pub fn cut_after(&mut self, n: usize) {
        self.cut_after = Some(n);
    }

    /// Resets the connection after so many more bytes: the reader gets them and then a reset, the
    /// writer's next write fails.
    pub fn reset_after(&mut self, n: usize) {
        self.reset_after = Some(n);
    }

    /// Lets at most `bytes` be on their way; `None` for as many as come. With a
    /// [held](Self::hold) link, this fills the sender's socket.
    pub fn limit(&mut self, bytes: impl Into<Option<usize>>) {
        self.room = bytes.into();
    }

    /// Keeps no more history, for tests that last for days.
    pub fn forget_history(&mut self) {
        self.forgets = true;
        self.history = Vec::new();
    }

    /// Returns everything that was ever written.
    #[must_use]
    pub fn history(&self) -> &[u8] {
        &self.history
    }

    /// Returns how many bytes are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight_len
    }

    /// Returns what the sender's system knows: a held link acknowledges, because the reader's
    /// system does; a cut one does not.
    #[must_use]
    pub fn facts(&self, now: Instant) -> PathFacts {
        let unread = self.in_flight.iter().filter(|(at, _)| *at > now);
        let unacked: usize = unread.map(|(_, bytes)| bytes.len()).sum();
        let since_ack =
            self.last_arrival.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let Some((since, lost)) = self.lost else {
            return PathFacts::new(unacked as u64, 0, since_ack);
        };
        let silent = now.saturating_duration_since(since);
        let sent_again = (1..20u32).take_while(|n| RETRANSMIT * ((1 << n) - 1) <= silent).count();
        PathFacts::new((unacked + lost) as u64, sent_again as u32, since_ack)
    }

    /// Takes bytes as a socket does and returns how many; `None` if the connection was reset.
    pub(crate) fn write(&mut self, now: Instant, bytes: &[u8]) -> Option<usize> {
        if self.is_reset() {
            return None;
        }
        let n = bytes.len().min(self.free());
        if !self.forgets {
            self.history.extend_from_slice(&bytes[..n]);
        }
        let mut through = n;
        for left in [&mut self.cut_after, &mut self.reset_after].into_iter().flatten() {
            through = through.min(*left);
            *left -= through;
        }
        if through < n && self.reset_after.is_none() {
            self.lost.get_or_insert((now, 0)).1 += n - through;
        }
        if through > 0 {
            let at = self.arrival(now);
            self.in_flight.push_back((at, bytes[..through].to_vec()));
            self.in_flight_len += through;
        }
        Some(n)
    }

    /// Returns how many bytes the sender's socket would take.
    pub(crate) fn free(&self) -> usize {
        // What was lost lies in the sender's socket until it gives up.
        let used = self.in_flight_len + self.lost.map_or(0, |(_, lost)| lost);
        self.room.map_or(usize::MAX, |room| room.saturating_sub(used))
    }

    /// Returns when what is written now arrives.
    fn arrival(&mut self, now: Instant) -> Instant {
        let spread = self.delay.end.saturating_sub(self.delay.start).as_micros() as usize;
        let more = if spread == 0 { 0 } else { self.rng.below(spread) };
        let at = now + self.delay.start + Duration::from_micros(more as u64);
        let at = self.in_flight.back().map_or(at, |(last, _)| at.max(*last));
        self.last_arrival = Some(at);
        at
    }

    /// Resets the connection: the other direction was.
    pub(crate) fn reset(&mut self) {
        self.reset_after = Some(0);
    }

    /// Returns whether the connection was reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset_after == Some(0)
    }

    /// Ends the stream after what is on its way.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.eof.is_none() {
            self.eof = Some(self.arrival(now));
        }
    }

    /// Returns when something arrives that has not by `now`.
    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let bytes = self.in_flight.iter().map(|(at, _)| *at);
        bytes.chain(self.eof).find(|at| *at > now).filter(|_| !self.held)
    }

    /// Returns what has arrived by now.
    pub(crate) fn read(&mut self, now: Instant) -> Vec<u8> {
        let mut read = Vec::new();
        while !self.held && self.in_flight.front().is_some_and(|(at, _)| *at <= now) {
            read.extend(self.in_flight.pop_front().into_iter().flat_map(|(_, bytes)| bytes));
        }
        self.in_flight_len -= read.len();
        read
    }

    /// Returns whether the end of the stream arrives now; once.
    pub(crate) fn read_eof(&mut self, now: Instant) -> bool {
        let is_cut = self.cut_after == Some(0);
        let is_there = self.eof.is_some_and(|at| at <= now) && self.in_flight.is_empty();
        let arrives = is_there && !self.eof_delivered && !is_cut && !self.held && !self.is_reset();
        self.eof_delivered |= arrives;
        arrives
    }

    /// Returns whether a reset arrives now; once.
    pub(crate) fn read_reset(&mut self) -> bool {
        let arrives = self.is_reset() && !self.reset_delivered && self.in_flight.is_empty();
        self.reset_delivered |= arrives;
        arrives
    }
}
