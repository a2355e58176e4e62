//! What was sent to everybody, shared by the one who sends and all who receive.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// Messages that are remembered: as many as a ledger reaches back.
const N_SLOTS: u64 = 1 << 16;

/// When messages were due, and by how many subscribers they are still missed.
#[derive(Debug)]
pub(crate) struct Publications {
    slots: Box<[Slot]>,
    published: AtomicU64,
    subscribers: AtomicU64,
    /// From this time on, in nanoseconds, slow consumers are there.
    slow_from: AtomicU64,
    /// A message is missed by nobody any more.
    pub(super) complete: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    due: AtomicU64,
    missing: AtomicU64,
}

impl Publications {
    /// `has_slow`: slow consumers come later, or never; otherwise all latencies are of one kind.
    pub(crate) fn new(has_slow: bool) -> Self {
        Self {
            slots: (0..N_SLOTS).map(|_| Slot::default()).collect(),
            published: AtomicU64::new(0),
            subscribers: AtomicU64::new(0),
            slow_from: AtomicU64::new(if has_slow { u64::MAX } else { 0 }),
            complete: Notify::new(),
        }
    }

    /// Counts subscribers that messages are expected to reach.
    pub(super) fn join(&self, n: u64) {
        self.subscribers.fetch_add(n, Ordering::Relaxed);
    }

    /// A subscriber is gone; what is sent from now on cannot reach it.
    pub(super) fn leave(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes a message before it is sent, and returns its number.
    pub(super) fn publish(&self, due: Duration) -> u64 {
        let sequence = self.published.load(Ordering::Relaxed);
        let slot = self.slot(sequence);
        slot.due.store(due.as_nanos() as u64, Ordering::Relaxed);
        slot.missing.store(self.subscribers.load(Ordering::Relaxed), Ordering::Relaxed);
        // Whoever sees the number sees what is noted with it.
        self.published.store(sequence + 1, Ordering::Release);
        sequence
    }

    pub(super) fn n_published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Returns when a message was due, and whether slow consumers were there by then.
    pub(super) fn due(&self, sequence: u32) -> (Duration, bool) {
        let due = self.slot(sequence.into()).due.load(Ordering::Relaxed);
        (Duration::from_nanos(due), due >= self.slow_from.load(Ordering::Relaxed))
    }

    /// Notes that one more subscriber has a message.
    pub(super) fn delivered(&self, sequence: u32) {
        let missing = &self.slot(sequence.into()).missing;
        // A subscriber that left may have been counted out before.
        let before =
            missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if before == Ok(1) {
            self.complete.notify_one();
        }
    }

    /// Returns whether all subscribers have a message.
    pub(super) fn is_complete(&self, sequence: u64) -> bool {
        self.slot(sequence).missing.load(Ordering::Relaxed) == 0
    }

    /// From now on slow consumers are there.
    pub(super) fn slow_are_there(&self, since: Duration) {
        self.slow_from.store(since.as_nanos() as u64, Ordering::Relaxed);
    }

    fn slot(&self, sequence: u64) -> &Slot {
        &self.slots[(sequence % N_SLOTS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_message_is_complete_when_every_receiver_has_it() {
        let publications = Publications::new(false);
        publications.join(2);
        assert_eq!(publications.publish(at(5)), 0);
        publications.delivered(0);
        assert!(!publications.is_complete(0));
        publications.delivered(0);
        assert!(publications.is_complete(0));
        publications.delivered(0);
        assert!(publications.is_complete(0));
        assert_eq!(publications.due(0), (at(5), true));
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let publications = Publications::new(false);
        publications.join(2);
        publications.leave();
        publications.publish(at(0));
        publications.delivered(0);
        assert!(publications.is_complete(0));
    }

    #[test]
    fn messages_are_told_by_whether_slow_consumers_were_there() {
        let publications = Publications::new(true);
        publications.publish(at(1));
        publications.publish(at(9));
        assert!(!publications.due(1).1);
        publications.slow_are_there(at(5));
        assert_eq!([0, 1].map(|sequence| publications.due(sequence).1), [false, true]);
    }
}
