//! How long a silent connection lives: which silences to try, and what follows from them. Pure.

use std::time::Duration;

/// How many connections are silent at the same time.
pub(super) const PARALLEL: usize = 8;

/// The longest keepalive interval that is ever advised.
const LONGEST_INTERVAL: Duration = Duration::from_secs(9 * 60);

/// What became of a connection on which nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A Ping after the silence was answered.
    Survived,
    /// The connection ended visibly after so long.
    Cut(Duration),
    /// A Ping after the silence was not answered: something on the way has forgotten the connection.
    Lost,
    /// The server said something by itself after so long, so that there was no longer silence.
    Spoke(Duration),
}

/// What ends silent connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// They are cut after so long.
    Cut(Duration),
    /// They are forgotten without a word, somewhere between what survived and this.
    Lost(Duration),
}

/// The search. Ask for a [`round`](Self::round), run it, [`record`](Self::record) each outcome, and
/// ask again until the round is empty.
#[derive(Clone, Debug)]
pub(super) struct IdleSearch {
    up_to: Duration,
    began: bool,
    survived: Duration,
    limit: Option<Limit>,
    spoke: Option<Duration>,
    /// How old the connection became that was never silent, if it was cut.
    lifetime: Option<Duration>,
}

impl IdleSearch {
    /// Looks for limits of at most `up_to`.
    pub(super) fn new(up_to: Duration) -> Self {
        Self {
            up_to,
            began: false,
            survived: Duration::ZERO,
            limit: None,
            spoke: None,
            lifetime: None,
        }
    }

