//! Examples of everwire, one idea each; see `examples/README.md`.
//!
//! The documentation tests of this crate are the programs in the README and the guide.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
mod guide {}
