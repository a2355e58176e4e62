//! The search for the longest silence that a path tolerates: pure.

use std::time::{Duration, SystemTime};

use super::PathRecord;

/// How many trials must be survived before a silence counts as tolerated.
const SUCCESSES: u32 = 2;

/// How many must fail before it counts as not tolerated.
const FAILURES: u32 = 2;

/// The search ends when what is tolerated and what is not are closer than this.
const PRECISION: Duration = Duration::from_secs(15);

/// A settled interval is tried upwards again after this.
const RECHECK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Finds the longest interval for pings into silence that the path tolerates.
///
/// ```text
///            2 survived: × 1.5, or to the middle
///          ┌──────────────┐
///          ▼              │        closer than 15 s, or the longest
///        Growing ─────────┴──────────────────────────────► Settled at 0.9 × tolerated
///          ▲  │ 2 failed: to the middle                       │   │
///          │  └──────────┐                                    │   │ after 7 days
///          └─────────────┘        2 failed: all anew          │   ▼
///          ▲ ◄────────────────────────────────────────────────┘  Rechecking what had failed
///          └── 2 survived ───────────────────────────────────────┘ (1 failed: settled again)
/// ```
/// Success needs two and failure needs two: any ping may meet an outage. What is shorter than the
/// interval in question proves nothing about it.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    shortest: Duration,
    longest: Duration,
    record: PathRecord,
    /// What is being tried, unless it is settled.
    trial: Option<Duration>,
    /// The trial is of what had failed a week ago.
    rechecks: bool,
    /// The shortest silence of the trial that was survived.
    survived: Option<Duration>,
    n_survived: u32,
    n_failed: u32,
    /// How often in a row what was proven failed.
    n_contradicted: u32,
}

impl Search {
    /// Goes on with what is remembered of a path.
    pub(crate) fn new(
        shortest: Duration,
        longest: Duration,
        record: Option<PathRecord>,
        now: SystemTime,
    ) -> Self {
        let longest = longest.max(shortest);
        let record = record.unwrap_or_default();
        let within = |silence: Duration| silence.clamp(shortest, longest);
        let mut search = Self {
            shortest,
            longest,
            record: PathRecord {
                tolerated: within(record.tolerated),
                refused: record.refused.filter(|refused| *refused > shortest),
                ..record
            },
            trial: None,
            rechecks: false,
            survived: None,
            n_survived: 0,
            n_failed: 0,
            n_contradicted: 0,
        };
        let is_old = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age >= RECHECK);
        match record.settled {
            None => search.advance(now),
            Some(at) if is_old(at) && search.record.refused.is_some() => {
                (search.trial, search.rechecks) = (search.record.refused.map(within), true);
            }
            Some(_) => {}
        }
        search
    }

    /// Returns the interval to use now.
    pub(crate) fn interval(&self) -> Duration {
        self.trial.unwrap_or_else(|| self.record.tolerated.mul_f64(0.9).max(self.shortest))
    }

    /// Returns what is worth remembering.
    pub(crate) fn record(&self) -> PathRecord {
        self.record
    }

    /// Takes a silence after which the peer still answered. Returns whether anything changed.
    pub(crate) fn handle_survived(&mut self, silence: Duration, now: SystemTime) -> bool {
        self.record.used = Some(now);
        self.n_contradicted = 0;
        let Some(trial) = self.trial else { return false };
        if silence < trial.mul_f64(0.85) {
            return false;
        }
        self.survived = Some(self.survived.map_or(silence, |shorter| shorter.min(silence)));
        self.n_survived += 1;
        if self.n_survived < SUCCESSES {
            return false;
        }
        if self.rechecks {
            self.record.refused = None; // It was another path then, or a bad day.
        }
        let most = self.record.refused.map_or(self.longest, |refused| refused.min(self.longest));
        let survived = self.survived.unwrap_or(silence).min(most);
        // Connections move their intervals by up to a tenth: what this one tried may be proven.
        let is_proven = survived <= self.record.tolerated && trial > self.shortest;
        self.record.tolerated = self.record.tolerated.max(survived);
        if is_proven {
            self.settle(now);
        } else {
            self.advance(now);
        }
        true
    }

    /// Takes a silence that the path did not tolerate: the peer was gone after it, and there again
    /// for a new connection at once. Returns whether anything changed.
    pub(crate) fn handle_failed(&mut self, silence: Duration, now: SystemTime) -> bool {
        let Some(trial) = self.trial else { return self.fail_proven(now) };
        if silence <= self.record.tolerated.mul_f64(0.9) {
            return self.fail_proven(now);
        }
        if trial <= self.shortest {
            return false; // Nothing shorter is to be had: something else went wrong.
        }
        self.n_failed += 1;
        if self.rechecks {
            self.settle(now);
            return true;
        }
        if self.n_failed < FAILURES {
            return false;
        }
        let refused = silence.max(self.record.tolerated);
        let is_known = self.record.refused.is_some_and(|it| it <= refused);
        self.record.refused = Some(self.record.refused.map_or(refused, |it| it.min(refused)));
        if is_known {
            self.settle(now);
        } else {
            self.advance(now);
        }
        true
    }

    /// What was proven and fails twice in a row was proven on another path.
    fn fail_proven(&mut self, now: SystemTime) -> bool {
        if self.interval() <= self.shortest {
            return false;
        }
        self.n_contradicted += 1;
        if self.n_contradicted < FAILURES {
            return false;
        }
        let tolerated = self.shortest;
        self.record = PathRecord { tolerated, used: Some(now), ..PathRecord::default() };
        self.trial_of(self.shortest);
        true
    }

    /// Picks the next silence to try, or settles.
    fn advance(&mut self, now: SystemTime) {
        let tolerated = self.record.tolerated;
        match self.record.refused {
            Some(refused) if refused.saturating_sub(tolerated) < PRECISION => self.settle(now),
            Some(refused) => self.trial_of(((tolerated + refused) / 2).min(self.longest)),
            // The spread of the intervals lets a trial of the longest end a little below it.
            None if tolerated >= self.longest.mul_f64(0.9) => self.settle(now),
            // The first trial is of the shortest: it is not proven either.
            None if self.trial.is_none() && tolerated <= self.shortest => {
                self.trial_of(self.shortest);
            }
            None => self.trial_of(tolerated.max(self.shortest).mul_f64(1.5).min(self.longest)),
        }
    }

    fn trial_of(&mut self, silence: Duration) {
        self.trial = Some(silence);
        self.rechecks = false;
        (self.survived, self.n_survived, self.n_failed) = (None, 0, 0);
        self.n_contradicted = 0;
    }

    fn settle(&mut self, now: SystemTime) {
        self.record.settled = Some(now);
        self.record.used = Some(now);
        (self.trial, self.rechecks, self.n_contradicted) = (None, false, 0);
    }
}

#[cfg(test)]
mod tests;
