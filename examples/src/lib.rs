//! Examples of everwire, one idea each; see `examples/README.md`.
//!
//! The documentation tests of this crate are the programs in the README and in `docs/`.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/compression.md")]
mod compression {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/reconnecting.md")]
mod reconnecting {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/sessions.md")]
mod sessions {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from-gorilla.md")]
mod coming_from_gorilla {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from-tokio-tungstenite.md")]
mod coming_from_tokio_tungstenite {}
