//! What follows when an attempt fails, a connection is lost, or the server wants us elsewhere.

use std::{sync::Arc, time::Duration};

use everwire_proto::{Advice, CloseCode};
use everwire_session::{Code, Goaway, Welcome};

use super::{Beside, Runner};
use crate::{
    clock, random,
    reconnect::{AttemptError, Ending, Failure, Phase, Refusal, Retry, later},
};

impl Runner {
    /// The server answered, and did not attach us.
    pub(super) fn refused(&mut self, welcome: Welcome) {
        if let Some(carrier) = self.carrier.take() {
            self.link.closed(carrier.attempt, None);
            carrier.leave();
        }
        self.link.detached();
        let (retry, refusal) = match welcome {
            Welcome::Busy { after, spread } => {
                let [after, spread] = [after, spread].map(Duration::from_millis);
                (Retry::After { after, spread }, Refusal::Busy { after })
            }
            Welcome::Moved(url) => {
                self.place = self.way.as_ref().map(|way| way.place(url));
                let (after, spread) = (Duration::ZERO, Duration::from_millis(100));
                (Retry::After { after, spread }, Refusal::Moved)
            }
            Welcome::Auth if self.setup.ticket.is_some() => {
                (Retry::RefreshTokenOnce, Refusal::Ticket)
            }
            Welcome::Auth => (Retry::Never, Refusal::Ticket),
            _ => (Retry::Now, Refusal::Silent),
        };
        self.last = Some(not_attached(refusal));
        self.follow(Failure::new(retry));
        if self.machine.phase() == Phase::Stopped {
            self.abort(Code::UNAUTHENTICATED, "ticket refused");
        }
    }

    pub(super) fn go_away(&mut self, goaway: Goaway) {
        let [after, spread] = [goaway.after, goaway.spread].map(Duration::from_millis);
        let (policy, now) = (&self.setup.policy, clock::now());
        let limit = policy.advice_limit;
        let mut delay = after.min(limit).saturating_add(uniform(spread.min(limit)));
        // Servers that send us to each other without end are followed ever more slowly.
        let lasted = self.attached.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        self.n_advised = if lasted < policy.stable_after { self.n_advised + 1 } else { 0 };
        if self.n_advised > 1 {
            delay = delay.max(uniform(policy.longest_delay(self.n_advised - 1, Duration::ZERO)));
        }
        if let Some(way) = self.way.as_ref().filter(|_| !goaway.url.is_empty()) {
            self.place = Some(way.place(goaway.url));
        }
        let at = later(now, delay);
        self.beside = Some(Beside::new(at, false));
    }

    pub(super) fn failed(&mut self, error: AttemptError, is_beside: bool) {
        tracing::debug!(%error, is_beside, "attempt to connect failed");
        let was_sent = self.place.take().is_some();
        if !is_beside {
            let ending = Ending::Failed(Arc::new(error));
            let retry = match &ending {
                // Where we were sent is not where we were told to go: that is tried again.
                _ if was_sent && ending.retry() == Retry::Never => Some(Retry::Now),
                // One server of several may be older than the others.
                Ending::Failed(error) if self.was_welcome => {
                    let has_none = matches!(**error, AttemptError::NoSessions { .. });
                    has_none.then_some(Retry::Now)
                }
                _ => None,
            };
            return self.lost(ending, retry);
        }
        if let Some(beside) = &mut self.beside {
            beside.n_failed += 1;
            let longest = self.setup.policy.longest_delay(beside.n_failed, Duration::ZERO);
            beside.delay = uniform(longest);
            beside.at = later(clock::now(), beside.delay);
            beside.last = Some(Ending::Failed(Arc::new(error)));
        }
    }

    /// Nothing carries the session any more, or still nothing does.
    pub(super) fn lost(&mut self, ending: Ending, retry: Option<Retry>) {
        let retry = retry.unwrap_or_else(|| match (ending.retry(), &ending) {
            (Retry::RefreshTokenOnce, Ending::Failed(_)) if !self.setup.has_provider() => {
                Retry::Never
            }
            // The close of a connection decides nothing about the session.
            (retry @ Retry::After { .. }, _) | (retry, Ending::Failed(_)) => retry,
            _ => Retry::Now,
        });
        let failure = ending.failure(self.goaway_stands(&ending).unwrap_or(retry));
        self.last = Some(ending);
        self.follow(failure);
        self.link.detached();
    }

    /// Returns when the next attempt comes by the advice of GOAWAY, if the connection was closed as that
    /// foretold, and not advised otherwise (protocol §12).
    fn goaway_stands(&self, ending: &Ending) -> Option<Retry> {
        let wish = self.beside.as_ref().filter(|beside| !beside.is_suspicion)?;
        let close = ending.closure()?.received.as_ref()?;
        let is_planned = [CloseCode::GOING_AWAY, CloseCode::SERVICE_RESTART].contains(&close.code);
        let stands = is_planned && Advice::parse(&close.reason).is_none();
        let after = wish.at.saturating_duration_since(clock::now());
        stands.then_some(Retry::After { after, spread: Duration::ZERO })
    }

    /// Lets the machine decide what follows.
    pub(super) fn follow(&mut self, failure: Failure) {
        let now = clock::now();
        self.beside = None;
        if self.opening.as_ref().is_some_and(|opening| opening.is_beside) {
            self.opening = None;
        }
        match self.machine.phase() {
            Phase::Attempting => self.machine.handle_failed(now, failure),
            Phase::Open => self.machine.handle_closed(now, failure),
            _ => {}
        }
    }
}

pub(super) fn not_attached(refusal: Refusal) -> Ending {
    Ending::Failed(Arc::new(AttemptError::NotAttached(refusal)))
}

/// Draws a time from nothing up to, and without, `longest`.
fn uniform(longest: Duration) -> Duration {
    let mut bytes = [0; 4];
    random::fill(&mut bytes);
    longest.mul_f64(f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0)
}
