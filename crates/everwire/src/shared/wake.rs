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

/// Drivers that are woken together: an event loop is told once of all that are its own.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    tasks: Vec<Waker>,
    #[cfg(target_os = "linux")]
    loops: Vec<(Arc<crate::event_loop::Remote>, Vec<u32>)>,
    /// The place of the loop that came last, which most often comes next.
    #[cfg(target_os = "linux")]
    last: usize,
}

impl Wakes {
    /// Adds one that sleeps.
    #[inline]
    pub(crate) fn add(&mut self, driver: Option<&Wake>) {
        match driver {
            Some(Wake::Task(waker)) => self.tasks.push(waker.clone()),
            #[cfg(target_os = "linux")]
            Some(Wake::Loop(remote, key)) => self.keys(remote).push(*key),
            None => {}
        }
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn keys(&mut self, remote: &Arc<crate::event_loop::Remote>) -> &mut Vec<u32> {
        if !self.loops.get(self.last).is_some_and(|(last, _)| Arc::ptr_eq(last, remote)) {
            let known = self.loops.iter().position(|(known, _)| Arc::ptr_eq(known, remote));
            self.last = known.unwrap_or_else(|| {
                self.loops.push((remote.clone(), Vec::new()));
                self.loops.len() - 1
            });
        }
        &mut self.loops[self.last].1
    }

    /// Wakes them all.
    pub(crate) fn wake(self) {
        #[cfg(target_os = "linux")]
        self.loops.iter().for_each(|(remote, keys)| remote.wake_all(keys));
        self.tasks.into_iter().for_each(Waker::wake);
    }
}

#[inline]
pub(crate) fn wake(driver: Option<Wake>) {
    if let Some(driver) = driver {
        driver.wake();
    }
}
