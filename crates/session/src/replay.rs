//! What is kept of a stream until the peer lets it be forgotten (protocol §8).

mod latest;
mod own;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use self::{latest::Latest, own::Own};
use crate::{GapRange, GapReason, Kind, Lent, Message, Meter, Prepared, frame};

/// Gaps of different reasons that are told apart; older ones take the reason of the next.
const GAPS: usize = 16;

/// A message of more bytes than this has memory of its own.
const SMALL: usize = 512;

/// The messages `first` to `first + len − 1` of a stream, and why older ones are missing.
#[derive(Debug)]
pub(crate) struct Replay {
    first: u64,
    /// Nothing in a session that rests.
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The messages that nobody else has.
    own: Option<Owned>,
    /// Ends of evicted ranges with their reasons, ascending.
    gaps: VecDeque<(u64, GapReason)>,
    /// What has no number yet.
    latest: Option<Box<Latest>>,
}

/// 16 bytes, so that a broadcast costs a session little.
#[derive(Debug)]
struct Entry {
    /// `None` if it lies among our own.
    message: Option<Prepared>,
    at: u32,
    len: u32,
}

impl Entry {
    /// Returns how many of our own bytes it has.
    #[inline]
    const fn own_len(&self) -> usize {
        if self.message.is_some() { 0 } else { self.len as usize + 1 }
    }
}

#[derive(Debug)]
struct Owned {
    frames: Own,
    /// A message, and the position where its frame is or would be: nearly always the next that is asked for.
    cursor: (u64, u64),
}

impl Owned {
    /// Returns the frames of nothing: the first message among them will be `next`.
    fn new(meter: &Meter, next: u64) -> Self {
        Self { frames: Own::new(meter.clone()), cursor: (next, 0) }
    }
}

impl Replay {
    pub(crate) const fn new() -> Self {
        Self { first: 1, kept: None }
    }

    /// Returns an empty buffer of a stream whose next message is `next`.
    pub(crate) fn restarted(next: u64) -> Self {
        let mut this = Self { first: next, kept: None };
        if next > 1 {
            this.kept.get_or_insert_default().gaps.push_back((next - 1, GapReason::Restart));
        }
        this
    }

    /// Appends a message. `at` is in milliseconds.
    pub(crate) fn push(&mut self, message: Prepared, at: u32) {
        let len = message.payload().len();
        self.kept.get_or_insert_default().append(Some(message), len, at);
    }

    /// Appends a message that nobody else has. Its bytes count on `meter`: at once while there is no
    /// socket, or else about so.
    #[inline]
    pub(crate) fn push_own(
        &mut self,
        kind: Kind,
        payload: &[u8],
        meter: &Meter,
        at: u32,
        attached: bool,
    ) {
        if payload.len() > SMALL {
            return self.push(Prepared::metered(kind, payload, meter), at);
        }
        let kept = self.kept.get_or_insert_default();
        let next = self.first + kept.entries.len() as u64;
        let own = kept.own.get_or_insert_with(|| Owned::new(meter, next));
        own.frames.push(kind, payload);
        if !attached {
            own.frames.tell();
        }
        kept.append(None, payload.len(), at);
    }

    /// Keeps a message that has no number yet, in the place of the one with its key.
    pub(crate) fn put_latest(&mut self, key: u64, message: Prepared) {
        let kept = self.kept.get_or_insert_default();
        kept.bytes += message.payload().len();
        let old = kept.latest.get_or_insert_default().put(key, message);
        kept.bytes -= old.map_or(0, |old| old.payload().len());
    }

    /// Takes the first of those that have no number yet.
    pub(crate) fn take_latest(&mut self) -> Option<Prepared> {
        let kept = self.kept.as_mut()?;
        let latest = kept.latest.as_mut()?;
        let message = latest.take();
        if latest.len() == 0 {
            kept.latest = None;
        }
        kept.bytes -= message.as_ref().map_or(0, |message| message.payload().len());
        message
    }

    /// Returns the payload bytes of the message of this key that has no number yet.
    pub(crate) fn len_of_latest(&self, key: u64) -> Option<usize> {
        self.latest()?.len_of(key)
    }

    /// Returns whether there are messages that have no number yet.
    pub(crate) fn has_latest(&self) -> bool {
        self.latest().is_some()
    }

    /// Returns the payload bytes and the number of the messages that have none yet.
    pub(crate) fn size_of_latest(&self) -> (usize, usize) {
        self.latest().map_or((0, 0), |latest| (latest.bytes(), latest.len()))
    }

    fn latest(&self) -> Option<&Latest> {
        self.kept.as_ref()?.latest.as_deref()
    }

    /// Drops the messages up to `done`, which nobody will ask for.
    pub(crate) fn free(&mut self, done: u64) {
        if let Some(kept) = &mut self.kept {
            let n = (done + 1).saturating_sub(self.first).min(kept.entries.len() as u64);
            kept.pop(n as usize);
            while kept.gaps.front().is_some_and(|(to, _)| *to <= done) {
                kept.gaps.pop_front();
            }
        }
        self.first = self.first.max(done + 1);
    }

    /// Gives back memory that is not used.
    pub(crate) fn shrink(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if let Some(own) = &mut kept.own {
            own.frames.shrink();
        }
        if kept.entries.is_empty() && kept.gaps.is_empty() && kept.latest.is_none() {
            self.kept = None;
        }
    }

