//! When something came last, for all to see.

use std::sync::atomic::{AtomicU64, Ordering};

use everwire_proto::Connection;

/// When the last bytes came, and whether they are of a message that has not come whole: in one number, so
/// that they belong together.
#[derive(Debug, Default)]
pub(super) struct Received(
    /// Twice the milliseconds, as the clock counts them; one more within a message.
    AtomicU64,
);

impl Received {
    #[inline]
    pub(super) fn store(&self, proto: &Connection) {
        let millis = crate::clock::millis(proto.last_received());
        self.0.store(millis * 2 + u64::from(proto.is_mid_message()), Ordering::Relaxed);
    }

    pub(super) fn millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 2
    }

    pub(super) fn is_mid_message(&self) -> bool {
        self.0.load(Ordering::Relaxed) % 2 == 1
    }
}
