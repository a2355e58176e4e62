//! Opening many connections: as fast as the server takes them, or evenly over a time.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use everwire::{Handler, Sender};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{lateness, stage::Post, tally::Tally, times::Times};

/// How many connections a thread opens at the same time.
const AT_ONCE: usize = 64;

/// Opens this thread's connections and returns those that opened, each at its place. `handler` is
/// asked for that of each place.
pub(super) async fn open<H: Handler>(
    post: &Post,
    tally: &mut Tally,
    mut handler: impl FnMut(usize) -> H,
) -> Vec<Option<Sender>> {
    let began = Instant::now();
    let connections: Vec<usize> = post.plan.mine(post.idx).collect();
    let n_first = connections.iter().filter(|idx| **idx < post.plan.n_first()).count();
    let mut senders: Vec<_> = connections.iter().map(|_| None).collect();
    let mut places = connections.into_iter().enumerate();
    let first = places.by_ref().take(n_first).collect();
    open_some(post, began, first, tally, &mut senders, &mut handler).await;
    if post.rest().await {
        open_some(post, began, places.collect(), tally, &mut senders, &mut handler).await;
    }
    senders
}

/// Opens connections, given by their places and numbers.
async fn open_some<H: Handler>(
    post: &Post,
    began: Instant,
    places: Vec<(usize, usize)>,
    tally: &mut Tally,
    senders: &mut [Option<Sender>],
    handler: &mut impl FnMut(usize) -> H,
) {
    let mut lag = Times::default();
    let watch = async {
        lateness::watch(|late| lag.record(late)).await.ok();
        pending::<()>().await;
    };
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut attempts = JoinSet::new();
    for (place, connection) in places {
        let (client, handler) = (post.plan.target.client(connection), handler(place));
        let (gate, stage) = (gate.clone(), post.stage.clone());
        let due = began + post.plan.ramp_of(connection);
        attempts.spawn(async move {
            sleep_until(due.into()).await;
            let _permit = gate.acquire().await.expect("nobody closes the gate");
            let started = Instant::now();
            let opened = client.connect_handler(handler).await;
            let counter = if opened.is_ok() { &stage.opened } else { &stage.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            (place, opened, started.elapsed())
        });
    }
    let all = async {
        while let Some(attempt) = attempts.join_next().await {
            let (place, opened, took) = attempt.expect("an attempt neither panics nor is aborted");
            senders[place] = tally.attempted(opened, took);
        }
        // What was slept through last is noted at the next beat.
        sleep(2 * lateness::BEAT).await;
    };
    tokio::select! {
        () = all => {}
        // Given up: what is dropped is not opened.
        () = post.stop() => {}
        () = watch => {}
    }
    tally.opening_lag.add(&lag);
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

/// Waits for what is still under way, as long as there is patience.
pub(super) async fn linger(post: &Post, mut is_done: impl FnMut() -> bool) {
    let until = Instant::now() + post.plan.patience;
    while Instant::now() < until && !is_done() && !post.is_closing() {
        sleep(Duration::from_millis(5)).await;
    }
}
