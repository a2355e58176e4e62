//! The state machine under random schedules, in virtual time.

use proptest::prelude::*;

use super::*;
use crate::reconnect::{State, StateAudit, Stop};

/// A generator for tests; only its spread matters.
fn random(seed: u64) -> impl Random {
    let mut state = seed | 1;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

/// What happens next, and how long after the last.
#[derive(Clone, Debug)]
enum Happens {
    /// The time of what is due comes; an attempt succeeds or fails.
    Due(Outcome),
    /// Time passes, but nothing that is due is done before it is due.
    Time(u32),
    /// The connection ends.
    Ends(Retry, bool),
    Pause,
    Wake,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Opens,
    Fails(Retry),
    TimesOut,
    Hangs,
}

/// Runs a machine as the runner does, and checks after every step what must hold.
struct Play {
    machine: Reconnector,
    policy: ReconnectPolicy,
    now: Instant,
    audit: StateAudit,
    told: Option<(Phase, u32)>,
    transcript: Vec<String>,
    /// When the last attempt began, and whether the next is due to `wake`.
    begun: Option<Instant>,
    woken: bool,
    /// Until when no attempt may be made, whoever wakes.
    advised: Option<Instant>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let policy = ReconnectPolicy::default();
        let machine = Reconnector::new(policy.clone(), now, random(seed));
        let (audit, transcript) = (StateAudit::default(), Vec::new());
        let (told, begun, advised) = (None, None, None);
        let mut play =
            Self { machine, policy, now, audit, told, transcript, begun, woken: false, advised };
        // The runner begins the first attempt before it looks at anything else.
        play.step(&Happens::Due(Outcome::Hangs));
        play
    }

    fn step(&mut self, happens: &Happens) {
        self.transcript.push(format!("{happens:?}"));
        match (happens, self.machine.phase()) {
            (Happens::Due(outcome), Phase::Scheduled { at, .. }) => {
                self.now = self.now.max(at);
                let attempt = self.machine.handle_timeout(self.now).expect("it is due");
                self.attempt_begins(attempt);
                self.conclude(*outcome, attempt);
            }
            (Happens::Due(Outcome::Opens | Outcome::Fails(_)), Phase::Attempting) => {
                self.now += Duration::from_millis(100);
                self.machine.handle_failed(self.now, Failure::new(Retry::Now));
                self.note_advice(Retry::Now);
            }
            (Happens::Time(ms), phase) => {
                let later = self.now + Duration::from_millis(u64::from(*ms));
                self.now = match phase {
                    Phase::Scheduled { at, .. } => later.min(at.max(self.now)),
                    _ => later,
                };
            }
            (Happens::Ends(retry, server_fault), Phase::Open) => {
                let failure = Failure { server_fault: *server_fault, ..Failure::new(*retry) };
                self.machine.handle_closed(self.now, failure);
                self.note_advice(*retry);
            }
            (Happens::Pause, _) => self.machine.pause(),
            (Happens::Wake, phase) => {
                let wake = self.machine.wake(self.now);
                assert_eq!(wake == Wake::Probe, phase == Phase::Open);
                self.woken |= wake == Wake::Rescheduled;
            }
            _ => {}
        }
        self.check();
    }

    fn conclude(&mut self, outcome: Outcome, attempt: Attempt) {
        match outcome {
            Outcome::Opens => {
                self.machine.handle_opened(self.now, Duration::from_millis(50));
                self.advised = None;
            }
            Outcome::Fails(retry) => {
                self.machine.handle_failed(self.now, Failure::new(retry));
                self.note_advice(retry);
            }
            Outcome::TimesOut => {
                self.now += attempt.timeout;
                let failure = Failure { timed_out: true, ..Failure::new(Retry::Now) };
                self.machine.handle_failed(self.now, failure);
                self.note_advice(Retry::Now);
            }
            Outcome::Hangs => {}
        }
    }

    fn attempt_begins(&mut self, attempt: Attempt) {
        self.tell(State::Connecting { attempt: attempt.number, delay: Duration::ZERO, last: None });
        self.told = Some((Phase::Attempting, attempt.number));
        assert!(self.advised.is_none_or(|until| self.now >= until), "sooner than the server said");
        let begun = self.begun.replace(self.now);
        if std::mem::take(&mut self.woken) {
            let since = begun.map(|begun| self.now - begun);
            assert!(since >= Some(self.policy.wake_spacing), "woken again after {since:?}");
        }
        let bounds = self.policy.attempt_min..=self.policy.attempt_max;
        assert!(bounds.contains(&attempt.timeout), "{:?}", attempt.timeout);
    }

    fn note_advice(&mut self, retry: Retry) {
        self.woken = false;
        self.advised = match retry {
            // Short advice does not have to be followed.
            Retry::After { after, spread } if after + spread >= self.policy.first_spread => {
                Some(self.now + after.min(self.policy.advice_limit))
            }
            _ => None,
        };
    }

    /// Checks what the machine says of itself after every step.
    fn check(&mut self) {
        let (phase, attempt) = (self.machine.phase(), self.machine.attempt());
        let due = matches!(phase, Phase::Scheduled { at, .. } if at <= self.now);
        if !due && self.told != Some((phase, attempt)) {
            self.told = Some((phase, attempt));
            match phase {
                Phase::Scheduled { delay, .. } => {
                    self.tell(State::Connecting { attempt, delay, last: None });
                }
                Phase::Attempting => {}
                Phase::Open => self.tell(State::Open { generation: self.machine.generation() }),
                Phase::Waiting => self.tell(State::Waiting),
                Phase::Stopped => self.tell(State::Stopped(Stop::Dropped)),
            }
        }
        assert_eq!(self.machine.poll_timeout().is_some(), matches!(phase, Phase::Scheduled { .. }));
        if let Phase::Scheduled { at, .. } = phase {
            let longest = self.policy.advice_limit * 2;
            assert!(at <= self.now + longest, "an attempt is scheduled too far away");
        }
    }

    fn tell(&mut self, state: State) {
        self.transcript.push(format!("  {state}"));
        if let Err(error) = self.audit.check(&state) {
            panic!("{error}\n{}", self.transcript.join("\n"));
        }
    }
}

