//! The one who sends to everybody.

use std::{
    collections::VecDeque,
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};

use everwire::{Closure, Conn, Handler, Message, Sender};
use tokio::time::timeout;

use super::{publications::Publications, subscribers::Subscribers};
use crate::bench::{
    alarm::Alarm,
    payload::{Pattern, Stamp},
    plan::Pace,
    schedule::Schedule,
    stage::{Post, Run},
};

/// The sender's connection. What it is sent, such as its own messages, nobody counts.
pub(super) struct PublisherSeat(pub(super) Subscribers);

impl Handler for PublisherSeat {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}

    fn on_close(&mut self, closure: &Closure) {
        self.0.lock().publisher_closed(closure);
    }
}

/// Sends messages that everybody is to have.
pub(super) struct Publisher {
    pub(super) sender: Sender,
    pub(super) number: u32,
    pub(super) pattern: Pattern,
    pub(super) publications: Arc<Publications>,
    /// Where it is counted what was sent.
    pub(super) subscribers: Subscribers,
    pub(super) bytes: Vec<u8>,
}

impl Publisher {
    /// Sends until the time is up, or the connection has ended and nothing is due without it.
    pub(super) async fn speak(&mut self, post: &Post, pace: Pace, run: Run) {
        match pace {
            Pace::Rate(rate) => self.keep_up(post, rate, run).await,
            Pace::Depth(depth) => self.follow(post, depth as usize, run).await,
        }
    }

    /// Sends when it is due. What is due behind the end of the connection is counted, too.
    async fn keep_up(&mut self, post: &Post, rate: f64, run: Run) {
        let Ok(alarm) = Alarm::new() else { return };
        let schedule = Schedule::share(rate, 1, 1, 0, 1);
        for n in 0..schedule.n_before(post.plan.duration) {
            let due = schedule.due(n);
            let at = run.start + due;
            if alarm.until(at).await.is_err() {
                return;
            }
            self.subscribers.lock().tally.late.record(at.elapsed());
            self.send(due).await;
        }
    }

    /// Sends the next message when everybody has the one that is `depth` before it, or nobody
    /// waits for it any more.
    async fn follow(&mut self, post: &Post, depth: usize, run: Run) {
        let mut open: VecDeque<(u64, Instant)> = VecDeque::new();
        loop {
            while open.len() < depth {
                match self.send(run.start.elapsed()).await {
                    Sent::Yes(sequence) => open.push_back((sequence, Instant::now())),
                    Sent::Full => break,
                    Sent::Closed => return,
                }
            }
            let patience = Duration::from_millis(100).min(post.plan.patience);
            timeout(patience, self.publications.complete.notified()).await.ok();
            while let Some((sequence, sent)) = open.front() {
                let is_over = sent.elapsed() >= post.plan.patience;
                if !is_over && !self.publications.is_complete(*sequence) {
                    break;
                }
                open.pop_front();
            }
        }
    }

    /// Sends a message if there is room for it.
    async fn send(&mut self, due: Duration) -> Sent {
        let permit = tokio::select! {
            biased;
            permit = self.sender.reserve() => permit,
            () = ready(()) => {
                self.subscribers.lock().tally.messages.unsent += 1;
                return Sent::Full;
            }
        };
        let Ok(permit) = permit else {
            self.subscribers.lock().tally.messages.unsent += 1;
            return Sent::Closed;
        };
        let sequence = self.publications.publish(due);
        let stamp = Stamp { sender: self.number, sequence: sequence as u32 };
        self.pattern.write(stamp, &mut self.bytes);
        if permit.send(self.pattern.message(&self.bytes)).is_err() {
            return Sent::Closed;
        }
        self.subscribers.lock().tally.messages.sent += 1;
        Sent::Yes(sequence)
    }
}

/// What became of a message.
enum Sent {
    /// It is under way, with this number.
    Yes(u64),
    /// The server does not read those before.
    Full,
    /// The connection has ended.
    Closed,
}
