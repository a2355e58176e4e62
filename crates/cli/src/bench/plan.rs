//! What a run does, from the command line.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use everwire::MessageKind;

use super::{
    args::{CommonArgs, MessageArgs, Scenario as Args},
    broadcast::{Channel, Slow},
    payload::{Pattern, mix},
    storm::Storm,
    target::Target,
};
use crate::{descriptors, size::Size};

/// The longest time that may be asked for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Descriptors that are needed beside those of connections.
const SPARE: u64 = 32;

/// Who sets the pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// The server: so many messages of a connection are under way at the same time.
    Depth(u32),
    /// A schedule: so many messages a second, over all connections.
    Rate(f64),
}

/// What is done to the server.
#[derive(Clone, Debug)]
pub(super) enum Scenario {
    Echo(Pace),
    /// The same, through sessions.
    SessionEcho(Pace),
    /// `broadcast`, or `slow`.
    Broadcast(Arc<Channel>),
    Idle,
    /// So many connections a second; nothing: as fast as the server takes them.
    Connect(Option<f64>),
    Storm(Storm),
}

impl Scenario {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Echo(_) => "echo",
            Self::SessionEcho(_) => "session echo",
            Self::Broadcast(channel) if channel.slow.is_some() => "slow",
            Self::Broadcast(_) => "broadcast",
            Self::Idle => "idle",
            Self::Connect(_) => "connect",
            Self::Storm(_) => "storm",
        }
    }

    /// Returns whether connections are opened before anything is measured.
    pub(super) fn opens_first(&self) -> bool {
        !matches!(self, Self::Connect(_))
    }

    /// Returns who sets the pace of messages, if there are any.
    pub(super) fn pace(&self) -> Option<Pace> {
        match self {
            Self::Echo(pace) | Self::SessionEcho(pace) => Some(*pace),
            Self::Broadcast(channel) => Some(channel.pace),
            Self::Idle | Self::Connect(_) | Self::Storm(_) => None,
        }
    }

    /// Returns how many connections there are beside those that were asked for.
    fn n_beside(&self) -> usize {
        match self {
            Self::Broadcast(channel) => 1 + channel.slow.map_or(0, |slow| slow.n),
            Self::Echo(_)
            | Self::SessionEcho(_)
            | Self::Idle
            | Self::Connect(_)
            | Self::Storm(_) => 0,
        }
    }
}

/// Everything that a run needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) target: Target,
    pub(super) connections: usize,
    pub(super) message: MessagePlan,
    pub(super) duration: Duration,
    pub(super) ramp: Duration,
    pub(super) patience: Duration,
    pub(super) threads: usize,
    pub(super) pids: Vec<u32>,
}

/// What messages look like.
#[derive(Debug)]
pub(super) struct MessagePlan {
    pub(super) kind: MessageKind,
    pub(super) size: usize,
    pub(super) pattern: Pattern,
}

impl Plan {
    /// # Errors
    /// What is wrong with the arguments, for people.
    pub(super) fn new(args: &Args) -> Result<Self, String> {
        let (scenario, connections, message) = match args {
            Args::Echo(args) => {
                let made = if args.session { Scenario::SessionEcho } else { Scenario::Echo };
                (made(args.pace.pace()), args.connections, Some(&args.message))
            }
            Args::Broadcast(args) => {
                let channel = Channel::new(args.pace.pace(), None);
                (Scenario::Broadcast(Arc::new(channel)), args.connections, Some(&args.message))
            }
            Args::Slow(args) => {
                let slow = Slow { n: args.slow.get(), pause: args.pause.map(|pause| pause.0) };
                let channel = Channel::new(Pace::Rate(args.rate.0), Some(slow));
                (Scenario::Broadcast(Arc::new(channel)), args.connections, Some(&args.message))
            }
            Args::Idle(args) => (Scenario::Idle, args.connections, None),
            Args::Connect(args) => {
                let rate = args.rate.map(|rate| rate.0);
                (Scenario::Connect(rate), args.connections, None)
            }
            Args::Storm(args) => {
                let storm = Storm { spread: args.spread.0, retry: args.retry.0 };
                (Scenario::Storm(storm), args.connections, None)
            }
        };
        let default = match args {
            // What a slow consumer leaves lying shall soon be more than the systems hold.
            Args::Slow(_) => Size(16 << 10),
            _ => Size(32),
        };
        let message = MessagePlan::new(message, default)?;
        Self::with(scenario, args.common(), connections.get(), message)
    }

