//! What gives a driver its next turn.

#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::task::Waker;

/// What gives a driver its next turn.
#[derive(Clone, Debug)]
pub(crate) enum Wake {
    /// It has a task of its own.
    Task(Waker),
    /// It is one of many in an event loop, under this key.
    #[cfg(target_os = "linux")]
    Loop(Arc<crate::event_loop::Remote>, u32),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            #[cfg(target_os = "linux")]
            Self::Loop(remote, key) => remote.wake(key),
        }
    }
}

#[inline]
pub(crate) fn wake(driver: Option<Wake>) {
    if let Some(driver) = driver {
        driver.wake();
    }
}
