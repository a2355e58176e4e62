//! Consumers that read slowly, or not at all.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use everwire::WebSocket;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use super::{Channel, subscribers::Subscribers};
use crate::bench::stage::{Post, Run};

/// How slow, and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::bench) struct Slow {
    pub(in crate::bench) n: usize,
    /// The pause behind each message that is read; nothing: they never read.
    pub(in crate::bench) pause: Option<Duration>,
}

/// Lets this thread's slow consumers come when half of the time is over, and looks at the end what
/// became of them.
pub(super) async fn run(
    post: &Post,
    slow: Slow,
    run: Run,
    channel: &Channel,
    subscribers: &Subscribers,
) {
    tokio::select! {
        () = sleep_until((run.start + post.plan.duration / 2).into()) => {}
        () = post.stop() => return,
    }
    let mut opening = JoinSet::new();
    for idx in (post.idx..slow.n).step_by(post.plan.threads) {
        let client = post.plan.target.slow_client(idx);
        opening.spawn(async move { client.connect().await });
    }
    let mut reading = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        match opened.expect("an attempt neither panics nor is aborted") {
            Ok(ws) => drop(reading.spawn(read(post.clone(), slow, ws))),
            Err(error) => {
                let mut inner = subscribers.lock();
                inner.tally.failed += 1;
                inner.tally.failures.note(format!("slow consumer: {error}"));
            }
        }
    }
    let n_come = channel.n_come.fetch_add(1, Ordering::Relaxed) + 1;
    if n_come == post.plan.threads {
        channel.publications.slow_are_there(run.start.elapsed());
    }
    while let Some(read) = reading.join_next().await {
        let (n_received, end) = read.expect("a reader neither panics nor is aborted");
        let mut inner = subscribers.lock();
        inner.tally.slow.received += n_received;
        inner.tally.slow.opened += 1;
        if let Some(end) = end {
            inner.tally.slow.closed += 1;
            inner.tally.ends.note(format!("slow consumer: {end}"));
        }
    }
}

/// Reads slowly until the measurement is over; then all that is left, to see whether the server has
/// ended the connection. Returns how many messages came, and the end if there was one.
async fn read(post: Post, slow: Slow, mut ws: WebSocket) -> (u64, Option<String>) {
    let mut n_received = 0;
    let slowly = async {
        if let Some(pause) = slow.pause {
            while ws.recv().await.is_some() {
                n_received += 1;
                sleep(pause).await;
            }
        }
        post.stop().await;
    };
    tokio::select! {
        () = slowly => {}
        () = post.stop() => {}
    }
    let until = Instant::now() + post.plan.patience.min(Duration::from_secs(2));
    // A server that keeps the connection leaves us waiting for the next message.
    let quiet = Duration::from_millis(250);
    while Instant::now() < until && !post.is_closing() {
        match timeout(quiet, ws.recv()).await {
            Ok(Some(_)) => n_received += 1,
            Ok(None) => return (n_received, ws.closure().map(|closure| closure.to_string())),
            Err(_) => break,
        }
    }
    (n_received, None)
}
