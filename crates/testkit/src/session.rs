//! Sessions over `everwire.v1` without a WebSocket.

mod chaos;
mod host;
mod ledger;
mod pair;
mod walk;
mod wire;

pub use self::{
    chaos::{Chaos, Failure, Profile, Report},
    host::Host,
    ledger::Ledger,
    pair::{Pair, texts},
    walk::walk_session,
};
