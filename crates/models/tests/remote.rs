//! An event loop and those who wake its connections, over `event_loop/remote.rs`.

mod sync {
    pub(crate) use std::sync::PoisonError;
    use std::task::Waker;

    pub(crate) use loom::sync::{Mutex, MutexGuard};

    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}

#[path = "../../everwire/src/event_loop"]
mod event_loop {
    #[path = "remote.rs"]
    #[allow(unreachable_pub, dead_code, reason = "as it is there")]
    mod remote;

    use std::{collections::VecDeque, task::Poll};

    pub(super) use self::remote::Remote;
    use self::remote::Rest;

    /// A connection; how it is driven does not matter here.
    pub(crate) trait Drive: Send {}

    /// The turns of `EventLoop::poll`: runs until nothing more can come, and returns how many
    /// connections and wakes it has seen.
    pub(super) async fn run(remote: &Remote) -> (usize, usize) {
        let (mut connections, mut keys) = (0, VecDeque::new());
        std::future::poll_fn(|cx| {
            remote.wake_up(cx.waker());
            connections += remote.take(&mut keys).len();
            match remote.sleep() {
                Rest::Awake => cx.waker().wake_by_ref(),
                // Each wakes once, and the connection is the last.
                Rest::Last if keys.len() == 1 => return Poll::Ready((connections, keys.len())),
                Rest::Asleep | Rest::Last => {}
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn end(remote: &Remote) {
        remote.end();
    }
}

use event_loop::{Drive, Remote, end, run};
use loom::{future::block_on, sync::Arc, thread};

/// Tries every order with up to three preemptions, which finds what there is in seconds.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

struct Connection;

impl Drive for Connection {}

/// Nobody sleeps for ever: loom finds that no thread can go on.
#[test]
fn what_two_threads_hand_a_loop_is_taken_before_it_sleeps() {
    model(|| {
        let remote = Arc::new(Remote::default());
        let other = remote.clone();
        let waking = thread::spawn(move || other.wake(7));
        let other = remote.clone();
        let adopting = thread::spawn(move || {
            other.adopt(Box::new(Connection));
            end(&other);
        });
        assert_eq!(block_on(run(&remote)), (1, 1));
        waking.join().unwrap();
        adopting.join().unwrap();
    });
}
