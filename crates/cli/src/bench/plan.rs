//! What a run does, from the command line.

use std::time::Duration;

use everwire::MessageKind;

use super::{
    args::{EchoArgs, MessageArgs, RunArgs, TargetArgs},
    payload::{Pattern, mix},
    target::Target,
};
use crate::descriptors;

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
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scenario {
    Echo(Pace),
}

impl Scenario {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Echo(_) => "echo",
        }
    }

    /// Returns who sets the pace of messages, if there are any.
    pub(super) fn pace(&self) -> Option<Pace> {
        match self {
            Self::Echo(pace) => Some(*pace),
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
    pub(super) fn echo(args: &EchoArgs) -> Result<Self, String> {
        let pace = match args.rate {
            Some(rate) => Pace::Rate(rate.0),
            None => Pace::Depth(args.depth),
        };
        let scenario = Scenario::Echo(pace);
        Self::new(scenario, &args.target, args.connections.get(), &args.message, &args.run)
    }

    fn new(
        scenario: Scenario,
        target: &TargetArgs,
        connections: usize,
        message: &MessageArgs,
        run: &RunArgs,
    ) -> Result<Self, String> {
        let message = MessagePlan::new(message)?;
        for (name, time) in [("duration", run.duration.0), ("patience", run.patience.0)] {
            if time.is_zero() || time > LONGEST {
                return Err(format!(
                    "invalid value for '--{name}': expected more than 0s and at most 1 day"
                ));
            }
        }
        if run.ramp.0 > LONGEST {
            return Err("invalid value for '--ramp': expected at most 1 day".to_owned());
        }
        check_descriptors(connections)?;
        let depth = match scenario {
            Scenario::Echo(Pace::Depth(depth)) => depth as usize,
            Scenario::Echo(Pace::Rate(_)) => 1,
        };
        // A frame's header is 14 bytes at most; those that are given up are sent anew.
        let queue = (message.size + 14) * depth * 2;
        Ok(Self {
            scenario,
            target: Target::new(target, message.size as u64, queue)?,
            connections,
            message,
            duration: run.duration.0,
            ramp: run.ramp.0,
            patience: run.patience.0,
            // A thread without a connection would measure nothing.
            threads: run.threads.get().min(connections),
            pids: run.pids.clone(),
        })
    }

    /// Returns the numbers of the connections of one thread.
    pub(super) fn mine(&self, thread: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        (thread..self.connections).step_by(self.threads)
    }
}

impl MessagePlan {
    fn new(args: &MessageArgs) -> Result<Self, String> {
        let kind = if args.text { MessageKind::Text } else { MessageKind::Binary };
        let least = Pattern::least(kind);
        let size = usize::try_from(args.size.0).unwrap_or(usize::MAX);
        if size < least || size > 1 << 30 {
            let kind = if args.text { "a text" } else { "a binary message" };
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
