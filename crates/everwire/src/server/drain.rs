//! Shutting down: everybody is told, at a pace, and nobody is waited for without end.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use everwire_proto::{Advice, Cause, CloseCode, CloseFrame, SendError};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::Server;
use crate::{Registry, random, shared::Shared};

/// As good as for ever, and not beyond what a clock can show.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Time for what was cut to be reported.
const REPORT: Duration = Duration::from_secs(1);

/// How a server shuts down. See [`Server::shutdown`].
///
/// # Examples
/// A restart of which clients learn at a pace of 2,000 a second, and come back within 20 s:
/// ```
/// use std::time::Duration;
/// use everwire::Drain;
///
/// let drain = Drain::restart()
///     .rate(2000)
///     .spread(Duration::from_secs(20))
///     .deadline(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    notice: CloseCode,
    rate: Option<NonZeroU32>,
    retry: Duration,
    spread: Option<Duration>,
    grace: Duration,
    deadline: Duration,
}

impl Drain {
    /// Shuts down with this close code, and the defaults.
    #[must_use]
    pub fn new(notice: CloseCode) -> Self {
        Self {
            notice,
            rate: NonZeroU32::new(5000),
            retry: Duration::from_secs(1),
            spread: None,
            grace: Duration::ZERO,
            deadline: Duration::from_secs(10),
        }
    }

    /// Asks clients to come back: 1012, service restart.
    #[must_use]
    pub fn restart() -> Self {
        Self::new(CloseCode::SERVICE_RESTART)
    }

    /// Says goodbye: 1001, going away.
    #[must_use]
    pub fn leaving() -> Self {
        Self::new(CloseCode::GOING_AWAY)
    }

    /// Sets how many connections are closed a second, 0 for all at once. It is raised if it takes
    /// to be so that everybody is told in half of the time that is left. Default: 5,000.
    #[must_use]
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = NonZeroU32::new(per_second);
        self
    }

    /// Advises clients to come back at a time of their own within this span, so that they do not
    /// come all at once: the reason of the Close is then such as `retry=1000;spread=20000`, in
    /// milliseconds. Clients with a session are told the same before, by GOAWAY. Default: no advice;
    /// those with a session spread their return over what their server tells them for any loss
    /// (`Terms::first_spread`, 1 s).
    #[must_use]
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = Some(spread);
        self
    }

    /// Sets the time for which clients are advised to stay away before the
    /// [spread](Self::spread) begins. Default: 1 s.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = after;
        self
    }

    /// Sets how long the application has for a goodbye of its own, between
    /// [`Handler::on_drain`](crate::Handler::on_drain) or
    /// [`Sender::draining`](crate::Sender::draining) and the first Close. What `on_drain` itself
    /// sends leaves before the Close in any case. Default: none.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long all of it may take, the grace included; then whoever is left is cut.
    /// Default: 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the Close that everybody is sent.
    fn frame(&self) -> Result<CloseFrame, SendError> {
        let reason = self.advice().map_or_else(String::new, |advice| advice.to_string());
        CloseFrame::new(self.notice, &reason)
    }

    /// Returns when clients are to come back, if that is said.
    fn advice(&self) -> Option<Advice> {
        self.spread.map(|spread| Advice::new(self.retry, spread))
    }

    /// Returns how far apart the closings of `n` connections begin, if all are to have begun within
    /// half of `left`.
    fn step(&self, n: usize, left: Duration) -> Duration {
        let n = u32::try_from(n).unwrap_or(u32::MAX).max(1);
        self.rate
            .map_or(Duration::ZERO, |rate| (Duration::from_secs(1) / rate.get()).min(left / 2 / n))
    }
}

/// How a [shutdown](Server::shutdown) went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that ended with a closing handshake.
    pub clean: usize,
    /// Connections that ended in another way, or were cut at the deadline.
    pub cut: usize,
    /// Messages that were queued on these connections and never written whole.
    pub unsent: u64,
}

impl Server {
    /// Shuts down: stops accepting, lets handlers say goodbye, closes every connection at a pace,
    /// and cuts whoever is left at the deadline. Returns how it went.
    ///
    /// Who waits to be accepted is answered with 503, who is being accepted is closed at once, and
    /// requests to the HTTP service are answered to their end, as far as the deadline allows.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent; the server goes on.
    ///
    /// # Cancel safety
    /// Dropped, the server has stopped accepting and the closings that were begun go on.
    pub async fn shutdown(&self, drain: Drain) -> Result<Drained, SendError> {
        let frame = drain.frame()?;
        self.stop.send_replace(Some(frame.clone()));
        Ok(self.registry().close_all(&drain, &frame, self.busy.closed()).await)
    }
}

