//! What one thread saw, and what all of them saw.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use everwire::{Closure, ConnectError, Sender};

use super::times::Times;

/// How many kinds of failures are told apart.
const KINDS: usize = 20;

/// Everything that is counted and timed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: u64,
    /// Those that agreed to compress.
    pub(super) deflated: u64,
    pub(super) failed: u64,
    /// Connections that ended before their time.
    pub(super) closed: u64,
    pub(super) messages: Messages,
    pub(super) wire: Wire,
    /// From when a message was due to its first answer.
    pub(super) latency: Times,
    /// The same, before slow consumers came.
    pub(super) alone: Times,
    pub(super) slow: SlowTally,
    /// From our Close to the end of a connection.
    pub(super) closing: Times,
    /// From the start of an attempt to the open connection.
    pub(super) connecting: Times,
    /// How late the generator handed messages out.
    pub(super) late: Times,
    /// How late the generator's threads woke up.
    pub(super) lag: Times,
    /// How late they woke up while connections were opened.
    pub(super) opening_lag: Times,
    /// Why connections failed to open.
    pub(super) failures: Reasons,
    /// How connections ended before their time.
    pub(super) ends: Reasons,
}

/// Bytes behind the opening handshake, with all their headers and control frames, before TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// What became of consumers that read slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlowTally {
    pub(super) opened: u64,
    /// Those whose connections the server ended.
    pub(super) closed: u64,
    /// Those of whom it is not known at the end: the server neither ended the connection nor
    /// answered.
    pub(super) undecided: u64,
    /// Messages that they read.
    pub(super) received: u64,
    /// Of those, after the end of the run.
    pub(super) drained: u64,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    pub(super) sent: u64,
    /// Due, and not sent: the server did not read those before.
    pub(super) unsent: u64,
    /// Sent and answered; or, of a broadcast, delivered.
    pub(super) answered: u64,
    /// Of those, before the end of the run.
    pub(super) in_time: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) corrupt: u64,
    /// Not of this run.
    pub(super) foreign: u64,
}

impl Tally {
    /// Notes the end of a connection on which messages were sent or received.
    pub(super) fn ended(&mut self, closure: &Closure) {
        self.wire.sent += closure.counters.bytes_sent;
        self.wire.received += closure.counters.bytes_received;
    }

    /// Notes an attempt to open a connection.
    pub(super) fn attempted(
        &mut self,
        opened: Result<Sender, ConnectError>,
        took: Duration,
    ) -> Option<Sender> {
        match opened {
            Ok(opened) => {
                self.opened += 1;
                self.deflated += u64::from(opened.deflate_params().is_some());
                self.connecting.record(took);
                Some(opened)
            }
            Err(error) => {
                self.failed += 1;
                self.failures.note(error.to_string());
                None
            }
        }
    }
}

impl AddAssign for Messages {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
    }
}

impl AddAssign for SlowTally {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.undecided += other.undecided;
        self.received += other.received;
        self.drained += other.drained;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.deflated += other.deflated;
        self.failed += other.failed;
        self.closed += other.closed;
        self.messages += other.messages;
        self.wire.sent += other.wire.sent;
        self.wire.received += other.wire.received;
        self.latency.add(&other.latency);
        self.alone.add(&other.alone);
        self.slow += other.slow;
        self.closing.add(&other.closing);
        self.connecting.add(&other.connecting);
        self.late.add(&other.late);
        self.lag.add(&other.lag);
        self.opening_lag.add(&other.opening_lag);
        self.failures.add(other.failures);
        self.ends.add(other.ends);
    }
}

/// Reasons, and how often each was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons(pub(super) BTreeMap<String, u64>);

impl Reasons {
    /// Counts a reason; one of too many kinds is counted as another.
    pub(super) fn note(&mut self, reason: String) {
        self.note_many(reason, 1);
    }

    fn note_many(&mut self, reason: String, n: u64) {
        let is_known = self.0.len() < KINDS || self.0.contains_key(&reason);
        let reason = if is_known { reason } else { "other reasons".to_owned() };
        *self.0.entry(reason).or_default() += n;
    }

    fn add(&mut self, other: Self) {
        other.0.into_iter().for_each(|(reason, n)| self.note_many(reason, n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_none_is_dropped() {
        let mut reasons = Reasons::default();
        for n in 0..1000 {
            reasons.note(format!("reason {}", n % 100));
        }
        let mut both = reasons.clone();
        both.add(reasons.clone());
        assert!(both.0.len() <= KINDS + 1);
        assert_eq!(both.0.values().sum::<u64>(), 2000);
    }
}