fn retries() -> impl Strategy<Value = Retry> {
    let advice = (0..200_000_u64, 0..200_000_u64).prop_map(|(after, spread)| Retry::After {
        after: Duration::from_millis(after),
        spread: Duration::from_millis(spread),
    });
    prop_oneof![
        12 => Just(Retry::Now),
        4 => advice,
        1 => Just(Retry::RefreshTokenOnce),
        1 => Just(Retry::FreshSessionOnce),
        1 => Just(Retry::Never),
    ]
}

fn happenings() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => prop_oneof![
            3 => Just(Outcome::Opens),
            4 => retries().prop_map(Outcome::Fails),
            1 => Just(Outcome::TimesOut),
            1 => Just(Outcome::Hangs),
        ].prop_map(Happens::Due),
        3 => (0..120_000_u32).prop_map(Happens::Time),
        3 => (retries(), any::<bool>()).prop_map(|(retry, fault)| Happens::Ends(retry, fault)),
        1 => Just(Happens::Pause),
        2 => Just(Happens::Wake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_passes_through_legal_states(
        seed: u64,
        script in prop::collection::vec(happenings(), 1..60),
    ) {
        let mut play = Play::new(seed);
        for happens in &script {
            play.step(happens);
        }
    }

    #[test]
    fn attempts_never_come_faster_than_the_policy_allows(seed: u64, lives in prop::collection::vec(0..9_000_u64, 40)) {
        // A connection that never becomes stable: what the nth retry may not be sooner than is
        // random, so the sum of many is what counts.
        let mut now = Instant::now();
        let mut machine = Reconnector::new(ReconnectPolicy::default(), now, random(seed));
        let start = now;
        for life in &lives {
            now = machine.poll_timeout().unwrap();
            machine.handle_timeout(now).unwrap();
            machine.handle_opened(now, Duration::ZERO);
            now += Duration::from_millis(*life);
            machine.handle_closed(now, Failure::new(Retry::Now));
            let Phase::Scheduled { delay, .. } = machine.phase() else { panic!("it goes on") };
            let outage = now - machine.outage.unwrap();
            let longest = ReconnectPolicy::default().longest_delay(machine.n_retries - 1, outage);
            prop_assert!(delay <= longest);
        }
        // 40 draws, most from up to 30 s or rare ones: the mean is far above 5 s.
        prop_assert!(now - start > Duration::from_secs(40 * 5), "{:?}", now - start);
    }

    #[test]
    fn it_always_stops_when_it_should(
        seed: u64,
        script in prop::collection::vec(happenings(), 0..30),
        open: bool,
    ) {
        let mut play = Play::new(seed);
        for happens in &script {
            play.step(happens);
        }
        play.step(&Happens::Wake);
        if play.machine.phase() == Phase::Attempting {
            play.step(&Happens::Due(Outcome::Opens));
        }
        if open {
            play.step(&Happens::Due(Outcome::Opens));
            play.step(&Happens::Ends(Retry::Never, false));
        } else {
            play.step(&Happens::Ends(Retry::Now, false));
            play.step(&Happens::Due(Outcome::Fails(Retry::Never)));
        }
        prop_assert_eq!(play.machine.phase(), Phase::Stopped);
        prop_assert_eq!(play.machine.poll_timeout(), None);
        prop_assert_eq!(play.machine.handle_timeout(play.now + Duration::from_secs(1 << 30)), None);
        prop_assert_eq!(play.machine.wake(play.now), Wake::Nothing);
        play.machine.pause();
        prop_assert_eq!(play.machine.phase(), Phase::Stopped);
    }
}

