//! What is kept of a stream until the peer lets it be forgotten (protocol §8).

use std::collections::VecDeque;

use crate::{GapRange, GapReason, Prepared, rare::Rare};

/// Gaps of different reasons that are told apart; older ones take the reason of the next.
const GAPS: usize = 16;

/// How many messages' memory is kept for others: as many as are acknowledged at a time.
const SPARES: usize = 64;

/// The messages `first` to `first + len − 1` of a stream, and why older ones are missing.
#[derive(Debug)]
pub(crate) struct Replay {
    entries: VecDeque<Entry>,
    first: u64,
    bytes: usize,
    /// Memory of messages that were freed, for others.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24, in every session")]
    spare: Option<Box<Vec<Prepared>>>,
    /// Ends of evicted ranges with their reasons, ascending.
    gaps: Rare<(u64, GapReason)>,
}

/// 16 bytes, so that a broadcast costs a session little.
#[derive(Debug)]
struct Entry {
    message: Prepared,
    at: u32,
    len: u32,
}

impl Replay {
    pub(crate) const fn new() -> Self {
        Self { entries: VecDeque::new(), first: 1, bytes: 0, spare: None, gaps: Rare::new() }
    }

    /// Returns an empty buffer of a stream whose next message is `next`.
    pub(crate) fn restarted(next: u64) -> Self {
        let mut this = Self { first: next, ..Self::new() };
        if next > 1 {
            this.gaps.push_back((next - 1, GapReason::Restart));
        }
        this
    }

    /// Appends a message. `at` is in milliseconds.
    pub(crate) fn push(&mut self, message: Prepared, at: u32) {
        let len = u32::try_from(message.payload().len()).unwrap_or(u32::MAX);
        self.bytes += len as usize;
        self.entries.push_back(Entry { message, at, len });
    }

    /// Drops the messages up to `done`, which nobody will ask for.
    pub(crate) fn free(&mut self, done: u64) {
        while self.first <= done
            && let Some(message) = self.pop()
        {
            if self.spare.as_ref().is_none_or(|spare| spare.len() < SPARES)
                && let Some(spare) = message.retired()
            {
                self.spare.get_or_insert_default().push(spare);
            }
        }
        self.first = self.first.max(done + 1);
        while self.gaps.front().is_some_and(|(to, _)| *to <= done) {
            self.gaps.pop_front();
        }
    }

    /// Gives back memory that is not used.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        self.spare = None;
    }

    #[inline]
    pub(crate) fn take_spare(&mut self) -> Option<Prepared> {
        self.spare.as_mut()?.pop()
    }

    /// Drops the oldest message. The gap is told when somebody asks for it.
    pub(crate) fn evict(&mut self, reason: GapReason) -> bool {
        let number = self.first;
        if self.pop().is_none() {
            return false;
        }
        match self.gaps.back_mut() {
            Some((to, last)) if *last == reason => *to = number,
            _ => self.gaps.push_back((number, reason)),
        }
        if self.gaps.len() > GAPS {
            self.gaps.pop_front();
        }
        true
    }

    /// Drops the messages that are older than `limit`, both in milliseconds.
    pub(crate) fn evict_older(&mut self, limit: u32) {
        while self.entries.front().is_some_and(|entry| entry.at < limit) {
            self.evict(GapReason::EvictedAge);
        }
    }

    /// Returns the gap at `number`, if that is missing.
    pub(crate) fn gap(&self, number: u64) -> Option<GapRange> {
        if number >= self.first {
            return None;
        }
        let known = self.gaps.iter().find(|(to, _)| *to >= number);
        // What was freed and is asked for again: somebody came back from an older copy.
        let (to, reason) = known.copied().unwrap_or((self.first - 1, GapReason::Restart));
        Some(GapRange { from: number, to, reason })
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Prepared> {
        self.entry(number).map(|(message, _)| message)
    }

    /// Returns a message and its payload bytes.
    #[inline]
    pub(crate) fn entry(&self, number: u64) -> Option<(&Prepared, u64)> {
        let index = number.checked_sub(self.first)?;
        self.entries.get(index as usize).map(|entry| (&entry.message, entry.len.into()))
    }

    /// Returns the payload bytes of a message.
    pub(crate) fn len_of(&self, number: u64) -> Option<u64> {
        self.entry(number).map(|(_, len)| len)
    }

    /// Returns the payload bytes of those messages of a range that are kept.
    pub(crate) fn lens(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let skipped = from.saturating_sub(self.first) as usize;
        let n = (to + 1).saturating_sub(from.max(self.first)) as usize;
        self.entries.iter().skip(skipped).take(n).map(|entry| entry.len.into())
    }

    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn pop(&mut self) -> Option<Prepared> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.len as usize;
        self.first += 1;
        Some(entry.message)
    }
}
