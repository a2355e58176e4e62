//! The search against simulated boxes on the path, in virtual time.

use proptest::prelude::*;

use super::*;

const SHORTEST: Duration = Duration::from_secs(25);
const LONGEST: Duration = Duration::from_secs(540);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn search(record: Option<PathRecord>, now: SystemTime) -> Search {
    Search::new(SHORTEST, LONGEST, record, now)
}

/// A path with a box that forgets a connection after so much silence.
struct Path {
    forgets_after: Duration,
    now: SystemTime,
    /// Each connection moves its intervals by up to a tenth.
    spreads: Vec<f64>,
    /// One ping in so many meets an outage that is none of the box's doing but looks like it.
    bad_luck: Option<u32>,
    n_pings: u32,
    /// How often the connection was lost to the search.
    n_lost: u32,
}

impl Path {
    fn new(forgets_after: Duration) -> Self {
        let now = SystemTime::UNIX_EPOCH + secs(1 << 30);
        let spreads = vec![1.0];
        Self { forgets_after, now, spreads, bad_luck: None, n_pings: 0, n_lost: 0 }
    }

    /// Lets one ping go out into silence.
    fn ping(&mut self, search: &mut Search) {
        self.n_pings += 1;
        let spread = self.spreads[self.n_lost as usize % self.spreads.len()];
        let silence = search.interval().mul_f64(spread);
        assert!((SHORTEST..=LONGEST).contains(&search.interval()), "{:?}", search.interval());
        let unlucky = self.bad_luck.is_some_and(|one_in| self.n_pings.is_multiple_of(one_in));
        self.now += silence.min(self.forgets_after);
        if silence < self.forgets_after && !unlucky {
            search.handle_survived(silence, self.now);
        } else {
            self.n_lost += 1;
            search.handle_failed(silence.min(self.forgets_after), self.now);
        }
    }

    /// Runs until it is settled, and returns the interval.
    fn settle(&mut self, search: &mut Search) -> Duration {
        for _ in 0..200 {
            if search.trial.is_none() {
                return search.interval();
            }
            self.ping(search);
        }
        panic!("it does not settle: {search:?}");
    }
}

/// Checks that the interval found for a box keeps connections and is not far below it.
#[track_caller]
fn check(forgets_after: Duration, spreads: Vec<f64>) {
    let mut path = Path { spreads, ..Path::new(forgets_after) };
    let mut search = search(None, path.now);
    let found = path.settle(&mut search);
    let at_best = forgets_after.min(LONGEST);
    assert!(found.mul_f64(1.1) <= at_best, "{found:?} is too long for {forgets_after:?}");
    assert!(found >= at_best.mul_f64(0.7).saturating_sub(PRECISION), "{found:?} of {at_best:?}");
    assert!(path.n_lost <= 14, "{} connections lost", path.n_lost);
    let lost = path.n_lost;
    (0..1000).for_each(|_| path.ping(&mut search));
    assert_eq!(path.n_lost, lost, "the settled interval loses connections");
}

#[test]
fn the_timeouts_of_common_boxes_are_found() {
    for forgets_after in [30, 55, 60, 100, 240, 300, 350, 600, 7200] {
        check(secs(forgets_after), vec![1.0]);
    }
}

#[test]
fn without_a_box_it_grows_to_the_longest_and_loses_nothing() {
    let mut path = Path::new(Duration::MAX);
    let mut search = search(None, path.now);
    assert_eq!(path.settle(&mut search), LONGEST.mul_f64(0.9));
    assert_eq!((path.n_lost, path.n_pings), (0, 18));
}

#[test]
fn a_box_shorter_than_the_shortest_leaves_the_shortest() {
    let mut path = Path::new(secs(20));
    let mut search = search(None, path.now);
    (0..100).for_each(|_| path.ping(&mut search));
    assert_eq!(search.interval(), SHORTEST);
}

#[test]
fn one_failure_in_a_row_trains_nothing() {
    let now = SystemTime::now();
    let mut search = search(None, now);
    for _ in 0..2 {
        search.handle_survived(secs(25), now);
    }
    let interval = search.interval();
    assert_eq!(interval, secs(25).mul_f64(1.5));
    assert!(!search.handle_failed(interval, now));
    assert_eq!(search.interval(), interval);
    assert!(search.handle_failed(interval, now));
    assert!(search.interval() < interval);
}