    /// Returns the silences to try next, the shortest first, all at the same time; none when
    /// enough is known.
    ///
    /// The first round halves `up_to` again and again, so that a limit is found in about its own
    /// time. A connection that is cut shows the limit itself; one that is only forgotten leaves a
    /// gap, into which the next rounds go.
    pub(super) fn round(&mut self) -> Vec<Duration> {
        if !std::mem::replace(&mut self.began, true) {
            return (0..PARALLEL as u32).rev().map(|n| self.up_to / (1 << n)).collect();
        }
        match self.limit {
            Some(Limit::Lost(lost)) if lost - self.survived > resolution(lost) => {
                let gap = lost - self.survived;
                (1..=PARALLEL as u32)
                    .map(|n| self.survived + gap * n / (PARALLEL as u32 + 1))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Notes what became of a connection that was to be silent for so long.
    pub(super) fn record(&mut self, silence: Duration, outcome: Outcome) {
        match outcome {
            Outcome::Survived => self.survived = self.survived.max(silence),
            Outcome::Spoke(after) => {
                self.spoke = Some(self.spoke.map_or(after, |spoke| spoke.min(after)));
            }
            Outcome::Cut(after) => self.lower(Limit::Cut(after.min(silence))),
            Outcome::Lost => self.lower(Limit::Lost(silence)),
        }
        // A shorter silence that failed tells more than a longer one that did not.
        if let Some(limit) = self.limit {
            self.survived = self.survived.min(limit.time());
        }
    }

    /// Notes that a connection was cut at this age although it was never silent.
    pub(super) fn record_lifetime(&mut self, age: Duration) {
        self.lifetime = Some(self.lifetime.map_or(age, |lifetime| lifetime.min(age)));
    }

    /// Returns the time beyond which no silence need be waited for any more, since there is none
    /// or since it is known to fail.
    pub(super) fn pointless_from(&self) -> Option<Duration> {
        self.limit.map(Limit::time).into_iter().chain(self.spoke).min()
    }

    /// Returns the longest silence that a connection survived.
    pub(super) fn survived(&self) -> Duration {
        self.survived
    }

    /// Returns what ends silent connections; `None` if nothing did.
    pub(super) fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Returns after how long the server speaks by itself, if it does.
    pub(super) fn spoke(&self) -> Option<Duration> {
        self.spoke
    }

    /// Returns the age at which connections are cut, silent or not, if that is what cut them: one
    /// that was never silent became no older than those that were.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        let Some(Limit::Cut(limit)) = self.limit else { return None };
        self.lifetime.filter(|age| *age <= limit + tolerance(limit))
    }

    /// Returns the longest keepalive interval that is safe by what was seen; `None` where none
    /// helps.
    ///
    /// What must not be reached is the shortest silence that was cut, else the longest that
    /// survived.
    pub(super) fn interval(&self) -> Option<Duration> {
        if self.lifetime().is_some() {
            return None;
        }
        let silence = match self.limit {
            Some(Limit::Cut(limit)) => limit,
            _ => self.survived,
        };
        let interval = interval_within(silence);
        (interval > Duration::ZERO).then(|| interval.min(LONGEST_INTERVAL))
    }

    /// Takes a limit if it is below the known one. One that was seen to the second is worth more
    /// than one that lies somewhere.
    fn lower(&mut self, limit: Limit) {
        if self.limit.is_none_or(|known| limit.time() < known.time()) {
            self.limit = Some(limit);
        }
    }
}

impl Limit {
    pub(super) fn time(self) -> Duration {
        match self {
            Self::Cut(time) | Self::Lost(time) => time,
        }
    }
}

/// Returns the longest interval, in whole tenths of a second, at which Pings keep a connection from
/// being silent for so long.
///
/// A Ping comes after the interval, in many programs up to 10 % later, and up to 250 ms later still
/// where timers are coarse. A second remains for the way, or a third of a limit below 3 s.
fn interval_within(silence: Duration) -> Duration {
    const TICK: Duration = Duration::from_millis(250);
    let way = (silence / 3).min(Duration::from_secs(1));
    let latest = silence.saturating_sub(way + TICK);
    Duration::from_millis((latest.as_millis() * 10 / 11 / 100 * 100) as u64)
}

/// How much later than silent ones a connection that was never silent may be cut for the same
/// reason: it was opened at the same time.
pub(super) fn tolerance(limit: Duration) -> Duration {
    (limit / 10).max(Duration::from_millis(500))
}

/// How exactly a limit of about this size is to be known.
fn resolution(limit: Duration) -> Duration {
    (limit / 20).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A path in virtual time.
    #[derive(Clone, Copy)]
    enum Path {
        Cuts(Duration),
        Forgets(Duration),
        Speaks(Duration),
        Endless,
    }

    impl Path {
        fn outcome(self, silence: Duration) -> Outcome {
            match self {
                Self::Cuts(limit) if silence >= limit => Outcome::Cut(limit),
                Self::Forgets(limit) if silence >= limit => Outcome::Lost,
                Self::Speaks(every) if silence >= every => Outcome::Spoke(every),
                _ => Outcome::Survived,
            }
        }
    }

    /// Runs the search; returns it with the time it took and the rounds.
    fn run(up_to: Duration, path: Path) -> (IdleSearch, Duration, u32) {
        let mut search = IdleSearch::new(up_to);
        let (mut took, mut rounds) = (Duration::ZERO, 0);
        loop {
            let round = search.round();
            if round.is_empty() {
                return (search, took, rounds);
            }
            rounds += 1;
            assert!(round.len() <= PARALLEL && round.is_sorted() && rounds < 10);
            let mut longest = Duration::ZERO;
            for silence in round {
                assert!(silence <= up_to);
                if search.pointless_from().is_none_or(|from| silence <= from) {
                    longest = longest.max(silence);
                    search.record(silence, path.outcome(silence));
                }
            }
            took += longest;
        }
    }

    #[test]
    fn a_path_without_a_limit_takes_the_whole_time_once() {
        let (search, took, rounds) = run(secs(600), Path::Endless);
        assert_eq!(
            (search.survived(), search.limit(), took, rounds),
            (secs(600), None, secs(600), 1)
        );
        assert_eq!(search.interval(), Some(secs(540)));
    }

    #[test]
    fn a_cut_shows_the_limit_in_one_round() {
        let (search, _, rounds) = run(secs(600), Path::Cuts(secs(60)));
        assert_eq!((search.limit(), rounds), (Some(Limit::Cut(secs(60))), 1));
        assert_eq!(
            (search.survived(), search.interval()),
            (Duration::from_millis(37_500), Some(Duration::from_millis(53_400)))
        );
    }

    #[test]
    fn a_path_that_forgets_is_found_within_a_twentieth() {
        for limit in [1, 2, 5, 30, 60, 61, 100, 240, 300, 350, 599, 600] {
            let (search, took, rounds) = run(secs(600), Path::Forgets(secs(limit)));
            let Some(Limit::Lost(lost)) = search.limit() else { panic!("no limit at {limit}") };
            assert!(search.survived() < secs(limit) && secs(limit) <= lost, "{limit}: {search:?}");
            assert!(lost - search.survived() <= resolution(lost), "{limit}: {search:?}");
            assert!(
                rounds <= 3 && took <= secs(600 + 5 * limit / 2 + 2),
                "{limit}: {took:?}, {rounds}"
            );
            let interval = search.interval().unwrap_or_default();
            assert!(interval * 11 / 10 < secs(limit), "{limit}: {interval:?}");
        }
    }

    #[test]
    fn a_server_that_speaks_leaves_no_longer_silence() {
        let (search, ..) = run(secs(600), Path::Speaks(secs(20)));
        assert_eq!((search.spoke(), search.limit()), (Some(secs(20)), None));
        assert_eq!(search.survived(), Duration::from_millis(18_750));
    }

    #[test]
    fn what_was_never_survived_gives_no_interval() {
        let (search, ..) = run(secs(60), Path::Forgets(Duration::ZERO));
        assert_eq!((search.survived(), search.interval()), (Duration::ZERO, None));
    }

    #[test]
    fn a_failure_of_a_shorter_silence_outweighs_a_longer_one() {
        let mut search = IdleSearch::new(secs(80));
        search.round();
        search.record(secs(80), Outcome::Survived);
        search.record(secs(20), Outcome::Lost);
        assert_eq!((search.survived(), search.limit()), (secs(20), Some(Limit::Lost(secs(20)))));
        assert!(search.round().is_empty());
    }

    #[test]
    fn a_limit_on_age_is_not_taken_for_one_on_silence() {
        for (age, expected) in [(30, Some(secs(30))), (32, Some(secs(32))), (40, None)] {
            let (mut search, ..) = run(secs(600), Path::Cuts(secs(30)));
            search.record_lifetime(secs(age));
            assert_eq!(
                (search.lifetime(), search.interval().is_none()),
                (expected, expected.is_some())
            );
        }
        // Nothing silent was cut.
        let (mut search, ..) = run(secs(600), Path::Endless);
        search.record_lifetime(secs(30));
        assert_eq!(search.lifetime(), None);
    }

    #[test]
    fn an_interval_keeps_alive_whatever_the_limit_and_the_silences_tried() {
        let silences = [400, 1000, 1100, 2000, 3000, 5000, 15_000, 20_000, 60_000, 61_234, 600_000];
        for limit in silences.map(Duration::from_millis) {
            // Halvings that miss the limit, and such as have it among them.
            for up_to in [limit, limit * 2, limit * 4, limit * 128, limit * 7 / 3, limit * 100] {
                for path in [Path::Cuts(limit), Path::Forgets(limit)] {
                    check_interval(run(up_to, path).0, limit);
                }
                // The Ping that ends a silence of just the limit wins the race, or loses it.
                for outcome in [Outcome::Survived, Outcome::Lost, Outcome::Cut(limit)] {
                    let mut search = IdleSearch::new(up_to);
                    for silence in search.round().into_iter().filter(|it| *it < limit) {
                        search.record(silence, Outcome::Survived);
                    }
                    search.record(limit, outcome);
                    search.record(limit * 2, Outcome::Cut(limit));
                    check_interval(search, limit);
                }
            }
        }
    }

    #[track_caller]
    fn check_interval(search: IdleSearch, limit: Duration) {
        let Some(interval) = search.interval() else { return };
        let latest = interval * 11 / 10 + Duration::from_millis(250);
        assert!(latest < limit, "{limit:?}: {interval:?}");
        assert!(limit <= secs(3) || latest + secs(1) <= limit, "{limit:?}: {interval:?}");
        assert!(interval < limit * 3 / 4 || limit > secs(3), "{limit:?}: {interval:?}");
    }

    #[test]
    fn an_interval_is_a_second_and_a_quarter_and_a_tenth_below_the_limit() {
        for (limit, interval) in [(20_000, 17_000), (30_000, 26_100), (3000, 1500), (1000, 300)] {
            let (search, ..) = run(secs(100), Path::Cuts(Duration::from_millis(limit)));
            assert_eq!(search.interval(), Some(Duration::from_millis(interval)), "{limit}");
        }
        assert_eq!(interval_within(Duration::from_millis(300)), Duration::ZERO);
    }

    #[test]
    fn an_interval_is_never_longer_than_nine_minutes() {
        assert_eq!(run(secs(7200), Path::Endless).0.interval(), Some(LONGEST_INTERVAL));
    }
}
