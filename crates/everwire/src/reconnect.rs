//! A client that connects again: when, where to, and what is told of it.
//!
//! ```text
//!   handles ──orders──► runner ──what happened──► Reconnector ──► phase, next attempt
//!      ▲                  │                        pure: time and randomness are arguments
//!      └─messages, states─┘──► Client, WebSocket
//! ```
//! [`ReconnectingClient`] is what an application uses; [`Reconnector`] is the policy alone, for who
//! runs attempts of another kind.

mod adaptive;
mod adjust;
mod attempt_time;
mod audit;
mod builder;
mod client;
mod link;
mod policy;
mod reconnector;
mod runner;
mod state;
mod states;
mod verdict;
mod while_down;

#[cfg(feature = "json")]
pub use self::adaptive::JsonFile;
pub use everwire_proto::Retry;

pub(crate) use self::{
    builder::{Provider, guarded},
    reconnector::later,
};

pub use self::{
    adaptive::{AdaptiveKeepalive, KeepaliveStore, MemoryStore, PathRecord},
    audit::{IllegalState, StateAudit},
    builder::{AttemptInfo, ReconnectBuilder},
    client::{Incoming, ReconnectingClient, ReconnectingReceiver, ReconnectingSender},
    policy::ReconnectPolicy,
    reconnector::{Attempt, Failure, Phase, Reconnector, Wake},
    state::{State, Stop},
    states::States,
    verdict::{AttemptError, BoxError, Ending, Overdue, Refusal, retry_after},
    while_down::{NotSent, Sent, Tally, WhileDown},
};