    /// Tells the meter exactly what is kept.
    fn tell(&mut self) {
        if let Some(own) = self.kept.as_mut().and_then(|kept| kept.own.as_mut()) {
            own.frames.tell();
        }
    }

    /// Drops the oldest message. The gap is told when somebody asks for it.
    pub(crate) fn evict(&mut self, reason: GapReason) -> bool {
        let Some(kept) = self.kept.as_mut().filter(|kept| !kept.entries.is_empty()) else {
            return false;
        };
        let number = self.first;
        kept.pop(1);
        self.first += 1;
        match kept.gaps.back_mut() {
            Some((to, last)) if *last == reason => *to = number,
            _ => kept.gaps.push_back((number, reason)),
        }
        if kept.gaps.len() > GAPS {
            kept.gaps.pop_front();
        }
        self.tell();
        true
    }

    /// Drops the messages that are older than `limit`, both in milliseconds.
    pub(crate) fn evict_older(&mut self, limit: u32) {
        while self.entry(self.first).is_some_and(|entry| entry.at < limit) {
            self.evict(GapReason::EvictedAge);
        }
    }

    /// Returns the gap at `number`, if that is missing.
    pub(crate) fn gap(&self, number: u64) -> Option<GapRange> {
        if number >= self.first {
            return None;
        }
        let gaps = self.kept.iter().flat_map(|kept| &kept.gaps);
        let known = gaps.copied().find(|(to, _)| *to >= number);
        // What was freed and is asked for again: somebody came back from an older copy.
        let (to, reason) = known.unwrap_or((self.first - 1, GapReason::Restart));
        Some(GapRange { from: number, to, reason })
    }

    /// Returns the frame of a message, which is likely to be the one behind the last that was asked for.
    #[inline]
    pub(crate) fn frame(&mut self, number: u64) -> Option<Lent<'_>> {
        let index = number.checked_sub(self.first)? as usize;
        let Kept { entries, own, .. } = &mut **self.kept.as_mut()?;
        let entry = entries.get(index)?;
        let Some(own) = own else { return entry.message.as_ref().map(Prepared::lend) };
        if own.cursor.0 != number {
            let before: usize = entries.range(..index).map(Entry::own_len).sum();
            own.cursor = (number, own.frames.start() + before as u64);
        }
        let (position, len) = (own.cursor.1, entry.own_len());
        own.cursor = (number + 1, position + len as u64);
        let message = entry.message.as_ref().map(Prepared::lend);
        message.or_else(|| Some(Lent::Small(own.frames.get(position, len))))
    }

    /// Returns the messages from this one on, as far as they are still there, and those that have no
    /// number yet. It costs what these are.
    pub(crate) fn messages_from(&self, number: u64) -> Vec<Message> {
        let Some(kept) = &self.kept else { return Vec::new() };
        let index = number.saturating_sub(self.first) as usize;
        let entries = || kept.entries.range(index.min(kept.entries.len())..);
        let own = kept.own.as_ref().map(|own| &own.frames);
        let n_bytes: usize = entries().map(Entry::own_len).sum();
        let mut next = own.map_or(0, |own| own.end() - n_bytes as u64);
        let messages = (number.max(self.first)..).zip(entries()).filter_map(|(n, entry)| {
            let (position, len) = (next, entry.own_len());
            next += len as u64;
            let frame = match &entry.message {
                Some(message) => message.lend().to_bytes(),
                None => Bytes::copy_from_slice(own?.get(position, len)),
            };
            Some(Message { number: Some(n), kind: frame::kind(&frame), payload: frame.slice(1..) })
        });
        let latest = kept.latest.iter().flat_map(|latest| latest.iter()).map(|message| {
            let payload = message.lend().to_bytes().slice(1..);
            Message { number: None, kind: message.kind(), payload }
        });
        messages.chain(latest).collect()
    }

    /// Returns the payload bytes of a message.
    #[inline]
    pub(crate) fn len_of(&self, number: u64) -> Option<u64> {
        self.entry(number).map(|entry| entry.len.into())
    }

    /// Returns the payload bytes of those messages of a range that are kept.
    pub(crate) fn lens(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let skipped = from.saturating_sub(self.first) as usize;
        let n = (to + 1).saturating_sub(from.max(self.first)) as usize;
        let entries = self.kept.as_ref().map(|kept| kept.entries.iter().skip(skipped).take(n));
        entries.into_iter().flatten().map(|entry| entry.len.into())
    }

    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    #[inline]
    pub(crate) fn entries(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.entries.len() + kept.n_latest())
    }

    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.bytes)
    }

    #[inline]
    fn entry(&self, number: u64) -> Option<&Entry> {
        let index = number.checked_sub(self.first)?;
        self.kept.as_ref()?.entries.get(index as usize)
    }
}

impl Kept {
    #[inline]
    fn n_latest(&self) -> usize {
        self.latest.as_ref().map_or(0, |latest| latest.len())
    }

    #[inline]
    fn append(&mut self, message: Option<Prepared>, len: usize, at: u32) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.bytes += len as usize;
        self.entries.push_back(Entry { message, at, len });
    }

    /// Forgets so many of the first messages.
    fn pop(&mut self, n: usize) {
        let mut own_bytes = 0;
        for entry in self.entries.drain(..n) {
            self.bytes -= entry.len as usize;
            own_bytes += entry.own_len();
        }
        if let Some(own) = self.own.as_mut().filter(|_| own_bytes > 0) {
            own.frames.pop(own_bytes);
        }
    }
}
