//! `bench storm`: all connections are cut at once, and come back at once.

use std::time::{Duration, Instant};

use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{
    lateness, opening,
    quiet::{Log, MayEnd, Quiet},
    stage::Post,
    tally::Tally,
};

/// How a herd comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storm {
    /// The time over which first attempts are spread.
    pub(super) spread: Duration,
    /// The pause behind an attempt that failed.
    pub(super) retry: Duration,
}

/// One thread's part.
pub(super) async fn run(post: Post, storm: Storm) -> Tally {
    let (log, may_end) = (Log::default(), MayEnd::default());
    let mut tally = Tally::default();
    let mut senders =
        opening::open(&post, &mut tally, |_| Quiet { log: log.clone(), may_end: may_end.clone() })
            .await;
    let again = MayEnd::default();
    if let Some(run) = post.run().await {
        sleep_until(run.start.into()).await;
        may_end.set();
        senders.drain(..).flatten().for_each(|sender| sender.abort());
        let mut attempts = JoinSet::new();
        for connection in post.plan.mine(post.idx) {
            let due = run.start + offset(&post, storm, connection);
            let quiet = || Quiet { log: log.clone(), may_end: again.clone() };
            attempts.spawn(come_back(post.clone(), storm, connection, due, quiet()));
            log.lock().messages.sent += 1;
        }
        tokio::select! {
            () = async {
                while let Some(back) = attempts.join_next().await {
                    senders.push(back.ok());
                    let mut tally = log.lock();
                    tally.messages.answered += 1;
                    tally.messages.in_time += 1;
                    post.show_answered(tally.messages.answered);
                }
            } => {}
            () = post.stop() => {}
            _ = lateness::watch(|late| log.lock().lag.record(late)) => {}
        }
    }
    post.close().await;
    again.set();
    opening::close(senders).await;
    tally += log.take();
    tally.messages.lost = tally.messages.sent - tally.messages.answered;
    tally
}

/// Tries until the connection is open again.
async fn come_back(
    post: Post,
    storm: Storm,
    connection: usize,
    due: Instant,
    quiet: Quiet,
) -> everwire::Sender {
    let Quiet { log, may_end } = quiet;
    sleep_until(due.into()).await;
    let client = post.plan.target.client(connection);
    loop {
        let quiet = Quiet { log: log.clone(), may_end: may_end.clone() };
        match client.connect_handler(quiet).await {
            Ok(sender) => {
                log.lock().latency.record(due.elapsed());
                return sender;
            }
            Err(error) => {
                let mut tally = log.lock();
                tally.failed += 1;
                tally.failures.note(error.to_string());
            }
        }
        sleep(storm.retry).await;
    }
}

/// Returns when a connection tries for the first time.
fn offset(post: &Post, storm: Storm, connection: usize) -> Duration {
    storm.spread.mul_f64(connection as f64 / post.plan.connections as f64)
}
