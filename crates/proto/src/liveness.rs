//! Whether the peer lives: any byte is life, pings go only into silence, and RTT is measured on
//! the way.

mod path;
mod tolerance;

use std::time::{Duration, Instant};

pub use self::{path::PathFacts, tolerance::Tolerance};
use self::{path::PathWatch, tolerance::Trial};
use crate::{
    Keepalive,
    deadline::{after, is_late},
    keepalive::Rhythm,
    rtt::Rtt,
};

/// What the payload of a numbered ping starts with, so that a user's own ping is not taken for one.
const NUMBERED: [u8; 4] = [0xE7, b'e', b'w', 0x01];

/// The deadline of a probe on a path whose round trip is not known.
const PROBE_UNKNOWN: Duration = Duration::from_secs(3);

/// The same on a path that is suspected already, and must be suspect again at the deadline.
const SUSPECT_UNKNOWN: Duration = Duration::from_secs(1);

/// The clockwork of one connection's keepalive.
///
/// ```text
///            nothing received for `interval`           nothing for `timeout` more
///   alive ───────────────────────────────────► asked ────────────────────────────► dead
///     ▲                                          │
///     └──────────────── any byte ────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Liveness {
    last_received: Instant,
    /// Everything else; mostly nothing, and then no memory.
    watch: Option<Box<Watch>>,
    /// Number of the last ping that was sent.
    sent: u32,
    /// Number of the last ping that was answered.
    answered: u32,
    rtt: Rtt,
}

/// What is only known while something is going on.
#[derive(Debug, Default)]
struct Watch {
    /// A sign of life that is later than the last byte: the socket took output, or a pause ended.
    life: Option<Instant>,
    /// Time since the last byte in which we did not read.
    unread_for: Duration,
    question: Option<Question>,
    pause: Option<Pause>,
    /// When the ping with the number `sent` went out, if its answer measures the path.
    sent_at: Option<Instant>,
    path: Option<PathWatch>,
    trial: Option<Trial>,
}

/// A ping that nothing has answered.
#[derive(Debug)]
struct Question {
    ground: Ground,
    asked: Instant,
    deadline: Instant,
    /// How many bytes will have been sent when the ping has.
    ends_at: u64,
}

/// Why a peer was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// It was silent for an interval.
    Silence,
    /// The application wanted to know.
    Probe,
    /// The path looks dead. That must still be so at the deadline.
    Suspicion { confirmed: bool },
}

/// A time in which we do not read; the peer's deadline stands still.
#[derive(Debug)]
struct Pause {
    since: Instant,
    /// When we last showed life.
    shown: Option<Instant>,
    /// When our last ping went out.
    pinged: Option<Instant>,
}

impl Pause {
    /// Returns when we show life next.
    fn poll_show(&self, rhythm: Rhythm) -> Instant {
        let show = match self.shown {
            None => after(self.since, rhythm.first_show()),
            Some(shown) => after(shown, rhythm.show()),
        };
        show.min(self.next_ping(rhythm))
    }

    fn next_ping(&self, rhythm: Rhythm) -> Instant {
        after(self.pinged.unwrap_or(self.since), rhythm.interval())
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send a ping.
    Ping,
    /// Send an unsolicited pong: we are not reading, but we live.
    Pong,
    /// Send a ping and an unsolicited pong: for a peer that waits for one, and one for the other.
    PingAndPong,
    /// Give the peer up: nothing came for so long.
    Dead(Duration),
}

impl Liveness {
    pub(crate) fn new(now: Instant, policy: Option<Keepalive>) -> Self {
        let mut liveness =
            Self { last_received: now, watch: None, sent: 0, answered: 0, rtt: Rtt::default() };
        liveness.set_policy(policy);
        liveness
    }

