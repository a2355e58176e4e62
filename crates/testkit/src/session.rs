//! Sessions over `everwire.v1` without a WebSocket.

mod chaos;
mod fault;
mod host;
mod ledger;
mod pair;
mod report;
mod slow;
mod told;
mod walk;
mod wire;

pub use self::{
    chaos::{Chaos, Profile},
    fault::Fault,
    host::Host,
    ledger::Ledger,
    pair::{Pair, texts},
    report::{Failure, Report},
    slow::SlowPath,
    walk::walk_session,
};
