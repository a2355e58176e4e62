//! `bench connect`: connections are opened and closed, one after the other or on a schedule.

use std::{
    cell::Cell,
    rc::Rc,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use everwire::{CloseCode, ConnectError, Sender};
use tokio::task::{JoinSet, LocalSet};

use super::{
    alarm::Alarm,
    lateness, opening,
    quiet::{Log, MayEnd, Quiet},
    schedule::Schedule,
    stage::{Post, Run},
    tally::Tally,
};

/// What the attempts of a thread have in common.
struct Turn {
    post: Post,
    log: Log,
    start: Instant,
    is_running: Cell<bool>,
    n_opening: Cell<usize>,
    n_closing: Cell<usize>,
}

/// One thread's part. Without a rate, so many connections as were asked for take turns.
pub(super) async fn run(post: Post, rate: Option<f64>) -> Tally {
    let log = Log::default();
    post.rest().await;
    if let Some(run) = post.run().await {
        let turn = Rc::new(Turn {
            post: post.clone(),
            log: log.clone(),
            start: run.start,
            is_running: Cell::new(true),
            n_opening: Cell::new(0),
            n_closing: Cell::new(0),
        });
        LocalSet::new().run_until(measure(&post, rate, run, turn)).await;
    }
    post.close().await;
    log.take()
}

async fn measure(post: &Post, rate: Option<f64>, run: Run, turn: Rc<Turn>) {
    let mut attempts = JoinSet::new();
    tokio::select! {
        () = async {
            match rate {
                Some(rate) => on_schedule(&turn, rate, run, &mut attempts).await,
                None => in_turns(&turn, &mut attempts).await,
            }
        } => {}
        () = post.stop() => {}
        _ = lateness::watch(|late| turn.log.lock().lag.record(late)) => {}
    }
    turn.is_running.set(false);
    opening::linger(post, || turn.n_opening.get() + turn.n_closing.get() == 0).await;
    let (n_opening, n_closing) = (turn.n_opening.get() as u64, turn.n_closing.get() as u64);
    let mut tally = turn.log.lock();
    tally.failed += n_opening;
    let why = "not yet open when patience was at its end";
    (0..n_opening).for_each(|_| tally.failures.note(why.to_owned()));
    tally.closed += n_closing;
    let why = "our Close was not answered when patience was at its end";
    (0..n_closing).for_each(|_| tally.ends.note(why.to_owned()));
}

/// Opens the next connection when the last one has closed.
async fn in_turns(turn: &Rc<Turn>, attempts: &mut JoinSet<()>) {
    for connection in turn.post.plan.mine(turn.post.idx) {
        let turn = turn.clone();
        attempts.spawn_local(async move {
            let mut connection = connection;
            while turn.is_running.get() {
                turn.once(connection, Instant::now()).await;
                connection += turn.post.plan.connections;
            }
        });
    }
    turn.post.stop().await;
}

/// Opens connections when they are due, whatever became of those before.
async fn on_schedule(turn: &Rc<Turn>, rate: f64, run: Run, attempts: &mut JoinSet<()>) {
    let Ok(alarm) = Alarm::new() else { return };
    let (idx, threads) = (turn.post.idx, turn.post.plan.threads);
    let schedule = Schedule::share(rate, 1, threads, idx, threads);
    for n in 0..schedule.n_before(turn.post.plan.duration) {
        let due = run.start + schedule.due(n);
        if alarm.until(due).await.is_err() {
            return;
        }
        turn.log.lock().late.record(due.elapsed());
        let (turn, connection) = (turn.clone(), n as usize * threads + idx);
        attempts.spawn_local(async move { turn.once(connection, due).await });
        while attempts.try_join_next().is_some() {}
    }
    turn.post.stop().await;
}

impl Turn {
    /// Opens a connection that was due at `due`, and closes it.
    async fn once(&self, connection: usize, due: Instant) {
        let may_end = MayEnd::default();
        let handler = Quiet { log: self.log.clone(), may_end: may_end.clone() };
        let client = self.post.plan.target.client(connection);
        self.n_opening.set(self.n_opening.get() + 1);
        let opened = client.connect_handler(handler).await;
        self.n_opening.set(self.n_opening.get() - 1);
        if let Some(sender) = self.opened(opened, due.elapsed()) {
            may_end.set();
            self.n_closing.set(self.n_closing.get() + 1);
            self.close(sender).await;
            self.n_closing.set(self.n_closing.get() - 1);
        } else {
            // Whoever is refused at once would do nothing but ask.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn opened(&self, opened: Result<Sender, ConnectError>, took: Duration) -> Option<Sender> {
        let mut tally = self.log.lock();
        if opened.is_err() {
            self.post.stage.failed.fetch_add(1, Ordering::Relaxed);
        }
        let sender = tally.attempted(opened, took)?;
        tally.latency.record(took);
        tally.messages.answered += 1;
        tally.messages.in_time +=
            u64::from(self.is_running.get() && self.start.elapsed() > Duration::ZERO);
        self.post.show_answered(tally.messages.answered);
        Some(sender)
    }

    async fn close(&self, sender: Sender) {
        let began = Instant::now();
        let Ok(closing) = sender.close(CloseCode::NORMAL_CLOSURE, "") else { return };
        let closure = closing.await;
        let mut tally = self.log.lock();
        tally.closing.record(began.elapsed());
        if !closure.is_clean() {
            tally.closed += 1;
            tally.ends.note(closure.to_string());
        }
    }
}
