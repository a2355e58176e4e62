//! Opening many connections: as fast as the server takes them, or evenly over a time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use everwire::{Handler, Sender};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep_until};

use super::{stage::Post, tally::Tally};

/// How many connections a thread opens at the same time.
const AT_ONCE: usize = 64;

/// Opens this thread's connections and returns those that opened, in order. `handler` is asked for
/// that of each connection by its place among them.
pub(super) async fn open<H: Handler>(
    post: &Post,
    tally: &mut Tally,
    mut handler: impl FnMut(usize) -> H,
) -> Vec<Option<Sender>> {
    let began = Instant::now();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut attempts = JoinSet::new();
    let mut senders = Vec::new();
    for (place, connection) in post.plan.mine(post.idx).enumerate() {
        let (client, handler) = (post.plan.target.client(connection), handler(place));
        let (gate, due) = (gate.clone(), began + due(&post.plan, connection));
        let stage = post.stage.clone();
        attempts.spawn(async move {
            sleep_until(due.into()).await;
            let _permit = gate.acquire().await.expect("nobody closes the gate");
            let started = Instant::now();
            let opened = client.connect_handler(handler).await;
            let counter = if opened.is_ok() { &stage.opened } else { &stage.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            (place, opened, started.elapsed())
        });
        senders.push(None);
    }
    while let Some(attempt) = attempts.join_next().await {
        let (place, opened, took) = attempt.expect("an attempt neither panics nor is aborted");
        match opened {
            Ok(sender) => {
                tally.opened += 1;
                tally.connecting.record(took);
                senders[place] = Some(sender);
            }
            Err(error) => {
                tally.failed += 1;
                tally.failures.note(error.to_string());
            }
        }
    }
    senders
}

/// Returns when a connection is due after the first.
fn due(plan: &super::plan::Plan, connection: usize) -> Duration {
    plan.ramp.mul_f64(connection as f64 / plan.connections as f64)
}

/// Closes connections, and waits for the ends.
pub(super) async fn close(senders: Vec<Option<Sender>>) {
    let closings = senders.iter().flatten();
    let closings: Vec<_> = closings
        .filter_map(|sender| sender.close(everwire::CloseCode::NORMAL_CLOSURE, "").ok())
        .collect();
    for closing in closings {
        closing.await;
    }
}
