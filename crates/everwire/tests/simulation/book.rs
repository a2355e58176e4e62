//! What both applications did and saw, and what they must have.

use std::{
    collections::BTreeSet,
    fmt,
    ops::AddAssign,
    sync::{Mutex, MutexGuard},
};

use everwire::session::{ClientEnd, ClientEvent, Direction};

use crate::hosts::number;

/// A record outside of the simulation: no crash touches it.
pub(crate) struct Book(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    clients: Vec<Page>,
    serial: u64,
    is_stopped: bool,
    failure: Option<String>,
    tally: Tally,
}

/// What concerns one client.
#[derive(Default)]
struct Page {
    /// What its application was told, in order; of one that was killed, what it had stored.
    told: Vec<Told>,
    /// What the server's application heard from it, in order: the session and the number.
    heard: Vec<(u64, u64)>,
    /// Up to where its store has the server's messages.
    stored: u64,
    /// The last of its own messages that its store has had.
    stored_own: u64,
    /// The last of its own messages that was accepted.
    sent: u64,
    /// Those of its own that it was told may not have arrived.
    given_up: BTreeSet<u64>,
    is_done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Attached,
    Lost,
    Gap(u64, u64),
    /// The session's serial number, the message's number.
    Message(u64, u64),
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) heard: usize,
    pub(crate) told: usize,
    pub(crate) resumed: usize,
    pub(crate) gaps: usize,
    pub(crate) lost: usize,
}

impl Book {
    pub(crate) fn new(clients: usize) -> Self {
        let clients = std::iter::repeat_with(Page::default).take(clients).collect();
        Self(Mutex::new(Pages { clients, ..Pages::default() }))
    }

    /// Has both applications come to an end.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    pub(crate) fn is_done(&self) -> bool {
        let pages = self.lock();
        pages.failure.is_some() || pages.clients.iter().all(|page| page.is_done)
    }

    /// Returns a number that nobody else has.
    pub(crate) fn serial(&self) -> u64 {
        let mut pages = self.lock();
        pages.serial += 1;
        pages.serial
    }

    pub(crate) fn fail(&self, failure: String) {
        self.lock().failure.get_or_insert(failure);
    }

    pub(crate) fn server_heard(&self, client: usize, serial: u64, n: u64) {
        let mut pages = self.lock();
        let pages = &mut *pages;
        let heard = &mut pages.clients[client].heard;
        // Told at once: what follows from it may end the simulation in another way.
        if let Some(&(_, last)) = heard.last()
            && n <= last
        {
            let what = format!("from client {client}: {n} came after {last}, in session {serial}");
            pages.failure.get_or_insert(what);
        }
        heard.push((serial, n));
    }

    /// Notes that a client starts, perhaps again, and returns the number of its next message.
    ///
    /// What its application had not stored with its session is as if it had not been, and is done
    /// again.
    pub(crate) fn client_starts(&self, client: usize) -> u64 {
        let page = &mut self.lock().clients[client];
        let stored = page.stored;
        let begins = page.told.iter().rposition(|told| matches!(told, Told::Attached | Told::Lost));
        let mut at = 0;
        page.told.retain(|told| {
            at += 1;
            begins.is_none_or(|begins| at <= begins + 1)
                || match *told {
                    Told::Message(_, n) | Told::Gap(_, n) => n <= stored,
                    _ => true,
                }
        });
        page.sent = page.stored_own;
        page.stored_own + 1
    }

    pub(crate) fn client_sent(&self, client: usize, n: u64) {
        self.lock().clients[client].sent = n;
    }

    pub(crate) fn client_saved(&self, client: usize, recv: u64, last: Option<u64>) {
        let page = &mut self.lock().clients[client];
        page.stored = recv;
        page.stored_own = page.stored_own.max(last.unwrap_or(0));
    }

    pub(crate) fn client_told(&self, client: usize, event: ClientEvent) {
        let mut pages = self.lock();
        let pages = &mut *pages;
        let page = &mut pages.clients[client];
        match event {
            ClientEvent::Attached { .. } => page.told.push(Told::Attached),
            ClientEvent::Message(message) => {
                let n = number(&message, 1);
                if message.number != Some(n) {
                    let what = format!("client {client}: {n} came as {:?}", message.number);
                    pages.failure.get_or_insert(what);
                }
                page.told.push(Told::Message(number(&message, 0), n));
            }
            ClientEvent::Gap(Direction::In, gap) => {
                pages.tally.gaps += 1;
                page.told.push(Told::Gap(gap.from, gap.to));
            }
            ClientEvent::Lost { unacknowledged, .. } => {
                pages.tally.lost += 1;
                page.given_up.extend(unacknowledged.iter().map(|message| number(message, 0)));
                page.told.push(Told::Lost);
            }
            ClientEvent::Resumed { .. } => pages.tally.resumed += 1,
            // How it ended is looked at by who closed it.
            ClientEvent::Detached { .. } | ClientEvent::Ended(_) => {}
            event => {
                pages.failure.get_or_insert(format!("client {client} was told {event:?}"));
            }
        }
    }

    pub(crate) fn client_ends(&self, client: usize, end: &ClientEnd) {
        if !end.is_clean() {
            self.fail(format!("client {client}: {end}"));
        }
        self.lock().clients[client].is_done = true;
    }

    /// Compares what was said with what was heard; a session may be lost where `may_lose`.
    pub(crate) fn check(&self, may_lose: bool) -> Result<Tally, String> {
        let pages = self.lock();
        if let Some(failure) = &pages.failure {
            return Err(failure.clone());
        }
        let mut tally = pages.tally;
        if !may_lose && tally.lost > 0 {
            return Err("a session was lost that the server kept".into());
        }
        for (client, page) in pages.clients.iter().enumerate() {
            check_told(&page.told).map_err(|error| format!("to client {client}: {error}"))?;
            check_heard(page).map_err(|error| format!("from client {client}: {error}"))?;
            tally.told += page.told.len();
            tally.heard += page.heard.len();
        }
        Ok(tally)
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}