    fn with(
        scenario: Scenario,
        common: &CommonArgs,
        connections: usize,
        message: MessagePlan,
    ) -> Result<Self, String> {
        let run = &common.run;
        check_time("duration", run.duration.0)?;
        check_time("patience", run.patience.0)?;
        if !scenario.opens_first() && !run.ramp.0.is_zero() {
            return Err(
                "'--ramp' is for scenarios that open connections first: expected '--rate'".into()
            );
        }
        if run.ramp.0 > LONGEST {
            return Err("invalid value for '--ramp': expected at most 1 day".to_owned());
        }
        check_descriptors(connections + scenario.n_beside())?;
        let depth = match scenario.pace() {
            Some(Pace::Depth(depth)) => depth as usize,
            Some(Pace::Rate(_)) | None => 1,
        };
        // A frame's header is 14 bytes at most; those that are given up are sent anew.
        let queue = (message.size + 14) * depth * 2;
        // What is named twice is there once.
        let pids = BTreeSet::from_iter(run.pids.iter().copied());
        // A thread without a connection would measure nothing.
        let threads = run.threads.get().min(connections);
        let mut target = Target::new(&common.target, message.size as u64, queue)?;
        if matches!(scenario, Scenario::SessionEcho(_)) {
            target.want_sessions();
        }
        Ok(Self {
            scenario,
            target,
            connections,
            message,
            duration: run.duration.0,
            ramp: run.ramp.0,
            patience: run.patience.0.min(LONGEST),
            threads,
            pids: pids.into_iter().collect(),
        })
    }

    /// Returns how many connections are opened before the others.
    pub(super) fn n_first(&self) -> usize {
        self.connections.div_ceil(10)
    }

    /// Returns when a connection is due after the first.
    pub(super) fn ramp_of(&self, connection: usize) -> Duration {
        self.ramp.mul_f64(connection as f64 / self.connections as f64)
    }

    /// Returns the numbers of the connections of one thread.
    pub(super) fn mine(&self, thread: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        (thread..self.connections).step_by(self.threads)
    }
}

impl MessagePlan {
    fn new(args: Option<&MessageArgs>, default: Size) -> Result<Self, String> {
        let is_text = args.is_some_and(|args| args.text);
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        let least = Pattern::least(kind);
        let size = args.and_then(|args| args.size).unwrap_or(default);
        let size = usize::try_from(size.0).unwrap_or(usize::MAX);
        if size < least || size > 1 << 30 {
            let kind = if is_text { "a text" } else { "a binary message" };
            return Err(format!(
                "invalid value for '--size': expected at least {least} bytes, which {kind} needs \
                 for its number and checksum, and at most 1GiB"
            ));
        }
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|error| format!("no randomness: {error}"))?;
        let run = (mix(u64::from_le_bytes(run)) >> 32) as u32;
        Ok(Self { kind, size, pattern: Pattern::new(run, kind, size) })
    }
}

fn check_time(name: &str, time: Duration) -> Result<(), String> {
    if time.is_zero() || time > LONGEST {
        return Err(format!(
            "invalid value for '--{name}': expected more than 0s and at most 1 day"
        ));
    }
    Ok(())
}

fn check_descriptors(connections: usize) -> Result<(), String> {
    let Some(limit) = descriptors::raise_limit() else { return Ok(()) };
    let needed = connections as u64 + SPARE;
    if needed > limit {
        return Err(format!(
            "{connections} connections need {needed} descriptors, and the limit is {limit}: raise \
             it (ulimit -Hn), or use fewer connections"
        ));
    }
    Ok(())
}
