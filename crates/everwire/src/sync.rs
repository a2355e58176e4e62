//! What threads share and wake each other by. `crates/models` puts loom's in their place.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
#[cfg(target_os = "linux")]
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool};

#[cfg(target_os = "linux")]
pub(crate) use futures_util::task::AtomicWaker;
