//! A driver with a task of its own.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use everwire_proto::Closure;
use tokio::time::Sleep;

use super::{App, Driver, Stream};
use crate::clock;

/// A turn that takes longer than this is a handler that blocks.
const STALL: Duration = Duration::from_millis(100);

/// One turn of so many is looked at for a handler that blocks: reading the clock is a tenth of what
/// a turn costs.
const STALL_SAMPLE: u8 = 8;

/// Drives one connection to its end; any stream, either face, every system.
pub(crate) struct Task<S, A: App> {
    driver: Driver<S, A>,
    /// Armed for `armed`; lazily moved, never by receiving.
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    /// Counts turns in which something came in.
    turns: u8,
}

impl<S: Stream, A: App> Task<S, A> {
    pub(crate) fn new(driver: Driver<S, A>) -> Self {
        Self { driver, sleep: None, armed: None, turns: 0 }
    }

    /// Arms the timer for the next deadline. It is moved only to fire earlier. Returns whether it
    /// fired at once.
    #[inline]
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        match self.driver.deadline(self.armed.is_some()) {
            Some(deadline) => self.arm_for(deadline, cx),
            None => false,
        }
    }

    fn arm_for(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        if self.armed.is_some_and(|armed| armed <= deadline + clock::TICK) {
            return false;
        }
        let deadline = clock::round_up(deadline);
        let at = tokio::time::Instant::from_std(deadline);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        self.armed = Some(deadline);
        sleep.as_mut().poll(cx).is_ready()
    }

    /// Logs that the application's code held up its thread since `now`.
    #[inline]
    fn check_stall(&mut self, now: Instant) {
        if !self.driver.flags.worked {
            return;
        }
        self.turns = self.turns.wrapping_add(1);
        if self.turns % STALL_SAMPLE == 1 {
            self.driver.log_stall(clock::now().saturating_duration_since(now));
        }
    }
}

impl<S, A: App> Driver<S, A> {
    /// Logs that the application's code held up its thread, if it did.
    pub(crate) fn log_stall(&self, took: Duration) {
        if took >= STALL {
            let id = self.shared.id;
            tracing::warn!(%id, path = %self.shared.path, ?took, "a handler held up its thread");
        }
    }
}

/// Nothing in it is pinned in place; what needs to be is boxed.
impl<S, A: App> Unpin for Task<S, A> {}

impl<S: Stream, A: App> Future for Task<S, A> {
    type Output = Arc<Closure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arc<Closure>> {
        let this = &mut *self;
        if this.driver.flags.finished
            && let Some(closure) = this.driver.shared.closure()
        {
            // Only what lives beside the driver may still be at work.
            let _ = ready!(this.driver.app.poll(cx));
            return Poll::Ready(closure);
        }
        let mut now = clock::now();
        let mut due = this.armed.is_some_and(|armed| armed <= now);
        loop {
            if due {
                this.armed = None;
            }
            if this.driver.turn(cx, now, due, |_| true).is_ready() {
                return self.poll(cx);
            }
            this.check_stall(now);
            due = this.arm(cx);
            if !due {
                if this.driver.flags.more {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            // The timer fired at once.
            now = clock::now();
        }
    }
}
