//! How handles and driver tell each other that there is something to do.

use crate::sync::{AtomicU8, Ordering};

/// Spares the driver the lock when nothing has happened, and the handles the waking of a driver
/// that is awake.
#[derive(Debug, Default)]
pub(crate) struct Signal(AtomicU8);

impl Signal {
    /// There is something for the driver to look at.
    const NEWS: u8 = 1;
    /// The driver will look for news before it sleeps.
    const AWAKE: u8 = 2;
    /// A task waits for something that the driver may bring about.
    const WAITED_FOR: u8 = 4;

    /// Notes news; returns whether the driver has to be woken.
    pub(crate) fn alert(&self) -> bool {
        self.0.fetch_or(Self::NEWS, Ordering::AcqRel) & (Self::NEWS | Self::AWAKE) == 0
    }

    #[inline]
    pub(crate) fn wake_up(&self) {
        self.0.fetch_or(Self::AWAKE, Ordering::AcqRel);
    }

    /// Returns whether there is news.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.0.load(Ordering::Acquire) & Self::NEWS != 0
    }

    /// Returns whether there is news, and takes it as seen.
    #[inline]
    pub(crate) fn take_news(&self) -> bool {
        self.0.load(Ordering::Acquire) & Self::NEWS != 0
            && self.0.fetch_and(!Self::NEWS, Ordering::AcqRel) & Self::NEWS != 0
    }

    /// Lets the driver sleep if there is no news and nobody waits.
    #[inline]
    pub(crate) fn sleep_lightly(&self) -> bool {
        self.0.compare_exchange(Self::AWAKE, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets the driver sleep if there is no news.
    pub(crate) fn sleep(&self) -> bool {
        if self.0.fetch_and(!Self::AWAKE, Ordering::AcqRel) & Self::NEWS == 0 {
            return true;
        }
        self.wake_up();
        false
    }

    pub(crate) fn set_waited_for(&self, waited_for: bool) {
        if waited_for {
            self.0.fetch_or(Self::WAITED_FOR, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!Self::WAITED_FOR, Ordering::AcqRel);
        }
    }
}