/// Each session's messages come from the first on, each the next, but for gaps that were told; a
/// session takes the place of another only after a loss.
fn check_told(told: &[Told]) -> Result<(), String> {
    let (mut serial, mut next, mut may_begin) = (0, 1, true);
    let mut is_new = true;
    for (at, &told) in told.iter().enumerate() {
        let is_right = match told {
            Told::Attached => std::mem::take(&mut may_begin),
            Told::Lost => {
                (next, may_begin, is_new) = (1, true, true);
                true
            }
            Told::Gap(from, to) => std::mem::replace(&mut next, to + 1) == from,
            Told::Message(of, n) => {
                let is_next = n == next && if is_new { of > serial } else { of == serial };
                (serial, is_new, next) = (of, false, n + 1);
                is_next && !may_begin
            }
        };
        if !is_right {
            return Err(format!("{told:?} is out of place at {at}"));
        }
    }
    Ok(())
}

/// The client's messages come, in whichever session; those that do not were given up.
fn check_heard(page: &Page) -> Result<(), String> {
    let heard: BTreeSet<u64> = page.heard.iter().map(|(_, n)| *n).collect();
    match (1..=page.sent).find(|n| !heard.contains(n) && !page.given_up.contains(n)) {
        Some(n) => Err(format!("{n} of {} never came", page.sent)),
        None => Ok(()),
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.heard += other.heard;
        self.told += other.told;
        self.resumed += other.resumed;
        self.gaps += other.gaps;
        self.lost += other.lost;
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (client, page) in self.lock().clients.iter().enumerate() {
            writeln!(f, "client {client}, done: {}, sent: {}", page.is_done, page.sent)?;
            let told = page.told.iter().map(|told| match told {
                Told::Message(serial, n) => (format!("session {serial}"), *n),
                other => (format!("{other:?}"), 0),
            });
            writeln!(f, "  told {}", runs(told))?;
            let heard = page.heard.iter().map(|(serial, n)| (format!("session {serial}"), *n));
            writeln!(f, "  heard {}", runs(heard))?;
            writeln!(f, "  given up {:?}", page.given_up)?;
        }
        Ok(())
    }
}

/// Shows numbers that follow each other as one.
fn runs(entries: impl Iterator<Item = (String, u64)>) -> String {
    let mut runs: Vec<(String, u64, u64)> = Vec::new();
    for (what, n) in entries {
        match runs.last_mut() {
            Some((last, _, to)) if *last == what && *to + 1 == n => *to = n,
            _ => runs.push((what, n, n)),
        }
    }
    let show = |(what, from, to): &(String, u64, u64)| format!("{what}: {from}-{to}");
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}
