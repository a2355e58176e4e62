//! What may happen to two ends that both live: silence, messages, stalls, probes, over a path that
//! is slow.

use std::{fmt, time::Duration};

use everwire_proto::{Closure, Config, Keepalive, Role, State};

use crate::{Pair, Rng, Seen};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// What happens next; a failing schedule is printed as a list of these.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing, for so many milliseconds.
    Wait(u32),
    /// This end sends a message of so many bytes, if its queue has room.
    Sends(Role, usize),
    /// The application of this end stops reading for so many seconds.
    Stalls(Role, u16),
    /// This end's user wants to know whether the peer lives.
    Probes(Role),
}

impl Step {
    /// Lets it happen, and returns how many pings arrived meanwhile.
    pub fn act(&self, pair: &mut Pair) -> u64 {
        let now = pair.now();
        match *self {
            Self::Wait(millis) => pair.advance(MILLI * millis),
            // It may be full: nothing is lost then that this looks for.
            Self::Sends(role, len) => drop(pair.end(role).connection.send(vec![b'x'; len])),
            Self::Stalls(role, seconds) => {
                pair.end(role).connection.pause(now);
                pair.advance(SECOND * u32::from(seconds));
                let now = pair.now();
                pair.end(role).connection.resume(now);
            }
            Self::Probes(role) => drop(pair.end(role).connection.probe(now)),
        }
        pair.drive();
        let events = pair.client_events().into_iter().chain(pair.server_events());
        events.filter(|event| matches!(event, Seen::Ping(_))).count() as u64
    }
}

/// The path between two ends: how long each direction may take, and how much is on its way at most.
#[derive(Clone, Debug)]
pub struct SlowPath {
    /// The keepalive of both ends.
    pub policy: Keepalive,
    /// Of what the policy's timeout lets a direction take, in percent. There and back must be less
    /// than 100, less what passes before an end that stalls shows life: 43 at most.
    pub slowness: u32,
    /// How many bytes of a direction are on their way at most.
    pub room: Option<usize>,
    /// What the delays, and a walk, follow from.
    pub seed: u64,
}

impl SlowPath {
    /// Returns two ends on this path.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let mut config = Config::default();
        config.keepalive = Some(self.policy);
        // A reader that stalls for 10 minutes is no dead path: that is what is tested here.
        config.write_timeout = 1200 * SECOND;
        config.limits.message_time = 86_400 * SECOND;
        let mut pair = Pair::with(config.clone(), config);
        let delay = Duration::ZERO..self.policy.timeout * self.slowness / 100;
        pair.to_client.delay(delay.clone(), self.seed);
        pair.to_server.delay(delay, !self.seed);
        pair.to_client.limit(self.room);
        pair.to_server.limit(self.room);
        pair.to_client.forget_history();
        pair.to_server.forget_history();
        if self.policy.watches_path {
            pair.know_path();
        }
        pair
    }

    /// Walks at random for so long, with stalls of up to 10 minutes.
    ///
    /// # Errors
    /// [`FalseAlarm`] as soon as one end gives the other up.
    pub fn walk(&self, hours: u32) -> Result<Walked, FalseAlarm> {
        let mut pair = self.pair();
        let mut rng = Rng::new(self.seed);
        let mut walked = Walked::default();
        while pair.elapsed() < 3600 * SECOND * hours {
            let step = self.random_step(&mut rng);
            match step {
                Step::Stalls(..) => walked.stalls += 1,
                Step::Probes(_) => walked.probes += 1,
                _ => {}
            }
            walked.pings += step.act(&mut pair);
            let mut ends = [&pair.client, &pair.server].into_iter().map(|end| &end.connection);
            if let Some(end) = ends.find(|end| end.state() != State::Open) {
                let (path, at) = (self.clone(), pair.elapsed());
                return Err(FalseAlarm { path, step, at, closure: end.closure() });
            }
        }
        walked.lasted = pair.elapsed();
        Ok(walked)
    }

    fn random_step(&self, rng: &mut Rng) -> Step {
        let role = if rng.below(2) == 0 { Role::Client } else { Role::Server };
        match rng.below(20) {
            0 => Step::Stalls(role, rng.below(601) as u16),
            1..4 => Step::Sends(role, rng.below(2000)),
            4 => Step::Sends(role, rng.below(200_000)),
            // A probe's deadline follows from the round trips that were measured and is 1 s at
            // least: it is for paths on which there and back takes less.
            5 if self.policy.timeout * self.slowness / 50 < SECOND => Step::Probes(role),
            _ => Step::Wait(rng.below(600_000) as u32),
        }
    }
}

/// What a walk came by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// How long it was.
    pub lasted: Duration,
    /// Pings that arrived.
    pub pings: u64,
    /// Times that an application stopped reading.
    pub stalls: u64,
    /// Times that a user asked.
    pub probes: u64,
}

/// A peer that lives was given up.
#[derive(Clone, Debug)]
pub struct FalseAlarm {
    path: SlowPath,
    step: Step,
    at: Duration,
    closure: Option<Closure>,
}

impl fmt::Display for FalseAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, step, at, closure } = self;
        write!(f, "false alarm after {at:?} on {path:?}, in the step {step:?}: {closure:?}")
    }
}

impl std::error::Error for FalseAlarm {}
