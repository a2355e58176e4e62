//! Counts of a table's sessions.

use std::sync::atomic::{AtomicU64, Ordering};

use everwire_session::{Direction, EndedBy, Event};

/// What a server's sessions are doing, and have done since it started.
///
/// # Examples
/// ```
/// use everwire::session::Sessions;
///
/// fn is_in_trouble(sessions: &Sessions) -> bool {
///     let stats = sessions.stats();
///     // Most of them are cut off at once: something between us and them has failed.
///     stats.sessions > 100 && stats.detached * 2 > stats.sessions
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Sessions that live.
    pub sessions: usize,
    /// Those of them that have no connection at this moment.
    pub detached: usize,
    /// Bytes of messages that all buffers keep, each counted once.
    pub bytes: usize,
    /// Sessions that began.
    pub opened: u64,
    /// Returns of clients on another connection.
    pub resumed: u64,
    /// Connections that sessions lost.
    pub lost_connections: u64,
    /// Messages of ours that clients were told to be missing.
    pub missing: u64,
    /// Sessions that ended with a goodbye of either side.
    pub ended: u64,
    /// Sessions that ended because nobody came back in time, or their memory was needed.
    pub expired: u64,
    /// Sessions that ended because a client broke the protocol.
    pub violated: u64,
    /// Tokens that were shown after they had been replaced: somebody has a copy.
    pub reused_tokens: u64,
}

/// Counts that many threads add to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    opened: AtomicU64,
    resumed: AtomicU64,
    lost_connections: AtomicU64,
    missing: AtomicU64,
    ended: AtomicU64,
    expired: AtomicU64,
    violated: AtomicU64,
    reused_tokens: AtomicU64,
}

impl Totals {
    pub(super) fn count(&self, event: &Event) {
        let (total, n) = match event {
            Event::Opened { .. } => (&self.opened, 1),
            Event::Resumed { .. } => (&self.resumed, 1),
            Event::Detached => (&self.lost_connections, 1),
            Event::Gap(Direction::Out, gap) => (&self.missing, gap.to - gap.from + 1),
            Event::TokenReused => (&self.reused_tokens, 1),
            Event::Ended(end) => match end.by {
                EndedBy::Expiry => (&self.expired, 1),
                EndedBy::Violation(_) => (&self.violated, 1),
                _ => (&self.ended, 1),
            },
            _ => return,
        };
        total.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> SessionStats {
        let get = |total: &AtomicU64| total.load(Ordering::Relaxed);
        SessionStats {
            opened: get(&self.opened),
            resumed: get(&self.resumed),
            lost_connections: get(&self.lost_connections),
            missing: get(&self.missing),
            ended: get(&self.ended),
            expired: get(&self.expired),
            violated: get(&self.violated),
            reused_tokens: get(&self.reused_tokens),
            ..SessionStats::default()
        }
    }
}
