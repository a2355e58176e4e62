//! What was asked and not yet answered, by sequence number.

use std::{collections::VecDeque, time::Duration};

/// How many messages behind the last one an answer may be. Of what is older it is no longer known
/// whether it was answered: it is lost.
const REACH: usize = 1 << 16;

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first to this message, which was due at `due`. `reordered`: a later one was answered
    /// before.
    First { due: Duration, reordered: bool },
    /// One more to a message that was answered.
    Again,
    /// To a message that was never sent.
    Unasked,
}

/// The messages of one sender, as one receiver has to see them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The sequence number of the first of `open`.
    base: u64,
    /// When each was due; nothing for what was answered.
    open: VecDeque<Option<Duration>>,
    n_open: usize,
    /// One more than the highest that was answered.
    highest: u64,
    lost: u64,
}

impl Ledger {
    /// Notes a message that was due at `due`, and returns its number.
    pub(super) fn ask(&mut self, due: Duration) -> u32 {
        if self.open.len() == REACH {
            self.lost += u64::from(self.pop().is_some());
            self.pop_answered();
        }
        let sequence = self.next();
        self.open.push_back(Some(due));
        self.n_open += 1;
        sequence as u32
    }

    /// Takes back the last message, which could not be sent.
    pub(super) fn take_back(&mut self) {
        if self.open.pop_back().flatten().is_some() {
            self.n_open -= 1;
        }
    }

    /// Returns the number of the next message.
    pub(super) fn next(&self) -> u64 {
        self.base + self.open.len() as u64
    }

    /// Notes an answer. Of the number its last 32 bits are on the wire.
    pub(super) fn answer(&mut self, sequence: u32) -> Answer {
        let ahead = sequence.wrapping_sub(self.base as u32);
        if ahead > u32::MAX / 2 {
            return if self.base > 0 { Answer::Again } else { Answer::Unasked };
        }
        let Some(entry) = self.open.get_mut(ahead as usize) else { return Answer::Unasked };
        let Some(due) = entry.take() else { return Answer::Again };
        self.n_open -= 1;
        let sequence = self.base + u64::from(ahead);
        let reordered = sequence < self.highest;
        self.highest = self.highest.max(sequence + 1);
        self.pop_answered();
        Answer::First { due, reordered }
    }

    /// Returns how many are not answered.
    pub(super) fn n_open(&self) -> usize {
        self.n_open
    }

    /// Counts those which were due until `limit`, not answered, and not counted by this before:
    /// from `counted` on, which is moved on.
    pub(super) fn overdue(&self, limit: Duration, counted: &mut u64) -> usize {
        let first = counted.saturating_sub(self.base) as usize;
        let mut n_overdue = 0;
        for (idx, entry) in self.open.iter().enumerate().skip(first) {
            match entry {
                Some(due) if *due > limit => break,
                Some(_) => n_overdue += 1,
                None => {}
            }
            *counted = self.base + idx as u64 + 1;
        }
        n_overdue
    }

    /// Returns how many were never answered, if nothing more comes.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.n_open as u64
    }

    fn pop(&mut self) -> Option<Duration> {
        let due = self.open.pop_front()?;
        self.base += 1;
        self.n_open -= usize::from(due.is_some());
        due
    }

    fn pop_answered(&mut self) {
        while let Some(None) = self.open.front() {
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn asked(n: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for idx in 0..n {
            assert_eq!(u64::from(ledger.ask(at(idx))), idx);
        }
        ledger
    }

    const fn first(millis: u64, reordered: bool) -> Answer {
        Answer::First { due: at(millis), reordered }
    }

    #[track_caller]
    fn check(n: u64, answers: &[(u32, Answer)], lost: u64) {
        let mut ledger = asked(n);
        for (sequence, expected) in answers {
            assert_eq!(ledger.answer(*sequence), *expected, "{sequence}");
        }
        assert_eq!(ledger.lost(), lost);
    }

    #[test]
    fn answers_in_order_leave_nothing() {
        check(3, &[(0, first(0, false)), (1, first(1, false)), (2, first(2, false))], 0);
    }

    #[test]
    fn what_is_overtaken_is_reordered_and_what_overtakes_is_not() {
        check(3, &[(2, first(2, false)), (0, first(0, true)), (1, first(1, true))], 0);
    }

    #[test]
    fn a_gap_is_a_loss() {
        check(4, &[(0, first(0, false)), (2, first(2, false)), (3, first(3, false))], 1);
    }

    #[test]
    fn a_second_answer_is_a_duplicate_at_once_and_later() {
        let answers = [(0, first(0, false)), (0, Answer::Again), (2, first(2, false))];
        check(3, &[&answers[..], &[(2, Answer::Again), (0, Answer::Again)]].concat(), 1);
    }

    #[test]
    fn what_was_never_asked_is_told() {
        check(2, &[(2, Answer::Unasked), (u32::MAX, Answer::Unasked)], 2);
        check(0, &[(0, Answer::Unasked)], 0);
    }

    #[test]
    fn what_was_taken_back_is_neither_lost_nor_expected() {
        let mut ledger = asked(2);
        ledger.take_back();
        assert_eq!((ledger.lost(), ledger.next()), (1, 1));
        assert_eq!(ledger.answer(1), Answer::Unasked);
    }

    #[test]
    fn memory_is_bounded_behind_a_loss() {
        let mut ledger = asked(0);
        for sequence in 0..200_000 {
            ledger.ask(at(0));
            if sequence > 0 {
                assert!(matches!(ledger.answer(sequence), Answer::First { .. }));
            }
        }
        assert!(ledger.open.len() <= REACH);
        assert_eq!(ledger.lost(), 1);
        assert_eq!(ledger.answer(0), Answer::Again);
    }

    #[test]
    fn numbers_go_on_where_32_bits_end() {
        let mut ledger = Ledger { base: u64::from(u32::MAX), ..Ledger::default() };
        assert_eq!((ledger.ask(at(1)), ledger.ask(at(2))), (u32::MAX, 0));
        assert_eq!(ledger.answer(u32::MAX), first(1, false));
        assert_eq!(ledger.answer(0), first(2, false));
        assert_eq!(ledger.answer(u32::MAX), Answer::Again);
    }

    #[test]
    fn each_overdue_message_is_counted_once() {
        let (mut ledger, mut counted) = (asked(10), 0);
        ledger.answer(1);
        assert_eq!(ledger.overdue(at(3), &mut counted), 3);
        assert_eq!(ledger.overdue(at(3), &mut counted), 0);
        ledger.answer(0);
        assert_eq!(ledger.overdue(at(5), &mut counted), 2);
    }
}
