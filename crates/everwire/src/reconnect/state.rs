//! What a reconnecting client is doing, as others see it.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use everwire_proto::Closure;

use super::{AttemptError, Ending};

/// What a [`ReconnectingClient`](super::ReconnectingClient) is doing.
///
/// ```text
///                       ┌────────────── wake ──────────────── Waiting ◄─┐
///                       ▼                                       ▲       │ pause
///   Connecting{1, 0} ─► Connecting{n, delay} ─► Connecting{n, 0} ─► Open{generation}
///                       ▲                                │              │
///                       └───────── failed, n + 1 ────────┴───── ended ──┘
///
///   from each of them: Stopped(why), which is the last
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// An attempt is under way, or will be.
    Connecting {
        /// Its number since the last stable connection; the first is 1.
        attempt: u32,
        /// How long it was until it begins when this was decided; nothing once it is under way.
        delay: Duration,
        /// How the attempt before it failed, or the connection before it ended; nothing before the
        /// first.
        last: Option<Ending>,
    },
    /// Messages flow.
    Open {
        /// The number of the connection; the first is 1.
        generation: u64,
    },
    /// Paused, with no connection open, until `wake` is called.
    Waiting,
    /// The end.
    Stopped(Stop),
}

/// Why a client stopped for good.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stop {
    /// It was closed by us: with the closure of the connection, if one was open.
    Closed(Option<Arc<Closure>>),
    /// A connection ended in a way that another attempt would not mend.
    Ended(Arc<Closure>),
    /// An attempt failed in a way that another one would not mend.
    Failed(Arc<AttemptError>),
    /// All its handles were dropped.
    Dropped,
}

impl State {
    /// Returns the number of the connection that is open.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Open { generation } => Some(*generation),
            _ => None,
        }
    }

    /// Returns why it stopped.
    #[must_use]
    pub fn stopped(&self) -> Option<&Stop> {
        match self {
            Self::Stopped(stop) => Some(stop),
            _ => None,
        }
    }
}

impl Stop {
    /// Returns how the last connection ended, if that was the end of it all.
    #[must_use]
    pub fn closure(&self) -> Option<&Arc<Closure>> {
        match self {
            Self::Closed(closure) => closure.as_ref(),
            Self::Ended(closure) => Some(closure),
            Self::Failed(_) | Self::Dropped => None,
        }
    }
}

impl From<Ending> for Stop {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Closed(closure) => Self::Ended(closure),
            Ending::Failed(error) => Self::Failed(error),
        }
    }
}

impl Error for Stop {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message repeats the inner error, so the chain goes on below it.
        match self {
            Self::Closed(Some(closure)) | Self::Ended(closure) => closure.source(),
            Self::Failed(error) => error.source(),
            Self::Closed(None) | Self::Dropped => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { attempt, delay: Duration::ZERO, .. } => {
                write!(f, "connecting, attempt {attempt}")
            }
            Self::Connecting { attempt, delay, .. } => {
                write!(f, "connecting in {:.1} s, attempt {attempt}", delay.as_secs_f64())
            }
            Self::Open { generation } => write!(f, "open, connection {generation}"),
            Self::Waiting => f.write_str("waiting to be woken"),
            Self::Stopped(stop) => write!(f, "stopped: {stop}"),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => f.write_str("closed while no connection was open"),
            Self::Closed(Some(closure)) | Self::Ended(closure) => closure.fmt(f),
            Self::Failed(error) => error.fmt(f),
            Self::Dropped => f.write_str("its handles were dropped"),
        }
    }
}
