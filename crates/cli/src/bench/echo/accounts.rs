//! The accounts of one thread's connections.

use std::{
    mem,
    time::{Duration, Instant},
};

use everwire::{Closure, Message, SendError};

use crate::bench::{
    ledger::{Answer, Ledger},
    payload::{Found, Pattern, Stamp},
    stage::Post,
    tally::Tally,
};

/// What the connections of a thread have sent and received.
#[derive(Debug)]
pub(super) struct Accounts {
    pattern: Pattern,
    seats: Vec<Account>,
    /// From when times are counted.
    start: Instant,
    pub(super) tally: Tally,
    is_running: bool,
    has_ended: bool,
    /// The message that is being written.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Account {
    /// What its messages are signed with.
    sender: u32,
    ledger: Ledger,
    /// Up to where overdue messages were looked for.
    looked: u64,
}

impl Accounts {
    pub(super) fn new(post: &Post) -> Self {
        let seats = post.plan.mine(post.idx).map(|connection| Account {
            sender: connection as u32,
            ledger: Ledger::default(),
            looked: 0,
        });
        Self {
            pattern: post.plan.message.pattern.clone(),
            seats: seats.collect(),
            start: Instant::now(),
            tally: Tally::default(),
            is_running: false,
            has_ended: false,
            bytes: Vec::new(),
        }
    }

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

    pub(super) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Sends the next message of a connection.
    pub(super) fn send(
        &mut self,
        place: usize,
        due: Duration,
        send: impl FnOnce(Message<'_>) -> Result<(), SendError>,
    ) {
        let account = &mut self.seats[place];
        let stamp = Stamp { sender: account.sender, sequence: account.ledger.ask(due) };
        self.pattern.write(stamp, &mut self.bytes);
        match send(self.pattern.message(&self.bytes)) {
            Ok(()) => self.tally.messages.sent += 1,
            Err(_) => {
                account.ledger.take_back();
                self.tally.messages.unsent += 1;
            }
        }
    }

    /// Notes how late a message was handed out.
    pub(super) fn handed_out(&mut self, due: Duration, now: Instant) {
        let late = self.since_start(now).saturating_sub(due);
        self.tally.late.record(late);
    }

    /// Judges what came. Returns whether another message may follow it.
    pub(super) fn received(&mut self, place: usize, message: &Message<'_>, now: Instant) -> bool {
        let Account { sender, ledger, .. } = &mut self.seats[place];
        let messages = &mut self.tally.messages;
        let sequence = match self.pattern.read(message) {
            Found::Ours(stamp) if stamp.sender == *sender => stamp.sequence,
            // Somebody else's: a server that broadcasts, or mixes up connections.
            Found::Ours(_) | Found::Foreign => {
                messages.foreign += 1;
                return false;
            }
            Found::Corrupt => {
                messages.corrupt += 1;
                return false;
            }
        };
        match ledger.answer(sequence) {
            Answer::First { due, reordered } => {
                messages.answered += 1;
                messages.in_time += u64::from(self.is_running);
                messages.reordered += u64::from(reordered);
                let took = now.saturating_duration_since(self.start).saturating_sub(due);
                self.tally.latency.record(took);
                return self.is_running;
            }
            Answer::Again => messages.duplicated += 1,
            Answer::Unasked => messages.corrupt += 1,
        }
        false
    }

    /// Notes the end of a connection.
    pub(super) fn closed(&mut self, closure: &Closure) {
        self.tally.ended(closure);
        if !self.has_ended {
            self.tally.closed += 1;
            self.tally.ends.note(closure.to_string());
        }
    }

    /// Notes why a connection is of no use.
    pub(super) fn refused(&mut self, why: &str) {
        if !self.has_ended {
            self.tally.ends.note(why.to_owned());
        }
    }

    /// Returns how many messages of which connections have waited longer than `patience` since
    /// this was asked for the last time.
    pub(super) fn overdue(&mut self, now: Instant, patience: Duration) -> Vec<(usize, usize)> {
        let Some(limit) = self.since_start(now).checked_sub(patience) else { return Vec::new() };
        let seats = self.seats.iter_mut().enumerate();
        let overdue = seats
            .map(|(place, Account { ledger, looked, .. })| (place, ledger.overdue(limit, looked)));
        overdue.filter(|(_, n)| *n > 0).collect()
    }

    /// Returns how many messages are not answered.
    pub(super) fn n_open(&self) -> usize {
        self.seats.iter().map(|seat| seat.ledger.n_open()).sum()
    }

    /// Returns what was counted.
    pub(super) fn take(&mut self) -> Tally {
        self.tally.messages.lost = self.seats.iter().map(|seat| seat.ledger.lost()).sum();
        mem::take(&mut self.tally)
    }
}
