//! Those who receive: each has to see every message once, whole, in order.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use everwire::{Closure, Conn, Handler, Message};

use super::publications::Publications;
use crate::bench::{
    ledger::{Answer, Ledger},
    payload::{Found, Pattern},
    stage::Post,
    tally::Tally,
};

/// A thread's subscribers and what they saw. Only this thread locks it.
#[derive(Clone, Debug)]
pub(super) struct Subscribers(Arc<Mutex<Inner>>);

#[derive(Debug)]
pub(super) struct Inner {
    pattern: Pattern,
    publications: Arc<Publications>,
    /// The sender that is listened to.
    sender: u32,
    ledgers: Vec<Ledger>,
    start: Instant,
    pub(super) tally: Tally,
    is_running: bool,
    has_ended: bool,
}

impl Subscribers {
    pub(super) fn new(post: &Post, publications: Arc<Publications>, sender: u32) -> Self {
        let ledgers = post.plan.mine(post.idx).map(|_| Ledger::default()).collect();
        Self(Arc::new(Mutex::new(Inner {
            pattern: post.plan.message.pattern.clone(),
            publications,
            sender,
            ledgers,
            start: Instant::now(),
            tally: Tally::default(),
            is_running: false,
            has_ended: false,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the handler of the subscriber at a place.
    pub(super) fn seat(&self, place: usize) -> Seat {
        Seat { subscribers: self.clone(), place }
    }
}

impl Inner {
    pub(super) fn start(&mut self, start: Instant) {
        self.start = start;
        self.is_running = true;
    }

    /// From now on nothing is sent.
    pub(super) fn stop(&mut self) {
        self.is_running = false;
    }

    /// From now on connections may close.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Returns how many messages are missed, by all of these subscribers. `opened`: those at places
    /// where nobody is miss none.
    pub(super) fn n_missing(&mut self, opened: &[bool]) -> u64 {
        let published = self.publications.n_published();
        let ledgers = self.ledgers.iter_mut().zip(opened).filter(|(_, opened)| **opened);
        ledgers
            .map(|(ledger, _)| {
                expect_all(ledger, published);
                ledger.lost()
            })
            .sum()
    }

    /// Returns what was counted.
    pub(super) fn take(&mut self, opened: &[bool]) -> Tally {
        self.tally.messages.lost = self.n_missing(opened);
        mem::take(&mut self.tally)
    }

    /// Notes the end of the sender's connection.
    pub(super) fn publisher_closed(&mut self, closure: &Closure) {
        if !self.has_ended {
            self.tally.closed += 1;
            self.tally.ends.note(format!("the sender: {closure}"));
        }
    }

    fn received(&mut self, place: usize, message: &Message<'_>) {
        let now = Instant::now();
        let messages = &mut self.tally.messages;
        let sequence = match self.pattern.read(message) {
            Found::Ours(stamp) if stamp.sender == self.sender => stamp.sequence,
            Found::Ours(_) | Found::Foreign => return messages.foreign += 1,
            Found::Corrupt => return messages.corrupt += 1,
        };
        let ledger = &mut self.ledgers[place];
        expect_all(ledger, self.publications.n_published());
        match ledger.answer(sequence) {
            Answer::First { reordered, .. } => {
                messages.answered += 1;
                messages.in_time += u64::from(self.is_running);
                messages.reordered += u64::from(reordered);
                let (due, is_slow) = self.publications.due(sequence);
                let took = now.saturating_duration_since(self.start).saturating_sub(due);
                let times = if is_slow { &mut self.tally.latency } else { &mut self.tally.alone };
                times.record(took);
                self.publications.delivered(sequence);
            }
            Answer::Again => messages.duplicated += 1,
            Answer::Unasked => messages.corrupt += 1,
        }
    }
}

/// Expects all messages that were published until now.
fn expect_all(ledger: &mut Ledger, published: u64) {
    while ledger.next() < published {
        // When they were due is told by the publications.
        ledger.ask(std::time::Duration::ZERO);
    }
}

/// One subscriber.
#[derive(Debug)]
pub(super) struct Seat {
    subscribers: Subscribers,
    place: usize,
}

impl Handler for Seat {
    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.subscribers.lock().received(self.place, &message);
    }

    fn on_close(&mut self, closure: &Closure) {
        let mut inner = self.subscribers.lock();
        inner.tally.ended(closure);
        if !inner.has_ended {
            inner.publications.leave();
            inner.tally.closed += 1;
            inner.tally.ends.note(closure.to_string());
        }
    }
}