fn start() -> (Reconnector, Instant) {
    let now = Instant::now();
    (Reconnector::new(ReconnectPolicy::default(), now, random(7)), now)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn advice(after: u64, spread: u64) -> Failure {
    Failure::new(Retry::After { after: secs(after), spread: secs(spread) })
}

/// Lets the next attempt fail and returns how long it was until then.
fn fail(machine: &mut Reconnector, now: &mut Instant, failure: Failure) -> Duration {
    let at = machine.poll_timeout().expect("an attempt is scheduled");
    let waited = at.saturating_duration_since(*now);
    *now = at;
    machine.handle_timeout(at).expect("it is due");
    machine.handle_failed(at, failure);
    waited
}

fn open(machine: &mut Reconnector, now: &mut Instant) -> Attempt {
    *now = machine.poll_timeout().expect("an attempt is scheduled");
    let attempt = machine.handle_timeout(*now).expect("it is due");
    machine.handle_opened(*now, secs(0));
    attempt
}

#[test]
fn trap_25_counting_begins_anew_only_after_a_stable_connection() {
    let (mut machine, mut now) = start();
    for expected in 1..=4 {
        assert_eq!(open(&mut machine, &mut now).number, expected);
        now += secs(9);
        machine.handle_closed(now, Failure::new(Retry::Now));
    }
    assert_eq!((open(&mut machine, &mut now).number, machine.n_retries), (5, 4));
    now += secs(10);
    machine.handle_closed(now, Failure::new(Retry::Now));
    assert_eq!((machine.attempt(), machine.n_retries, machine.generation()), (1, 1, 5));
}

#[test]
fn the_servers_advice_is_obeyed_within_bounds() {
    let (mut machine, mut now) = start();
    fail(&mut machine, &mut now, advice(7, 0));
    assert_eq!(fail(&mut machine, &mut now, advice(1 << 40, 0)), secs(7));
    assert_eq!(fail(&mut machine, &mut now, Failure::new(Retry::Now)), secs(3600));
}

#[test]
fn advice_to_hammer_the_server_is_followed_once() {
    let (mut machine, mut now) = start();
    fail(&mut machine, &mut now, advice(0, 0));
    assert_eq!(fail(&mut machine, &mut now, advice(0, 0)), secs(0));
    let waited: Duration = (0..20).map(|_| fail(&mut machine, &mut now, advice(0, 0))).sum();
    assert!(waited > secs(60), "{waited:?}");
}

#[test]
fn wake_does_not_override_what_the_server_asked_for() {
    let (mut machine, mut now) = start();
    fail(&mut machine, &mut now, advice(60, 0));
    machine.pause();
    assert_eq!(machine.phase(), Phase::Waiting);
    machine.wake(now + secs(1));
    assert_eq!(machine.poll_timeout(), Some(now + secs(60)));
}

#[test]
fn wake_tries_at_once_but_not_twice_in_a_second() {
    let (mut machine, mut now) = start();
    (0..8).for_each(|_| _ = fail(&mut machine, &mut now, Failure::new(Retry::Now)));
    machine.wake(now);
    assert!(machine.poll_timeout().unwrap() <= now + secs(1));
    fail(&mut machine, &mut now, Failure::new(Retry::Now));
    assert_eq!(machine.n_retries, 1);
    for _ in 0..10 {
        machine.wake(now);
        fail(&mut machine, &mut now, Failure::new(Retry::Now));
    }
    assert!(machine.n_retries > 8, "the delays began anew each time");
}

#[test]
fn a_pause_gives_the_attempt_up_and_keeps_an_open_connection() {
    let (mut machine, mut now) = start();
    machine.handle_timeout(now).unwrap();
    machine.pause();
    assert_eq!((machine.phase(), machine.attempt()), (Phase::Waiting, 2));
    assert_eq!(machine.wake(now), Wake::Rescheduled);
    open(&mut machine, &mut now);
    machine.pause();
    assert_eq!(machine.phase(), Phase::Open);
    machine.handle_closed(now, Failure::new(Retry::Now));
    assert_eq!(machine.phase(), Phase::Waiting);
}

#[test]
fn a_remedy_is_tried_once_until_a_connection_is_stable() {
    for retry in [Retry::RefreshTokenOnce, Retry::FreshSessionOnce] {
        let (mut machine, mut now) = start();
        fail(&mut machine, &mut now, Failure::new(retry));
        let attempt = open(&mut machine, &mut now);
        assert_eq!(attempt.refresh_token, retry == Retry::RefreshTokenOnce);
        now += secs(10);
        machine.handle_closed(now, Failure::new(retry));
        open(&mut machine, &mut now);
        now += secs(9);
        machine.handle_closed(now, Failure::new(retry));
        assert_eq!(machine.phase(), Phase::Stopped);
    }
}

#[test]
fn five_internal_errors_in_a_row_make_attempts_rare() {
    let (mut machine, mut now) = start();
    let fault = Failure { server_fault: true, ..Failure::new(Retry::Now) };
    for n in 1..=5 {
        open(&mut machine, &mut now);
        now += secs(60);
        machine.handle_closed(now, fault);
        let wait = machine.poll_timeout().unwrap() - now;
        assert_eq!(wait >= secs(30), n == 5, "{wait:?} after {n}");
    }
}

#[test]
fn policies_of_for_ever_are_no_trouble() {
    let policy = ReconnectPolicy {
        first_spread: Duration::MAX,
        base: Duration::MAX,
        cap: Duration::MAX,
        advice_limit: Duration::MAX,
        wake_spacing: Duration::MAX,
        slow_after: Duration::MAX,
        ..ReconnectPolicy::default()
    };
    let mut now = Instant::now();
    let mut machine = Reconnector::new(policy, now, |bytes: &mut [u8]| bytes.fill(255));
    for _ in 0..3 {
        let retry = Retry::After { after: Duration::MAX, spread: Duration::MAX };
        fail(&mut machine, &mut now, Failure::new(retry));
        machine.wake(now);
        fail(&mut machine, &mut now, Failure::new(Retry::Now));
    }
}

/// What a server wants first retries spread over says nothing about what hammers it.
#[test]
fn a_servers_first_spread_is_no_measure_of_its_advice() {
    let start = Instant::now();
    let busy = |after, spread| Failure::new(Retry::After { after, spread });
    for spread in [Duration::ZERO, Duration::from_secs(60)] {
        let mut machine =
            Reconnector::new(ReconnectPolicy::default(), start, |bytes: &mut [u8]| {
                bytes.fill(0xFF);
            });
        machine.set_first_spread(spread);
        let mut now = start;
        let mut next = |machine: &mut Reconnector, failure| {
            machine.handle_timeout(now).expect("one is due");
            machine.handle_failed(now, failure);
            let Phase::Scheduled { at, delay } = machine.phase() else { panic!("it goes on") };
            now = at;
            delay
        };
        next(&mut machine, busy(Duration::ZERO, Duration::ZERO));
        for _ in 0..3 {
            let delay = next(&mut machine, busy(Duration::ZERO, Duration::ZERO));
            assert!(delay > Duration::from_millis(900), "{delay:?}");
        }
        let half = Duration::from_secs(30);
        assert_eq!(next(&mut machine, busy(half, Duration::ZERO)), half);
    }
}

#[test]
fn a_servers_first_spread_is_that_of_the_first_retry() {
    let start = Instant::now();
    let mut machine =
        Reconnector::new(ReconnectPolicy::default(), start, |bytes: &mut [u8]| bytes.fill(0xFF));
    machine.set_first_spread(Duration::from_secs(60));
    machine.handle_timeout(start).unwrap();
    machine.handle_failed(start, Failure::new(Retry::Now));
    let Phase::Scheduled { delay, .. } = machine.phase() else { panic!("it goes on") };
    assert!(delay > Duration::from_secs(59), "{delay:?}");
}
