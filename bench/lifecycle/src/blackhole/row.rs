//! What is measured, and what is promised of it.

use std::{fmt, time::Duration};

use everwire::{Config, Keepalive};

const SECOND: Duration = Duration::from_secs(1);

/// A policy of keepalive and what to call it.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    pub(crate) keepalive: Keepalive,
}

/// What is done to connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// They are silent when the wire is cut.
    Idle,
    /// Small messages go out ten times a second when the wire is cut.
    InFlight,
    /// The application asks, and the wire is whole.
    ProbeAnswered,
    /// The application asks after the wire was cut; the round trip is known.
    ProbeUnanswered,
    /// The same; the round trip was never measured.
    ProbeUnknown,
    /// The peer never reads, and its window closes. The wire is whole.
    NeverReads { write_timeout: Duration },
}

/// Which end has the policy and is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    Server,
    Client,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// Connections of one kind, and by when they must know.
pub(crate) struct Row {
    pub(crate) policy: Policy,
    pub(crate) case: Case,
    pub(crate) observed: Observed,
    pub(crate) n_connections: usize,
    pub(crate) bound: Duration,
}

/// Returns the rows to measure: all of them take a minute and a half, the short ones 10 s.
pub(crate) fn rows(is_short: bool) -> Vec<Row> {
    let standard = Policy { name: "standard, 25 s/20 s", keepalive: Keepalive::standard() };
    let fast = Policy { name: "fast, 2 s/2 s", keepalive: Keepalive::fast() };
    let custom = Policy { name: "custom, 1 s/1 s", keepalive: Keepalive::new(SECOND, SECOND) };
    let lenient = Policy { name: "custom, 1 s/6 s", keepalive: Keepalive::new(SECOND, 6 * SECOND) };
    let promise = |policy: Policy| policy.keepalive.interval + policy.keepalive.timeout + SECOND;
    let mut kinds = Vec::new();
    if !is_short {
        kinds.push((standard, Case::Idle, promise(standard)));
        kinds.push((standard, Case::InFlight, promise(standard)));
    }
    kinds.push((fast, Case::Idle, promise(fast)));
    kinds.push((fast, Case::InFlight, 3 * SECOND));
    kinds.push((custom, Case::Idle, promise(custom)));
    kinds.push((lenient, Case::Idle, promise(lenient)));
    kinds.push((custom, Case::InFlight, promise(custom)));
    kinds.push((standard, Case::ProbeAnswered, SECOND));
    // On so near a path the deadline is the least, 1 s; 3 s if it was never measured. The timer
    // adds its tick of 250 ms, the measurement as much.
    kinds.push((standard, Case::ProbeUnanswered, SECOND * 3 / 2));
    kinds.push((standard, Case::ProbeUnknown, SECOND * 7 / 2));
    let write_timeout = if is_short { 5 * SECOND } else { Config::default().write_timeout };
    kinds.push((fast, Case::NeverReads { write_timeout }, write_timeout + 2 * SECOND));
    let both = |(policy, case, bound)| {
        [Observed::Server, Observed::Client].map(|observed| {
            // Much lies about unsent where nobody reads.
            let n_connections = if matches!(case, Case::NeverReads { .. }) { 4 } else { 16 };
            Row { policy, case, observed, n_connections, bound }
        })
    };
    kinds.into_iter().flat_map(both).collect()
}

impl Row {
    /// Returns how long the connections have been open when it happens.
    ///
    /// The first interval is shorter than the others, so it is let go by, unless nothing may have
    /// been asked yet.
    pub(super) fn warm_up(&self) -> Duration {
        match self.case {
            Case::Idle | Case::InFlight => self.policy.keepalive.interval + 3 * SECOND,
            _ => SECOND / 2,
        }
    }

    /// Returns what is too early.
    pub(super) fn not_before(&self) -> Duration {
        match self.case {
            Case::NeverReads { write_timeout } => write_timeout,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}; {}; {}\"", self.policy.name, self.case, self.observed)
    }
}

impl Case {
    pub(super) fn has_data(self) -> bool {
        matches!(self, Self::InFlight | Self::NeverReads { .. })
    }

    pub(super) fn is_cut(self) -> bool {
        !matches!(self, Self::ProbeAnswered | Self::NeverReads { .. })
    }

    pub(super) fn is_probed(self) -> bool {
        matches!(self, Self::ProbeAnswered | Self::ProbeUnanswered | Self::ProbeUnknown)
    }

    /// Returns the causes that a closure may have.
    pub(super) fn causes(self) -> &'static [&'static str] {
        match self {
            Self::Idle | Self::ProbeUnanswered | Self::ProbeUnknown => &["keepalive_timeout"],
            // The system may be first to know.
            Self::InFlight => &["keepalive_timeout", "path_timeout"],
            Self::ProbeAnswered => &["answered"],
            Self::NeverReads { .. } => &["write_timeout"],
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("black hole, idle"),
            Self::InFlight => f.write_str("black hole, data in flight"),
            Self::ProbeAnswered => f.write_str("`probe()` of a peer that lives"),
            Self::ProbeUnanswered => f.write_str("black hole, `probe()`, round trip known"),
            Self::ProbeUnknown => f.write_str("black hole, `probe()`, round trip unknown"),
            Self::NeverReads { write_timeout } => {
                write!(f, "peer never reads, write timeout {write_timeout:?}")
            }
        }
    }
}
