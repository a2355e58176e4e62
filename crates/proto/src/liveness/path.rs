//! What the system knows of the path.

use std::time::{Duration, Instant};

/// Time between two looks at a path that has data in flight.
const LOOK: Duration = Duration::from_millis(500);

/// Retransmissions in a row from which on a path is suspected: the second proves that the first was
/// not an accident.
const SUSPICIOUS: u32 = 2;

/// What the system knows of a connection's path, for
/// [`Connection::handle_path`](crate::Connection::handle_path).
///
/// On Linux all of it comes with one `getsockopt(TCP_INFO)` and one `ioctl(SIOCOUTQ)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathFacts {
    /// Bytes that were written and are not acknowledged (`SIOCOUTQ`).
    pub unacked: u64,
    /// How often in a row the system has sent the same data again without any acknowledgement,
    /// doubling its patience each time (`tcpi_retransmits`), or asked in vain whether a window that
    /// was closed is open (`tcpi_probes`); the greater.
    pub retransmits: u32,
    /// How long ago the last acknowledgement came (`tcpi_last_ack_recv`).
    pub since_ack: Duration,
}

impl PathFacts {
    /// Returns these facts.
    #[must_use]
    pub const fn new(unacked: u64, retransmits: u32, since_ack: Duration) -> Self {
        Self { unacked, retransmits, since_ack }
    }

    /// Returns whether the path takes nothing any more.
    pub(super) fn is_stuck(&self) -> bool {
        self.unacked > 0 && self.retransmits >= SUSPICIOUS
    }

    /// Returns whether what is in flight was being acknowledged within this time.
    pub(super) fn is_moving(&self, within: Duration) -> bool {
        self.retransmits == 0 && self.since_ack < within
    }
}

/// When to look at a path, for a policy that does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathWatch {
    looked: Option<Instant>,
    /// How many bytes had been sent when all of them were known to be acknowledged.
    settled: u64,
    /// Whether the peer is to be asked now.
    pub(super) suspects: bool,
}

impl PathWatch {
    /// Returns when to look next; `None` while nothing is in flight.
    pub(super) fn poll_look(&self, last_received: Instant, bytes_sent: u64) -> Option<Instant> {
        match self.looked {
            Some(looked) if self.suspects => Some(looked),
            _ if bytes_sent == self.settled => None,
            Some(looked) => Some(last_received.max(looked) + LOOK),
            None => Some(last_received + LOOK),
        }
    }

    pub(super) fn handle_facts(&mut self, now: Instant, facts: PathFacts, bytes_sent: u64) {
        self.looked = Some(now);
        if facts.unacked == 0 {
            self.settled = bytes_sent;
        }
    }

    /// Notes that nobody looked although it was time: the engine has no facts.
    pub(super) fn skip_look(&mut self, bytes_sent: u64) {
        self.settled = bytes_sent;
    }
}