    /// Follows another policy from now on; a question that was asked keeps its deadline.
    pub(crate) fn set_policy(&mut self, policy: Option<Keepalive>) {
        let is_asked = |policy: &Keepalive| (policy.watches_path, policy.learns);
        let (watches_path, learns) = policy.as_ref().map_or((false, false), is_asked);
        if self.watch.is_none() && !watches_path && !learns {
            return;
        }
        let watch = self.watch.get_or_insert_default();
        if policy.is_none() {
            watch.question.take_if(|question| question.ground != Ground::Probe);
        }
        watch.path = watches_path.then(|| watch.path.unwrap_or_default());
        watch.trial = learns.then(|| watch.trial.take().unwrap_or_default());
    }

    #[inline]
    pub(crate) fn handle_received(&mut self, now: Instant) {
        self.last_received = now;
        if self.watch.is_some() {
            self.handle_life();
        }
    }

    /// Ends what waited for life.
    fn handle_life(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        watch.life = None;
        watch.unread_for = Duration::ZERO;
        if let (Some(_), Some(trial)) = (watch.question.take(), &mut watch.trial) {
            trial.survive();
        }
        if let Some(path) = &mut watch.path {
            path.suspects = false;
        }
        self.tidy();
    }

    /// Notes that a full socket took more of our output: a download in progress is life.
    pub(crate) fn handle_progress(&mut self, now: Instant) {
        let watch = self.watch.get_or_insert_default();
        watch.life = Some(now);
        watch.question = None;
    }

    /// Returns when the last byte was received.
    #[inline]
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Returns the smoothed round-trip time.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    pub(crate) fn tolerance(&self) -> Tolerance {
        let trial = self.watch.as_ref().and_then(|watch| watch.trial.as_ref());
        trial.map_or_else(Tolerance::default, |trial| trial.tolerance)
    }

    /// Numbers the next ping and returns its payload.
    pub(crate) fn next_ping(&mut self, now: Instant) -> [u8; 8] {
        self.sent = self.sent.wrapping_add(1);
        let watch = self.watch.get_or_insert_default();
        // A pong that waits for us to read says nothing about the path.
        watch.sent_at = watch.pause.is_none().then_some(now);
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&NUMBERED);
        payload[4..].copy_from_slice(&self.sent.to_be_bytes());
        payload
    }

    /// Notes how many bytes will have been sent when the last ping has.
    pub(crate) fn handle_ping_queued(&mut self, ends_at: u64) {
        let Some(watch) = &mut self.watch else { return };
        if let Some(question) = &mut watch.question {
            question.ends_at = ends_at;
        }
        if let Some(trial) = &mut watch.trial {
            trial.set_sent(ends_at);
        }
        self.tidy();
    }

    /// Returns the number of the last ping.
    pub(crate) fn last_ping(&self) -> u32 {
        self.sent
    }

    /// Returns the number of the last ping that was answered.
    pub(crate) fn answered(&self) -> u32 {
        self.answered
    }

    /// Returns whether the ping of this number, or a later one, was answered.
    pub(crate) fn is_answered(&self, ping: u32) -> bool {
        self.answered.wrapping_sub(ping) as i32 >= 0
    }

    /// Takes a pong; one that answers a numbered ping answers all earlier ones too (§5.5.3).
    pub(crate) fn handle_pong(&mut self, payload: &[u8], now: Instant) {
        let Some(Ok(number)) = payload.strip_prefix(&NUMBERED).map(TryInto::try_into) else {
            return;
        };
        let number = u32::from_be_bytes(number);
        let (ahead, news) =
            (self.sent.wrapping_sub(number) as i32, number.wrapping_sub(self.answered) as i32);
        if ahead < 0 || news <= 0 {
            return; // Unsolicited, or known already.
        }
        self.answered = number;
        if ahead == 0
            && let Some(watch) = &mut self.watch
            && let Some(sent_at) = watch.sent_at.take()
        {
            self.rtt.push(now.saturating_duration_since(sent_at));
            self.tidy();
        }
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        let watch = self.watch.get_or_insert_default();
        watch.pause.get_or_insert(Pause { since: now, shown: None, pinged: None });
        watch.sent_at = None;
    }

