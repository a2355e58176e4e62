//! The driver, a handle and a task that waits for room, over `signal.rs`.
//!
//! The lock, the outbox and the waiters are those of `shared.rs`, as far as they matter for who is
//! woken.

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
}

#[path = "../../everwire/src/signal.rs"]
#[expect(dead_code, reason = "the driver looks at more than this model does")]
mod signal;

use std::task::Waker;

use loom::{
    future::block_on,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use signal::Signal;

/// Tries every order with up to two preemptions, which finds what there is in seconds.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

/// What `shared.rs` has of this.
#[derive(Default)]
struct Shared {
    signal: Signal,
    transmit_len: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outbox: u32,
    driver: Option<Waker>,
    waiter: Option<Waker>,
}

impl Shared {
    fn push(&self) {
        let mut state = self.state.lock().unwrap();
        state.outbox += 1;
        let driver = if self.signal.alert() { state.driver.clone() } else { None };
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    fn take_outbox(&self) -> u32 {
        if self.signal.take_news() {
            std::mem::take(&mut self.state.lock().unwrap().outbox)
        } else {
            0
        }
    }

    /// Waits until nothing waits to be written.
    async fn room(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            self.signal.set_waited_for(true);
            if self.transmit_len.load(Ordering::Relaxed) == 0 {
                return std::task::Poll::Ready(());
            }
            state.waiter = Some(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }

    /// Returns whether the driver may sleep; `waker` is new.
    fn sleep(&self, waker: Option<&Waker>) -> bool {
        if waker.is_none() && self.signal.sleep_lightly() {
            return true;
        }
        let mut state = self.state.lock().unwrap();
        if let Some(waker) = waker {
            state.driver = Some(waker.clone());
        }
        if !self.signal.sleep() {
            return false;
        }
        let waiter = match self.transmit_len.load(Ordering::Relaxed) {
            0 => state.waiter.take(),
            _ => None,
        };
        self.signal.set_waited_for(state.waiter.is_some());
        drop(state);
        waiter.into_iter().for_each(Waker::wake);
        true
    }

    /// Runs the driver until it has done so much. Handles know how to wake it, or learn it when it
    /// sleeps for the first time.
    async fn drive(&self, mut left: u32, mut is_registered: bool) {
        std::future::poll_fn(|cx| {
            self.signal.wake_up();
            loop {
                left -= self.take_outbox();
                self.transmit_len.store(0, Ordering::Relaxed);
                let waker = (!is_registered).then(|| cx.waker());
                if self.sleep(waker) {
                    is_registered = true;
                    break;
                }
            }
            if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Nobody sleeps for ever: loom finds that no thread can go on.
#[test]
fn what_a_handle_asks_for_is_done() {
    model(|| {
        let shared = Arc::new(Shared::default());
        let handle = shared.clone();
        let handle = thread::spawn(move || {
            handle.push();
            handle.push();
        });
        block_on(shared.drive(2, false));
        handle.join().unwrap();
    });
}

#[test]
fn what_two_handles_ask_for_is_done() {
    model(|| {
        let shared = Arc::new(Shared::default());
        let handle = shared.clone();
        let handle = thread::spawn(move || handle.push());
        let other = shared.clone();
        let other = thread::spawn(move || other.push());
        block_on(shared.drive(2, false));
        handle.join().unwrap();
        other.join().unwrap();
    });
}

/// The driver has one turn, in which the socket takes what waits; nothing else will wake the waiter.
#[test]
fn who_waits_for_room_is_woken() {
    model(|| {
        let shared = Arc::new(Shared::default());
        shared.transmit_len.store(1, Ordering::Relaxed);
        let driver = shared.clone();
        let driver = thread::spawn(move || block_on(driver.drive(0, true)));
        block_on(shared.room());
        driver.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_is_woken_beside_a_handle() {
    model(|| {
        let shared = Arc::new(Shared::default());
        shared.transmit_len.store(1, Ordering::Relaxed);
        let driver = shared.clone();
        let driver = thread::spawn(move || block_on(driver.drive(1, false)));
        let handle = shared.clone();
        let handle = thread::spawn(move || handle.push());
        block_on(shared.room());
        handle.join().unwrap();
        driver.join().unwrap();
    });
}
