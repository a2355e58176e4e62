//! The stream to the peer: numbers, what is on its way, what the peer takes (protocol §3, §4, §6).

use bytes::Bytes;

use crate::{
    At, Counts, GapRange, GapReason, Kind, Lent, MAX_NUMBER, Message, Meter, Prepared, SendError,
    Violation,
    config::{Buffer, Overflow},
    message::MESSAGE_COST,
    rare::Rare,
    replay::Replay,
};

/// What a session sends, and where it stands.
#[derive(Debug)]
pub(crate) struct Outgoing {
    replay: Replay,
    /// The number of the next accepted message.
    next: u64,
    /// The number of the last that was put on this socket.
    position: u64,
    /// What the peer says that it has.
    acked: u64,
    /// The last `done` on this socket.
    last_done: u64,
    /// The highest `done` ever.
    freed: u64,
    /// The cost of what was put on this socket after `acked`.
    in_flight: u64,
    /// The peer's window, and what it takes at most: each 4 GiB at most.
    window: u32,
    peer_limit: u32,
    /// Since when the oldest message on its way waits for its acknowledgement.
    waiting_since: Option<At>,
    /// Frames that may be dropped, each with the number it came after.
    volatile: Rare<(u64, Bytes)>,
}

/// What is to be sent next.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Bytes),
    Gap(GapRange),
}

impl Outgoing {
    pub(crate) const fn new() -> Self {
        Self {
            replay: Replay::new(),
            next: 1,
            position: 0,
            acked: 0,
            last_done: 0,
            freed: 0,
            in_flight: 0,
            window: 0,
            peer_limit: u32::MAX,
            waiting_since: None,
            volatile: Rare::new(),
        }
    }

    /// Returns the stream of an end that comes back without what it had sent.
    pub(crate) fn restarted(next: u64) -> Self {
        Self { replay: Replay::restarted(next), next, ..Self::new() }
    }

    /// Checks that the peer takes a message of this size.
    pub(crate) const fn check_size(&self, size: u64) -> Result<(), SendError> {
        match self.takes(size) {
            true => Ok(()),
            false => Err(SendError::TooBig { limit: self.peer_limit as u64, size }),
        }
    }

