//! What everwire's own tests stand on: two ends, an in-memory wire and a hand-turned clock.
//!
//! - [`Pair`]: two connections that talk to each other over two [`Link`]s, which can be slow, held,
//!   cut, reset and made full, in virtual time.
//! - [`Solo`]: one connection against a script of [`Frame`]s with any header bits, any mask and any
//!   length, legal or not.
//! - [`check_splits`]: feeds the same bytes whole, byte by byte and at random splits, and asserts
//!   that it made no difference.
//! - [`walk`]: a random script of everything an engine may do, with the invariants asserted after
//!   every step. The property tests and the fuzz targets share it.
//! - [`SlowPath`]: schedules of silence, stalls and probes on which nobody may be given up. The
//!   property tests and `bench/lifecycle` share it.
//!
//! - [`session`]: a server's sessions in one place, for whoever drives their sockets.
//! - `ChaosProxy`, with the feature `proxy`: a TCP proxy that cuts connections, and the program
//!   `chaos-proxy`.
//!
//! Nothing but the proxy sleeps; time moves when a test moves it.

mod deflate;
mod frame;
mod link;
mod pair;
#[cfg(feature = "proxy")]
mod proxy;
mod random;
mod schedule;
mod seen;
pub mod session;
mod solo;
mod split;
mod walk;

use std::time::Instant;

pub use self::{
    deflate::{agree_on_deflate, lend_codecs},
    frame::{Frame, SentFrame, parse_frames},
    link::Link,
    pair::{End, Pair},
    random::{Rng, keys},
    schedule::{FalseAlarm, SlowPath, Step, Walked},
    seen::{Seen, join_pieces},
    solo::Solo,
    split::{Outcome, check_splits, check_splits_with},
    walk::{Op, walk},
};

#[cfg(feature = "proxy")]
pub use self::proxy::{ChaosProxy, Cut, CutReport, Fate, Plan, Tally, Way};

/// Returns the instant at which a test begins: the only look at a clock in these tests.
#[must_use]
#[allow(clippy::disallowed_methods)] // An `Instant` can be had in no other way.
pub fn start() -> Instant {
    Instant::now()
}
