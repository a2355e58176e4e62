//! How far an attempt to connect has come, so that a timeout can say what it interrupted.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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
pub struct PhaseTracker(Arc<Mutex<Entered>>);

/// The current phase, as its place among [`PHASES`], and when each was entered last.
#[derive(Debug, Default)]
struct Entered {
    current: usize,
    at: [Option<Instant>; PHASES.len()],
}

impl PhaseTracker {
    /// Notes that `phase` begins.
    pub fn enter(&self, phase: Phase) {
        let idx = PHASES.iter().position(|it| *it == phase).expect("every phase is in the table");
        let mut entered = self.lock();
        entered.current = idx;
        entered.at[idx] = Some(Instant::now());
    }

    /// Returns the phase that was entered last.
    pub fn current(&self) -> Phase {
        PHASES[self.lock().current]
    }

    /// Returns when `phase` was entered last; `None` if it has not been.
    pub fn entered(&self, phase: Phase) -> Option<Instant> {
        let idx = PHASES.iter().position(|it| *it == phase)?;
        self.lock().at[idx]
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Entered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn the_tracker_knows_when_each_phase_began() {
        let (tracker, began) = (PhaseTracker::default(), Instant::now());
        tracker.enter(Phase::Connect);
        tokio::time::advance(Duration::from_secs(3)).await;
        tracker.enter(Phase::Tls);
        let after = |phase| tracker.entered(phase).map(|at| (at - began).as_secs());
        let entered = PHASES.map(after);
        assert_eq!(entered, [None, Some(0), None, Some(3), None]);
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