    /// Makes room for a message of this size.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        size: usize,
        buffer: &Buffer,
        attached: bool,
    ) -> Result<(), SendError> {
        self.make_room_for(size, 1, buffer, attached)
    }

    /// Makes room for so many bytes in so many more messages.
    #[inline]
    fn make_room_for(
        &mut self,
        bytes: usize,
        n: usize,
        buffer: &Buffer,
        attached: bool,
    ) -> Result<(), SendError> {
        if self.next >= MAX_NUMBER {
            return Err(SendError::Exhausted);
        }
        while !self.has_room(bytes, n, buffer) {
            if attached || buffer.overflow != Overflow::Evict || !self.can_evict(bytes, n, buffer) {
                return Err(self.full());
            }
            self.replay.evict(GapReason::EvictedBytes);
        }
        Ok(())
    }

    /// Makes room for a message of this size, in the place of the one with its key.
    pub(crate) fn make_room_for_latest(
        &mut self,
        key: u64,
        size: usize,
        buffer: &Buffer,
        attached: bool,
    ) -> Result<(), SendError> {
        match self.replay.len_of_latest(key) {
            Some(old) if size <= old => Ok(()),
            Some(old) => self.make_room_for(size - old, 0, buffer, attached),
            None => self.make_room(size, buffer, attached),
        }
    }

    /// Accepts a message for which there is room, and gives it a number when it leaves.
    pub(crate) fn put_latest(&mut self, key: u64, message: Prepared) {
        self.replay.put_latest(key, message);
    }

    fn full(&self) -> SendError {
        SendError::Full { bytes: self.replay.bytes(), entries: self.replay.entries() }
    }

    /// Accepts a message for which there is room, of whatever size, and returns its number.
    pub(crate) fn push(&mut self, message: Prepared, at: u32) -> u64 {
        self.replay.push(message, at);
        self.next += 1;
        self.next - 1
    }

    /// Accepts a message as [`push`](Self::push) does, which nobody else has.
    #[inline]
    pub(crate) fn push_own(
        &mut self,
        kind: Kind,
        payload: &[u8],
        meter: &Meter,
        at: u32,
        attached: bool,
    ) -> u64 {
        self.replay.push_own(kind, payload, meter, at, attached);
        self.next += 1;
        self.next - 1
    }

    /// Puts back a message that was stored.
    pub(crate) fn restore(&mut self, message: Prepared) {
        self.replay.push(message, 0);
        self.next += 1;
    }

    /// Queues a frame that may be dropped; the oldest gives way.
    pub(crate) fn push_volatile(&mut self, frame: Bytes, limit: usize) {
        self.volatile.push_back((self.next - 1, frame));
        if self.volatile.len() > limit {
            self.volatile.pop_front();
        }
    }

    /// Begins a socket on which the peer has all up to `recv`, and wants nothing up to `done` any more.
    pub(crate) fn attach(&mut self, recv: u64, done: u64, window: u64, peer_limit: u64) {
        self.acked = recv;
        self.position = recv;
        self.last_done = done;
        self.in_flight = 0;
        self.window = saturated(window);
        self.peer_limit = saturated(peer_limit);
        self.waiting_since = None;
        self.free(done);
    }

    pub(crate) fn detach(&mut self) {
        self.volatile = Rare::new();
        self.waiting_since = None;
        // Nobody may come for long, and nothing else happens until then.
        self.replay.shrink();
    }

    /// Notes what the peer has, and what may be forgotten.
    pub(crate) fn acknowledge(&mut self, now: At, counts: &Counts) -> Result<(), Violation> {
        let within = |stated, least, most| match (least..=most).contains(&stated) {
            true => Ok(()),
            false => Err(Violation::Acknowledged { stated, least, most }),
        };
        within(counts.recv, self.acked, self.position)?;
        within(counts.done, self.last_done, counts.recv)?;
        let cost = self.cost_between(self.acked + 1, counts.recv);
        if counts.window + cost < self.window.into() {
            let (stated, granted) = (counts.window, u64::from(self.window) - cost);
            return Err(Violation::Credit { stated, granted });
        }
        self.in_flight -= cost;
        if counts.recv > self.acked {
            self.waiting_since = (counts.recv < self.position).then_some(now);
        }
        self.acked = counts.recv;
        self.window = saturated(counts.window);
        self.last_done = counts.done;
        self.free(counts.done);
        Ok(())
    }

    /// Returns whether the peer has said all of this before.
    pub(crate) fn is_stated(&self, counts: &Counts) -> bool {
        let window = saturated(counts.window);
        counts.recv == self.acked && counts.done == self.last_done && window == self.window
    }

    fn free(&mut self, done: u64) {
        self.freed = self.freed.max(done);
        self.replay.free(self.freed);
    }

    /// Notes a peer's last word about what it has, as far as it can be true.
    pub(crate) fn acknowledge_finally(&mut self, recv: u64) {
        if (self.acked..self.next).contains(&recv) {
            self.acked = recv;
        }
    }

    /// Returns what is to be sent next, and counts it as sent.
    pub(crate) fn poll(&mut self, now: At) -> Option<Next> {
        if self.volatile.front().is_some_and(|(after, _)| *after <= self.position) {
            return self.volatile.pop_front().map(|(_, frame)| Next::Frame(frame));
        }
        if self.is_flushed() && !self.number_latest(now) {
            return None;
        }
        let number = self.position + 1;
        if let Some(gap) = self.replay.gap(number).or_else(|| self.oversize(number)) {
            self.position = gap.to;
            self.waiting_since.get_or_insert(now);
            return Some(Next::Gap(gap));
        }
        if self.in_flight >= self.window.into() {
            // What may be dropped need not wait for credit.
            return self.volatile.pop_front().map(|(_, frame)| Next::Frame(frame));
        }
        let frame = self.replay.frame(number).expect("it is neither a gap nor behind the last");
        let frame = frame.to_bytes();
        self.in_flight += self.cost_of(number).unwrap_or(0);
        self.position = number;
        self.waiting_since.get_or_insert(now);
        Some(Next::Frame(frame))
    }

    /// Gives the first message that has none a number, if it can leave now: until then a newer one may
    /// take its place.
    fn number_latest(&mut self, now: At) -> bool {
        if self.in_flight >= self.window.into() || self.next >= MAX_NUMBER {
            return false;
        }
        let message = self.replay.take_latest();
        message.map(|message| self.push(message, now.millis())).is_some()
    }

    /// Returns the next message and counts it as sent, if that is what is to be sent next.
    #[inline]
    pub(crate) fn poll_message(&mut self, now: At) -> Option<Lent<'_>> {
        if self.is_flushed() || self.in_flight >= self.window.into() || !self.volatile.is_empty() {
            return None;
        }
        let number = self.position + 1;
        let frame = self.replay.frame(number)?;
        let len = frame.as_slice().len() as u64 - 1;
        if len > self.peer_limit.into() {
            return None; // The frame is borrowed.
        }
        self.in_flight += len + MESSAGE_COST;
        self.position = number;
        self.waiting_since.get_or_insert(now);
        Some(frame)
    }

    pub(crate) fn evict_older(&mut self, limit: u32) {
        self.replay.evict_older(limit);
    }

    pub(crate) fn shrink(&mut self) {
        self.replay.shrink();
    }

    /// Drops all that is kept; the gap is told at the next attach.
    pub(crate) fn evict_all(&mut self) {
        while let Some(message) = self.replay.take_latest() {
            self.push(message, 0);
        }
        while self.replay.evict(GapReason::EvictedBytes) {}
        self.replay.shrink();
    }

    /// Returns whether there is room again for somebody who was refused.
    pub(crate) fn is_half_empty(&self, buffer: &Buffer) -> bool {
        self.replay.bytes() <= buffer.bytes / 2 && self.replay.entries() <= buffer.entries / 2
    }

    /// Returns whether all that was accepted was put on this socket.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.position + 1 >= self.next
    }

    /// Returns whether nothing is left to be put on this socket.
    pub(crate) fn is_done(&self) -> bool {
        self.is_flushed() && !self.replay.has_latest()
    }

    /// Returns the messages that the peer did not acknowledge, as far as they are still there.
    pub(crate) fn unacknowledged(&self) -> Vec<Message> {
        self.replay.messages_from(self.lo())
    }

    /// Returns the number of the oldest of these; of the next message if there is none.
    pub(crate) const fn lo(&self) -> u64 {
        let (first, unheard) = (self.replay.first(), self.acked + 1);
        if first > unheard { first } else { unheard }
    }

    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Returns what the messages cost that were put on this socket and are not acknowledged.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(crate) const fn acked(&self) -> u64 {
        self.acked
    }

    pub(crate) const fn freed(&self) -> u64 {
        self.freed
    }

    pub(crate) const fn waiting_since(&self) -> Option<At> {
        self.waiting_since
    }

    pub(crate) const fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Returns whether there is room once all that has a number is gone: else it would go in vain.
    fn can_evict(&self, bytes: usize, n: usize, buffer: &Buffer) -> bool {
        let (latest_bytes, n_latest) = self.replay.size_of_latest();
        n_latest == 0 || latest_bytes + bytes <= buffer.bytes && n_latest + n <= buffer.entries
    }

    fn has_room(&self, bytes: usize, n: usize, buffer: &Buffer) -> bool {
        let replay = &self.replay;
        replay.entries() == 0
            || replay.bytes() + bytes <= buffer.bytes && replay.entries() + n <= buffer.entries
    }

    /// Returns what a message costs that was or will be sent whole.
    fn cost_of(&self, number: u64) -> Option<u64> {
        let len = self.replay.len_of(number)?;
        self.takes(len).then_some(len + MESSAGE_COST)
    }

    /// Returns what the messages of a range cost together.
    fn cost_between(&self, from: u64, to: u64) -> u64 {
        let lens = self.replay.lens(from, to).filter(|len| self.takes(*len));
        lens.map(|len| len + MESSAGE_COST).sum()
    }

    /// Returns whether the peer takes a message of this size.
    pub(crate) const fn takes(&self, len: u64) -> bool {
        len <= self.peer_limit as u64
    }

    /// Returns the messages from `number` on that the peer does not take.
    fn oversize(&self, number: u64) -> Option<GapRange> {
        let too_big = |number: &u64| self.replay.len_of(*number).is_some_and(|l| !self.takes(l));
        let to = (number..self.next).take_while(too_big).last()?;
        Some(GapRange { from: number, to, reason: GapReason::Oversize })
    }
}

/// Returns a number of bytes, or 4 GiB if there are more.
fn saturated(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