impl Registry {
    /// Does what [`Server::shutdown`] does, with connections whose server is another's: lets
    /// handlers say goodbye, closes every connection at a pace, and cuts whoever is left at the
    /// deadline. Connections that come meanwhile are closed as well; stop accepting first.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    ///
    /// # Cancel safety
    /// Dropped, the closings that were begun go on.
    pub async fn drain(&self, drain: Drain) -> Result<Drained, SendError> {
        let frame = drain.frame()?;
        Ok(self.close_all(&drain, &frame, std::future::ready(())).await)
    }

    /// Closes everybody; waits for `others` too.
    async fn close_all(
        &self,
        drain: &Drain,
        frame: &CloseFrame,
        others: impl Future<Output = ()>,
    ) -> Drained {
        let before = self.closed();
        self.advise(drain.advice());
        let until = Instant::now() + drain.deadline.min(FOREVER);
        let in_time = timeout_at(until, async {
            say_goodbye(self, drain).await;
            close_paced(self, drain, frame, until).await;
            wait_for_end(self, frame).await;
            others.await;
        });
        if in_time.await.is_err() {
            let rest = self.all();
            rest.iter().for_each(|shared| shared.abort(Cause::Aborted));
            // Their tasks report it, as soon as they are run.
            timeout(REPORT, all_closed(&rest)).await.ok();
        }
        let after = self.closed();
        let clean = after.clean - before.clean;
        // What has not even reported now is cut all the same.
        let ended = after.opened - before.opened + self.len() as u64;
        Drained {
            clean: usize::try_from(clean).unwrap_or(usize::MAX),
            cut: usize::try_from(ended - clean).unwrap_or(usize::MAX),
            unsent: after.unsent - before.unsent,
        }
    }
}

/// Tells the application, and gives it its time.
async fn say_goodbye(registry: &Registry, drain: &Drain) {
    let all = registry.all();
    all.iter().for_each(|shared| shared.drain());
    if !drain.grace.is_zero() {
        timeout(drain.grace, all_closed(&all)).await.ok();
    }
}

/// Begins the closing of everybody, in any order, each at a random time within its step.
async fn close_paced(registry: &Registry, drain: &Drain, frame: &CloseFrame, until: Instant) {
    let mut all = registry.all();
    let start = Instant::now();
    let step = drain.step(all.len(), until.saturating_duration_since(start));
    shuffle(&mut all);
    for (shared, i) in all.into_iter().zip(0..) {
        if !step.is_zero() {
            sleep_until(start + step * i + step.mul_f64(random_fraction())).await;
        }
        shared.close(Cause::Shutdown, frame.clone());
    }
}

/// Waits until nobody is left.
async fn wait_for_end(registry: &Registry, frame: &CloseFrame) {
    // An opening handshake that was nearly done may slip in behind.
    while !registry.is_empty() {
        let all = registry.all();
        all.iter().for_each(|shared| shared.close(Cause::Shutdown, frame.clone()));
        all_closed(&all).await;
    }
}

async fn all_closed(all: &[Arc<Shared>]) {
    for shared in all {
        shared.waiting(|cx, place| shared.poll_closed(cx, place)).await;
    }
}

fn shuffle<T>(all: &mut [T]) {
    for i in (1..all.len()).rev() {
        let j = (random_fraction() * (i + 1) as f64) as usize;
        all.swap(i, j.min(i));
    }
}

/// Returns a random number from 0 to below 1.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    random::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_pace_is_kept_unless_time_is_short() {
        let drain = Drain::restart().rate(100);
        assert_eq!(drain.step(10, millis(10_000)), millis(10));
        assert_eq!(drain.step(1000, millis(10_000)), millis(5));
        assert_eq!(drain.step(1000, Duration::ZERO), Duration::ZERO);
        assert_eq!(drain.step(0, millis(10_000)), millis(10));
        assert_eq!(drain.clone().rate(0).step(1000, millis(10_000)), Duration::ZERO);
    }

    #[test]
    fn advice_is_in_the_reason_if_there_is_a_spread() {
        let close = |drain: Drain| drain.frame().unwrap().to_string();
        assert_eq!(close(Drain::restart()), "1012 (service restart)");
        assert_eq!(
            close(Drain::leaving().retry(millis(1500)).spread(millis(20_000))),
            "1001 (going away) \"retry=1500;spread=20000\""
        );
        let reserved = Drain::new(CloseCode::ABNORMAL_CLOSURE).frame();
        assert!(matches!(reserved, Err(SendError::ReservedCloseCode(_))));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut numbers: Vec<u32> = (0..1000).collect();
        shuffle(&mut numbers);
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}
