//! How far an attempt to connect has come, so that a timeout can say what it interrupted.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::error::DialError;

/// One step on the way to an open connection, in the order they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The name is being looked up.
    Resolve,
    /// TCP connections are being raced.
    Connect,
    /// A proxy is being asked for a tunnel.
    Proxy,
    /// The TLS handshake with the server.
    Tls,
    /// The opening handshake of RFC 6455.
    Handshake,
}

const PHASES: [Phase; 5] =
    [Phase::Resolve, Phase::Connect, Phase::Proxy, Phase::Tls, Phase::Handshake];

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "name resolution",
            Self::Connect => "tcp connect",
            Self::Proxy => "proxy negotiation",
            Self::Tls => "tls handshake",
            Self::Handshake => "opening handshake",
        })
    }
}

/// A note of the current [`Phase`], shared between who works and who watches the clock.
///
/// Clones share the note. A new one stands at [`Phase::Resolve`].
#[derive(Clone, Debug, Default)]
pub struct PhaseTracker(Arc<AtomicU8>);

impl PhaseTracker {
    /// Notes that `phase` begins.
    pub fn enter(&self, phase: Phase) {
        let idx = PHASES.iter().position(|it| *it == phase).expect("every phase is in the table");
        self.0.store(idx as u8, Ordering::Relaxed);
    }

    /// Returns the phase that was entered last.
    pub fn current(&self) -> Phase {
        PHASES[usize::from(self.0.load(Ordering::Relaxed))]
    }

    /// Runs `attempt` under one deadline for all its phases.
    ///
    /// # Errors
    /// What `attempt` fails with, or [`DialError::Timeout`] with the phase it was in.
    ///
    /// # Cancel safety
    /// Dropping the future drops `attempt`; nothing runs on.
    pub async fn within<T, E>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<DialError>,
    {
        match tokio::time::timeout(limit, attempt).await {
            Ok(result) => result,
            Err(_) => Err(DialError::Timeout { phase: self.current(), after: limit }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracker_returns_each_phase_it_was_given() {
        let tracker = PhaseTracker::default();
        assert_eq!(tracker.current(), Phase::Resolve);
        for phase in PHASES {
            tracker.clone().enter(phase);
            assert_eq!(tracker.current(), phase);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_names_the_phase_it_interrupted() {
        let tracker = PhaseTracker::default();
        let stuck = async {
            tracker.enter(Phase::Tls);
            std::future::pending::<Result<(), DialError>>().await
        };
        let error = tracker.within(Duration::from_secs(10), stuck).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out after 10s in the tls handshake");
    }
}
