//! `everwire bench`, the real binary, against `everwire serve` and against servers that are wrong.

mod compare;
mod expectations;
#[path = "../probe/peer.rs"]
#[expect(dead_code, reason = "the doctor looks at more")]
mod peer;
mod process;
mod scenarios;
mod usage;
mod wrong;
