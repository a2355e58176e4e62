//! An event loop as others see it.

use std::{collections::VecDeque, fmt, task::Waker};

use super::Drive;
use crate::sync::{AtomicWaker, Mutex, MutexGuard, PoisonError};

/// Hands an event loop connections, and wakes those.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    news: Mutex<News>,
    waker: AtomicWaker,
}

/// What others have for a loop.
#[derive(Default)]
struct News {
    /// The loop will look here before it sleeps.
    is_awake: bool,
    adopted: Vec<Box<dyn Drive>>,
    /// Connections whose handles want something.
    woken: VecDeque<u32>,
    /// No more connections will come.
    is_last: bool,
    /// The loop has ended, most likely with its runtime.
    is_gone: bool,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("woken", &self.woken).finish_non_exhaustive()
    }
}

/// Whether a loop may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is news.
    Awake,
    Asleep,
    /// It may; and no more connections will come.
    Last,
}

impl Remote {
    /// Takes a connection over. Once the loop has ended, it ends as well.
    pub(crate) fn adopt(&self, driver: Box<dyn Drive>) {
        let mut driver = Some(driver);
        self.tell(|news| {
            if !news.is_gone {
                news.adopted.extend(driver.take());
            }
        });
    }

    /// Asks for a turn for a connection.
    pub(crate) fn wake(&self, key: u32) {
        self.tell(|news| {
            if !news.is_gone {
                news.woken.push_back(key);
            }
        });
    }

    /// Asks for a turn for each of these connections.
    pub(crate) fn wake_all(&self, keys: &[u32]) {
        self.tell(|news| {
            if !news.is_gone {
                news.woken.extend(keys);
            }
        });
    }

    /// Tells the loop that no more connections will come.
    pub(super) fn end(&self) {
        self.tell(|news| news.is_last = true);
    }

    fn tell(&self, tell: impl FnOnce(&mut News)) {
        let mut news = self.lock();
        tell(&mut news);
        let sleeps = !std::mem::replace(&mut news.is_awake, true);
        drop(news);
        if sleeps {
            self.waker.wake();
        }
    }

    /// Notes that the loop is awake, and what wakes it once it sleeps.
    pub(super) fn wake_up(&self, waker: &Waker) {
        // The waker goes first: whoever finds the loop asleep finds this one.
        self.waker.register(waker);
        self.lock().is_awake = true;
    }

    /// Takes new connections, and the keys of those whose handles want something, behind what is in
    /// `woken`.
    pub(super) fn take(&self, woken: &mut VecDeque<u32>) -> Vec<Box<dyn Drive>> {
        let mut news = self.lock();
        if woken.is_empty() {
            std::mem::swap(woken, &mut news.woken);
        } else {
            woken.append(&mut news.woken);
        }
        std::mem::take(&mut news.adopted)
    }

    /// Lets the loop sleep if there is no news.
    pub(super) fn sleep(&self) -> Rest {
        let mut news = self.lock();
        if !news.adopted.is_empty() || !news.woken.is_empty() {
            return Rest::Awake;
        }
        news.is_awake = false;
        if news.is_last { Rest::Last } else { Rest::Asleep }
    }

    /// Ends it: nothing is taken any more. Returns the connections that nobody took over.
    pub(super) fn close(&self) -> Vec<Box<dyn Drive>> {
        let mut news = self.lock();
        news.is_gone = true;
        news.is_awake = true;
        news.woken = VecDeque::new();
        std::mem::take(&mut news.adopted)
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
