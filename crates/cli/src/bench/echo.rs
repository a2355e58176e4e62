//! `bench echo`: every message has to come back, once, whole, in order.

mod accounts;
mod session_seat;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use everwire::{Closure, Conn, Handler, Message, SendError, Sender};
use tokio::time::sleep;

use self::{
    accounts::Accounts,
    session_seat::{Line, SessionSeat, look_after},
};
use super::{
    alarm::Alarm,
    lateness, opening,
    plan::Pace,
    schedule::Schedule,
    stage::{Post, Run},
    tally::Tally,
};

/// How often a thread looks for answers that do not come.
const LOOK: Duration = Duration::from_millis(100);

/// A thread's connections and what they saw. Only this thread locks it.
type Shared = Arc<Mutex<Accounts>>;

fn lock(accounts: &Shared) -> MutexGuard<'_, Accounts> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Seat {
    accounts: Shared,
    place: usize,
    /// The next message is sent when an answer comes.
    follows: bool,
}

impl Handler for Seat {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let now = Instant::now();
        let mut accounts = lock(&self.accounts);
        if accounts.received(self.place, &message, now) && self.follows {
            let due = accounts.since_start(now);
            // It is not full: the queue takes twice what may be under way.
            accounts.send(self.place, due, |message| conn.send(message));
        }
    }

    fn on_close(&mut self, closure: &Closure) {
        lock(&self.accounts).closed(closure);
    }
}

/// One thread's part.
pub(super) async fn run(post: Post, pace: Pace) -> Tally {
    let accounts = Arc::new(Mutex::new(Accounts::new(&post)));
    let mut tally = Tally::default();
    let senders = opening::open(&post, &mut tally, |place| {
        let follows = matches!(pace, Pace::Depth(_));
        Seat { accounts: accounts.clone(), place, follows }
    })
    .await;
    if let Some(run) = post.run().await {
        let ways: Vec<_> =
            senders.iter().map(|sender| Some(Way::Plain(sender.as_ref()?))).collect();
        measure(&post, pace, run, &accounts, &ways).await;
    }
    end(&post, &accounts, senders, tally).await
}

/// One thread's part, through sessions.
pub(super) async fn run_sessions(post: Post, pace: Pace) -> Tally {
    let accounts = Arc::new(Mutex::new(Accounts::new(&post)));
    let mut tally = Tally::default();
    let lines = post.plan.mine(post.idx).map(|_| Line::new(post.plan.message.size));
    let lines: Vec<_> = lines.collect();
    let senders = opening::open(&post, &mut tally, |place| SessionSeat {
        accounts: accounts.clone(),
        place,
        follows: matches!(pace, Pace::Depth(_)),
        line: lines[place].clone(),
    })
    .await;
    if let Some(run) = post.run().await {
        let pairs = senders.iter().zip(&lines);
        let ways: Vec<_> =
            pairs.map(|(sender, line)| Some(Way::Session(sender.as_ref()?, line))).collect();
        tokio::select! {
            () = measure(&post, pace, run, &accounts, &ways) => {}
            () = look_after(&lines, &senders) => {}
        }
    }
    end(&post, &accounts, senders, tally).await
}

/// Closes what is open and returns what was counted.
async fn end(
    post: &Post,
    accounts: &Shared,
    senders: Vec<Option<Sender>>,
    mut tally: Tally,
) -> Tally {
    post.close().await;
    lock(accounts).end();
    opening::close(senders).await;
    tally += lock(accounts).take();
    tally
}

/// How messages leave.
enum Way<'a> {
    Plain(&'a Sender),
    Session(&'a Sender, &'a Line),
}

impl Way<'_> {
    fn send(&self, message: Message<'_>) -> Result<(), SendError> {
        match self {
            Self::Plain(sender) => sender.try_send(message),
            Self::Session(sender, line) => {
                line.send(Instant::now(), &message)?;
                sender.notify();
                Ok(())
            }
        }
    }
}

/// Sends until it is over, and waits for answers.
async fn measure(post: &Post, pace: Pace, run: Run, accounts: &Shared, ways: &[Option<Way<'_>>]) {
    lock(accounts).start(run.start);
    tokio::select! {
        () = async {
            match pace {
                Pace::Depth(depth) => follow(post, accounts, ways, depth).await,
                Pace::Rate(rate) => keep_up(post, accounts, ways, rate, run).await,
            }
        } => {}
        () = post.stop() => {}
        _ = lateness::watch(|late| lock(accounts).tally.lag.record(late)) => {}
    }
    lock(accounts).stop();
    opening::linger(post, || lock(accounts).n_open() == 0).await;
}

/// Begins what the handlers go on with, and sends anew what is not answered.
async fn follow(post: &Post, accounts: &Shared, ways: &[Option<Way<'_>>], depth: u32) {
    for (place, way) in ways.iter().enumerate() {
        for _ in 0..depth {
            send_now(accounts, place, way.as_ref());
        }
    }
    loop {
        sleep(LOOK).await;
        let n_overdue = lock(accounts).overdue(Instant::now(), post.plan.patience);
        for (place, n) in n_overdue {
            (0..n).for_each(|_| send_now(accounts, place, ways[place].as_ref()));
        }
        post.show_answered(lock(accounts).tally.messages.answered);
    }
}

fn send_now(accounts: &Shared, place: usize, way: Option<&Way<'_>>) {
    let Some(way) = way else { return };
    let mut accounts = lock(accounts);
    let due = accounts.since_start(Instant::now());
    accounts.send(place, due, |message| way.send(message));
}

/// Sends what is due, when it is due.
async fn keep_up(post: &Post, accounts: &Shared, ways: &[Option<Way<'_>>], rate: f64, run: Run) {
    let open = ways.iter().enumerate();
    let open: Vec<_> = open.filter_map(|(place, way)| Some((place, way.as_ref()?))).collect();
    let Ok(alarm) = Alarm::new() else { return };
    if open.is_empty() {
        return post.stop().await;
    }
    let schedule = Schedule::share(rate, open.len(), run.opened, post.idx, post.plan.threads);
    let n_messages = schedule.n_before(post.plan.duration);
    for n in 0..n_messages {
        let due = schedule.due(n);
        let at = run.start + due;
        if Instant::now() < at {
            post.show_answered(lock(accounts).tally.messages.answered);
            if alarm.until(at).await.is_err() {
                return;
            }
        } else if n % 64 == 0 {
            // Behind the schedule, connections still have to be served.
            tokio::task::yield_now().await;
        }
        let (place, way) = open[(n % open.len() as u64) as usize];
        let mut accounts = lock(accounts);
        accounts.handed_out(due, Instant::now());
        accounts.send(place, due, |message| way.send(message));
    }
    post.stop().await;
}
