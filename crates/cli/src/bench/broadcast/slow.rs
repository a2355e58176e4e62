//! Consumers that read slowly, or not at all.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use everwire::{Receiver, Sender, WebSocket};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use super::{Channel, subscribers::Subscribers};
use crate::bench::{
    stage::{Post, Run},
    tally::SlowTally,
};

/// Silence after which a server is asked whether the connection is still there.
const QUIET: Duration = Duration::from_secs(1);

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
        let (tally, end) = read.expect("a reader neither panics nor is aborted");
        let mut inner = subscribers.lock();
        inner.tally.slow += tally;
        if let Some(end) = end {
            inner.tally.ends.note(format!("slow consumer: {end}"));
        }
    }
}

/// Reads slowly until the measurement is over; then all that is left, to see whether the server has
/// ended the connection. Returns what became of it, and the end if there was one.
async fn read(post: Post, slow: Slow, ws: WebSocket) -> (SlowTally, Option<String>) {
    let (sender, mut receiver) = ws.split();
    let mut tally = SlowTally { opened: 1, ..SlowTally::default() };
    let slowly = async {
        if let Some(pause) = slow.pause {
            while receiver.recv().await.is_some() {
                tally.received += 1;
                sleep(pause).await;
            }
        }
        post.stop().await;
    };
    tokio::select! {
        () = slowly => {}
        () = post.stop() => {}
    }
    let fate = tokio::select! {
        fate = drain(&sender, &mut receiver, &mut tally.drained, post.plan.patience) => fate,
        () = post.closing() => Fate::Undecided,
    };
    tally.received += tally.drained;
    match fate {
        Fate::Ended => tally.closed = 1,
        Fate::Undecided => tally.undecided = 1,
        Fate::Kept => {}
    }
    (tally, receiver.closure().map(|closure| closure.to_string()))
}

/// What the server has done with a slow consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It has ended the connection.
    Ended,
    /// It has sent everything and answers.
    Kept,
    /// It neither ends the connection nor answers, or there was too much to read.
    Undecided,
}

/// Reads all that is left: before a Close there may be megabytes. A server that keeps the
/// connection is told from one that is still busy with others by its answer to a Ping.
async fn drain(
    sender: &Sender,
    receiver: &mut Receiver,
    n_drained: &mut u64,
    patience: Duration,
) -> Fate {
    // While something comes, it is waited for longer.
    let (silence, until) = (patience * 6, Instant::now() + patience * 24);
    while Instant::now() < until {
        match timeout(QUIET, receiver.recv()).await {
            Ok(Some(_)) => {
                *n_drained += 1;
                continue;
            }
            Ok(None) => return Fate::Ended,
            Err(_) => {}
        }
        tokio::select! {
            biased;
            message = receiver.recv() => match message {
                Some(_) => *n_drained += 1,
                None => return Fate::Ended,
            },
            // If it is closing, the end is about to come.
            Ok(()) = sender.flush_and_ping() => return Fate::Kept,
            () = sleep(silence) => return Fate::Undecided,
        }
    }
    Fate::Undecided
}