#[test]
fn shorter_silences_prove_nothing() {
    let now = SystemTime::now();
    let mut search = search(None, now);
    for _ in 0..2 {
        search.handle_survived(secs(25), now);
    }
    let interval = search.interval();
    for _ in 0..10 {
        assert!(!search.handle_survived(secs(25), now));
    }
    assert_eq!(search.interval(), interval);
}

#[test]
fn what_was_found_is_remembered_and_tried_upwards_after_a_week() {
    let mut path = Path::new(secs(100));
    let mut first = search(None, path.now);
    let found = path.settle(&mut first);
    let record = first.record();
    assert_eq!(search(Some(record), path.now + secs(3600)).interval(), found);

    // A week later the box is still there: one connection is lost, and that is all.
    path.now += RECHECK;
    let mut second = search(Some(record), path.now);
    assert!(second.interval() > found);
    let lost = path.n_lost;
    assert_eq!(path.settle(&mut second), found);
    assert_eq!(path.n_lost, lost + 1);
    assert_eq!(search(Some(second.record()), path.now + secs(3600)).interval(), found);

    // Another week later it is gone.
    path.now += RECHECK;
    path.forgets_after = Duration::MAX;
    let mut third = search(Some(second.record()), path.now);
    assert!(path.settle(&mut third) > LONGEST.mul_f64(0.8));
}

#[test]
fn a_settled_interval_that_fails_twice_in_a_row_is_searched_anew() {
    let mut path = Path::new(secs(300));
    let mut search = search(None, path.now);
    path.settle(&mut search);
    path.forgets_after = secs(60);
    (0..2).for_each(|_| path.ping(&mut search));
    assert_eq!(search.interval(), SHORTEST);
    let found = path.settle(&mut search);
    assert!(found < secs(60), "{found:?}");
}

#[test]
fn what_was_proven_and_fails_twice_in_a_row_is_searched_anew() {
    let mut path = Path::new(secs(300));
    let mut search = search(None, path.now);
    while search.record().tolerated < secs(100) {
        path.ping(&mut search);
    }
    // The first silence of a connection is shorter than the interval.
    assert!(!search.handle_failed(secs(60), path.now));
    search.handle_survived(secs(60), path.now);
    assert!(!search.handle_failed(secs(60), path.now));
    assert!(search.handle_failed(secs(60), path.now));
    assert_eq!(search.interval(), SHORTEST);
}

#[test]
fn a_record_of_other_bounds_or_of_nonsense_is_brought_within() {
    let now = SystemTime::now();
    let record = |tolerated, refused| {
        Some(PathRecord { tolerated, refused, settled: Some(now), used: None })
    };
    assert_eq!(search(record(Duration::MAX, None), now).interval(), LONGEST.mul_f64(0.9));
    assert_eq!(search(record(Duration::ZERO, Some(Duration::ZERO)), now).interval(), SHORTEST);
    let later = now + secs(3600);
    let from_the_future = PathRecord { settled: Some(later), ..record(secs(100), None).unwrap() };
    assert_eq!(search(Some(from_the_future), now).interval(), secs(90));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn any_box_is_found_whatever_the_spread_of_the_intervals(
        forgets_after in 28_u64..2_000,
        spreads in prop::collection::vec(0.9..1.1_f64, 1..8),
    ) {
        check(secs(forgets_after), spreads);
    }

    #[test]
    fn bad_luck_never_leads_to_an_interval_that_the_path_does_not_tolerate(
        forgets_after in 28_u64..2_000,
        one_in in 5_u32..50,
    ) {
        let mut path = Path::new(secs(forgets_after));
        path.bad_luck = Some(one_in);
        let mut search = search(None, path.now);
        for _ in 0..2_000 {
            path.ping(&mut search);
            if search.trial.is_none() {
                let at_best = secs(forgets_after).min(LONGEST);
                prop_assert!(search.interval() <= at_best.max(SHORTEST));
            }
        }
    }
}