    /// Ends a pause and returns how long it was; it does not count as the peer's silence.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Duration> {
        let watch = self.watch.as_mut()?;
        let since = watch.pause.take()?.since;
        let gap = now.saturating_duration_since(since);
        // Output that was taken during the pause may have been life in the middle of it.
        let life = watch.life.unwrap_or(self.last_received).max(self.last_received);
        watch.life = Some((life + gap).min(now));
        watch.unread_for += now.saturating_duration_since(since.max(self.last_received));
        if let Some(question) = &mut watch.question {
            question.deadline += now.saturating_duration_since(since.max(question.asked));
        }
        Some(gap)
    }

    /// Asks at the application's wish; the deadline follows from the round-trip time. Send a ping.
    pub(crate) fn probe(&mut self, now: Instant) {
        let deadline = after(now, self.rtt.probe_timeout(PROBE_UNKNOWN));
        let watch = self.watch.get_or_insert_default();
        let question = watch.question.get_or_insert(Question {
            ground: Ground::Probe,
            asked: now,
            deadline,
            ends_at: u64::MAX,
        });
        question.ground = Ground::Probe;
        question.deadline = question.deadline.min(deadline);
    }

    /// Returns whether there may be something due before an ordinary interval has passed.
    #[inline]
    pub(crate) fn is_watching(&self) -> bool {
        self.watch.is_some()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.pause.is_some())
    }

    /// Returns when something is due.
    pub(crate) fn poll_timeout(&self, rhythm: Option<Rhythm>, bytes_sent: u64) -> Option<Instant> {
        let Some(watch) = &self.watch else {
            return Some(after(self.last_received, self.patience(rhythm?)));
        };
        if let Some(pause) = &watch.pause {
            return Some(pause.poll_show(rhythm?));
        }
        let life = watch.life.unwrap_or(self.last_received);
        let silence = match &watch.question {
            Some(question) => Some(question.deadline),
            None => rhythm.map(|rhythm| after(life, self.patience(rhythm))),
        };
        let look = self.poll_look(bytes_sent);
        silence.into_iter().chain(look).min()
    }

    /// Returns whether [`handle_facts`](Self::handle_facts) is wanted before what is due is done.
    pub(crate) fn wants_facts(&self, now: Instant, bytes_sent: u64) -> bool {
        let Some(watch) = self.watch.as_ref().filter(|watch| watch.pause.is_none()) else {
            return false;
        };
        watch.question.as_ref().is_some_and(|question| question.deadline <= now)
            || self.poll_look(bytes_sent).is_some_and(|look| look <= now)
    }

    /// Takes what the system knows of the path.
    pub(crate) fn handle_facts(
        &mut self,
        now: Instant,
        rhythm: Option<Rhythm>,
        facts: PathFacts,
        bytes_sent: u64,
    ) {
        let soon = after(now, self.rtt.probe_timeout(SUSPECT_UNKNOWN));
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.pause.is_none()) else { return };
        if let Some(path) = &mut watch.path {
            path.handle_facts(now, facts, bytes_sent);
        }
        let timeout = rhythm.map_or(PROBE_UNKNOWN, |rhythm| rhythm.timeout());
        match (&mut watch.question, &mut watch.path) {
            (Some(question), _) if question.deadline <= now => {
                let is_ahead = facts.unacked > bytes_sent.saturating_sub(question.ends_at);
                if is_ahead && facts.is_moving(timeout) {
                    // The ping waits its turn in a transfer that moves.
                    question.deadline = after(now, timeout);
                    question.ground = Ground::Silence;
                } else if facts.is_stuck() {
                    question.ground = Ground::Suspicion { confirmed: true };
                } else if let Ground::Suspicion { confirmed } = &mut question.ground {
                    *confirmed = false;
                }
            }
            (Some(question), Some(_)) if facts.is_stuck() && question.ground == Ground::Silence => {
                question.ground = Ground::Suspicion { confirmed: false };
                question.deadline = question.deadline.min(soon);
            }
            (None, Some(path)) => path.suspects = facts.is_stuck(),
            _ => {}
        }
    }

    /// Returns what is due at `now`, and notes that it was done.
    ///
    /// Behind a full socket a ping would only wait, and nobody may be given up who was not asked:
    /// there the write timeout decides, unless the path itself is known to take nothing.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        rhythm: Option<Rhythm>,
        bytes_sent: u64,
        is_blocked: bool,
    ) -> Option<Due> {
        if self.poll_timeout(rhythm, bytes_sent).is_none_or(|due| now < due) {
            return None;
        }
        let is_look = self.poll_look(bytes_sent).is_some_and(|look| look <= now);
        let timeout = rhythm.map_or(PROBE_UNKNOWN, |rhythm| rhythm.timeout());
        let watch = self.watch.get_or_insert_default();
        if let Some(pause) = &mut watch.pause {
            pause.shown = Some(now);
            if rhythm.is_some_and(|rhythm| pause.next_ping(rhythm) > now) {
                return (!is_blocked).then_some(Due::Pong);
            }
            pause.pinged = Some(now);
            return (!is_blocked).then_some(Due::PingAndPong);
        }
        let suspects = watch.path.as_mut().is_some_and(|path| std::mem::take(&mut path.suspects));
        if let Some(path) = watch.path.as_mut().filter(|_| is_look && !suspects) {
            path.skip_look(bytes_sent);
        }
        match &mut watch.question {
            Some(question) if question.deadline <= now => {
                let is_late = is_late(question.deadline, now);
                let had_its_time = after(question.asked, timeout) <= now;
                let is_dead = match question.ground {
                    Ground::Suspicion { confirmed } => confirmed || (had_its_time && !is_blocked),
                    Ground::Silence | Ground::Probe => !is_blocked,
                };
                if is_dead && !is_late {
                    question.deadline = after(now, timeout);
                    watch.trial.iter_mut().for_each(Trial::fail);
                    let silence = now.saturating_duration_since(self.last_received);
                    return Some(Due::Dead(silence.saturating_sub(watch.unread_for)));
                }
                if matches!(question.ground, Ground::Suspicion { .. }) && !had_its_time {
                    question.ground = Ground::Silence;
                    question.deadline = after(question.asked, timeout);
                    return None;
                }
                self.ask(now, timeout, Ground::Silence, bytes_sent);
            }
            Some(_) => return None,
            None if suspects => {
                let patience = self.rtt.probe_timeout(SUSPECT_UNKNOWN).min(timeout);
                self.ask(now, patience, Ground::Suspicion { confirmed: false }, bytes_sent);
            }
            None => {
                let life = watch.life.unwrap_or(self.last_received);
                if rhythm.is_none_or(|rhythm| now < after(life, self.patience(rhythm))) {
                    return None;
                }
                self.ask(now, timeout, Ground::Silence, bytes_sent);
            }
        }
        (!is_blocked).then_some(Due::Ping)
    }

    fn ask(&mut self, now: Instant, patience: Duration, ground: Ground, bytes_sent: u64) {
        let silence = now.saturating_duration_since(self.last_received);
        let watch = self.watch.get_or_insert_default();
        if let Some(trial) = &mut watch.trial {
            // A pause or a download is not silence, and neither is a question asked again.
            let is_silence = watch.life.is_none() && watch.question.is_none();
            trial.begin(is_silence.then_some(silence), bytes_sent);
        }
        let deadline = after(now, patience);
        watch.question = Some(Question { ground, asked: now, deadline, ends_at: u64::MAX });
    }

    fn poll_look(&self, bytes_sent: u64) -> Option<Instant> {
        let path = self.watch.as_ref()?.path.as_ref()?;
        path.poll_look(self.last_received, bytes_sent)
    }

    /// Returns the silence that is borne before a question; the first is shorter.
    fn patience(&self, rhythm: Rhythm) -> Duration {
        if self.sent == 0 { rhythm.first_interval() } else { rhythm.interval() }
    }

    /// Frees what is no longer needed.
    fn tidy(&mut self) {
        self.watch.take_if(|watch| {
            watch.life.is_none()
                && watch.question.is_none()
                && watch.pause.is_none()
                && watch.sent_at.is_none()
                && watch.path.is_none()
                && watch.trial.is_none()
        });
    }
}
