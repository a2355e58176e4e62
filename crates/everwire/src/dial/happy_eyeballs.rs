//! Racing the addresses of a host, so that a broken family costs a quarter of a second and not a timeout.
//! See RFC 8305.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::ConnectFailure;

/// §5 and §8: "Connection Attempt Delay … 250 milliseconds" is recommended, 100 ms the least.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Orders addresses so that the families alternate, beginning with the family of the first one.
///
/// Within a family the resolver's order stays (it has applied RFC 6724), and duplicates go. See §4.
pub(super) fn interleave(addrs: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let unique: Vec<_> = addrs.into_iter().filter(|addr| seen.insert(*addr)).collect();
    let first_is_ipv6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) =
        unique.iter().partition(|addr| addr.is_ipv6() == first_is_ipv6);
    let mut ordered = Vec::with_capacity(unique.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while ordered.len() < unique.len() {
        ordered.extend(first.next());
        ordered.extend(second.next());
    }
    ordered
}

/// Connects to the address that answers first.
///
/// A new attempt starts when the last one has failed or has taken `delay`, and the earlier ones go on. All
/// addresses get their turn, in the given order; the losers are dropped with the race.
///
/// # Errors
/// When every attempt has failed, all their errors.
///
/// # Cancel safety
/// Dropping the future drops every attempt.
pub(super) async fn race<S, F>(
    addrs: Vec<SocketAddr>,
    delay: Duration,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> Result<S, ConnectFailure>
where
    F: Future<Output = io::Result<S>>,
{
    let mut waiting = addrs.into_iter();
    let mut running: Vec<Attempt<F>> = Vec::new();
    let mut failed = Vec::new();
    let mut next_start = Instant::now();
    loop {
        if running.is_empty() || Instant::now() >= next_start {
            match waiting.next() {
                Some(addr) => running.push(Attempt { addr, future: Box::pin(connect(addr)) }),
                None if running.is_empty() => return Err(ConnectFailure { attempts: failed }),
                None => {}
            }
            next_start = Instant::now() + delay;
        }
        tokio::select! {
            (addr, result) = first_done(&mut running) => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    failed.push((addr, error));
                    // §5: a failed attempt need not be waited for.
                    next_start = Instant::now();
                }
            },
            () = sleep_until(next_start), if waiting.len() > 0 => {}
        }
    }
}

struct Attempt<F> {
    addr: SocketAddr,
    future: Pin<Box<F>>,
}

/// Waits for one attempt to end and takes it out of the list.
async fn first_done<F: Future>(running: &mut Vec<Attempt<F>>) -> (SocketAddr, F::Output) {
    poll_fn(|cx| {
        for idx in 0..running.len() {
            if let Poll::Ready(output) = running[idx].future.as_mut().poll(cx) {
                return Poll::Ready((running.remove(idx).addr, output));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;

    const V4: [&str; 3] = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
    const V6: [&str; 2] = ["[2001:db8::1]:80", "[2001:db8::2]:80"];

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Races addresses that answer after a time of their own; returns the result and when each was started.
    async fn run(plan: &[(&str, u64, bool)]) -> (Result<SocketAddr, ConnectFailure>, Vec<u128>) {
        let (began, starts) = (Instant::now(), Mutex::new(Vec::new()));
        let list = plan.iter().map(|(addr, ..)| addr.parse().unwrap()).collect();
        let result = race(list, ATTEMPT_DELAY, |addr: SocketAddr| {
            starts.lock().unwrap().push(began.elapsed().as_millis());
            let (_, millis, ok) =
                *plan.iter().find(|(text, ..)| addrs(&[text])[0] == addr).unwrap();
            async move {
                sleep(Duration::from_millis(millis)).await;
                if ok { Ok(addr) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        })
        .await;
        (result, starts.into_inner().unwrap())
    }

    #[test]
    fn families_alternate_from_the_first_one() {
        let listed = addrs(&[V6[0], V6[1], V6[0], V4[0], V4[1], V4[2]]);
        assert_eq!(interleave(listed), addrs(&[V6[0], V4[0], V6[1], V4[1], V4[2]]));
        assert_eq!(interleave(addrs(&[V4[0], V6[0]])), addrs(&[V4[0], V6[0]]));
        assert_eq!(interleave([]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_first_address_costs_one_delay() {
        let (result, starts) =
            run(&[(V6[0], 60_000, true), (V4[0], 20, true), (V4[1], 20, true)]).await;
        assert_eq!(result.unwrap(), addrs(&[V4[0]])[0]);
        assert_eq!(starts, [0, 250]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_attempt_at_once() {
        let (result, starts) =
            run(&[(V6[0], 30, false), (V4[0], 300, false), (V4[1], 20, true)]).await;
        assert_eq!(result.unwrap(), addrs(&[V4[1]])[0]);
        assert_eq!(starts, [0, 30, 280]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_attempt_may_still_win() {
        let (result, starts) =
            run(&[(V6[0], 600, true), (V4[0], 5_000, true), (V4[1], 5_000, false)]).await;
        assert_eq!(result.unwrap(), addrs(&[V6[0]])[0]);
        assert_eq!(starts, [0, 250, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_and_every_error_kept() {
        let (result, starts) =
            run(&[(V6[0], 400, false), (V4[0], 10, false), (V4[1], 10, false)]).await;
        let failed: Vec<_> =
            result.unwrap_err().attempts.into_iter().map(|(addr, _)| addr).collect();
        assert_eq!(failed, addrs(&[V4[0], V4[1], V6[0]]));
        assert_eq!(starts, [0, 250, 260]);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_race_drops_every_attempt() {
        let alive = std::sync::Arc::new(());
        let connect = |_| {
            let alive = alive.clone();
            async move {
                std::future::pending::<()>().await;
                drop(alive);
                io::Result::Ok(())
            }
        };
        let race = race(addrs(&V4), ATTEMPT_DELAY, connect);
        assert!(tokio::time::timeout(Duration::from_secs(2), race).await.is_err());
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
