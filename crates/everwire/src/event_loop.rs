//! An event loop: one task that drives many connections.
//!
//! A task for each connection costs a kilobyte, and a way through tokio's scheduler and reactor for
//! each wake-up. Here a connection is an entry of a table. Its socket is watched by an epoll
//! instance of the loop's own, and that by tokio: an epoll descriptor is readable itself while one
//! of its sockets has news. One look at it gives the turns of all that are ready.
//!
//! Plain TCP under the push face runs here, and under the pull face if the runtime has but one thread
//! (with more, tasks that work for long can move to another). Everything else has a
//! [task](crate::driver::Task). What is done with a connection is the same code,
//! [`Driver::turn`](crate::driver::Driver::turn).

mod remote;
mod socket;
mod sys;
mod wheel;

use std::{
    collections::VecDeque,
    future::Future,
    io,
    mem::MaybeUninit,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use slab::Slab;
use tokio::{runtime::RuntimeFlavor, time::Sleep};

pub(crate) use self::{
    remote::Remote,
    socket::LoopSocket,
    sys::{recv, watch_listener},
};
use self::{
    remote::Rest,
    sys::{Epoll, Event},
    wheel::Wheel,
};
use crate::{clock, io::Io};

/// How many connections get their turn for each reason (a socket, a handle, a deadline) before other
/// tasks get theirs.
const BATCH: usize = 256;

/// A batch that takes longer than this had a handler that blocks.
const STALL: Duration = Duration::from_millis(100);

/// So many turns are timed one by one after a batch that took too long, to name the handler.
const SUSPECTS: u32 = 4096;

/// The event loops of a runtime, one for each of its threads. Cheap to clone; when the last clone is
/// dropped, each loop ends with its last connection.
#[derive(Clone, Debug)]
pub(crate) struct EventLoops(Arc<Loops>);

#[derive(Debug)]
struct Loops {
    loops: Vec<Arc<Remote>>,
    next: AtomicUsize,
    /// The runtime has one thread only.
    is_alone: bool,
}

impl EventLoops {
    /// Starts loops in the current runtime; none if the system refuses them.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Handle::current();
        let threads = runtime.metrics().num_workers();
        let is_alone = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let started = (0..threads).map_while(|_| match EventLoop::new() {
            Ok(event_loop) => {
                let remote = event_loop.remote.clone();
                tokio::spawn(event_loop);
                Some(remote)
            }
            Err(error) => {
                tracing::warn!(%error, "no event loop: each connection gets a task of its own");
                None
            }
        });
        Self(Arc::new(Loops { loops: started.collect(), next: AtomicUsize::new(0), is_alone }))
    }

    /// Finds a loop for a connection whose companion lives beside it.
    ///
    /// # Errors
    /// The stream, if it cannot run in a loop, or would share a thread that it need not share.
    pub(crate) fn place_accompanied(&self, io: Io) -> Result<(Arc<Remote>, LoopSocket), Io> {
        if self.0.is_alone { self.place(io) } else { Err(io) }
    }

    /// Finds a loop for a connection on this stream.
    ///
    /// # Errors
    /// The stream, if it cannot run in a loop.
    pub(crate) fn place(&self, io: Io) -> Result<(Arc<Remote>, LoopSocket), Io> {
        let Loops { loops, next, .. } = &*self.0;
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(loops.len()).map(|i| loops[i].clone());
        match place {
            Some(remote) => LoopSocket::try_from(io).map(|socket| (remote, socket)),
            None => Err(io),
        }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.loops.iter().for_each(|remote| remote.end());
    }
}

/// A connection that an event loop drives.
pub(crate) trait Drive: Send {
    /// Returns the socket, unless the connection has ended.
    fn socket(&mut self) -> Option<&mut LoopSocket>;

    /// Learns where it is; the handles are told how to wake it.
    fn adopted(&mut self, by: Arc<Remote>, key: u32);

    /// Does all that there is to do.
    fn turn(&mut self, turn: &mut Turn) -> Poll<()>;

    /// Ends the connection because its socket cannot be used.
    fn fail(&mut self, error: &io::Error, now: Instant);

    /// Logs that its handler held up the thread for so long.
    fn log_stall(&self, took: Duration);
}

/// What a loop and a connection tell each other about a turn.
pub(crate) struct Turn {
    pub(crate) now: Instant,
    /// A deadline has come.
    pub(crate) due: bool,
    /// A turn is due some time.
    pub(crate) is_armed: bool,
    /// When the next turn is due at the latest, if that has to be looked at.
    pub(crate) deadline: Option<Instant>,
    /// There is more to do; others come first.
    pub(crate) more: bool,
}

/// A connection's place in the table.
struct Entry {
    driver: Box<dyn Drive>,
    /// The tick in which a turn is due. Four a second are counted for 34 years.
    armed: Option<NonZeroU32>,
}

impl Entry {
    #[inline]
    fn armed(&self) -> Option<u64> {
        self.armed.map(|tick| u32::from(tick).into())
    }
}

/// One loop. It ends with its last connection once nobody can hand it more.
struct EventLoop {
    epoll: Epoll,
    entries: Slab<Entry>,
    wheel: Wheel,
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` waits for.
    sleeps_until: Option<Instant>,
    remote: Arc<Remote>,
    /// Those who want a turn, first come, first served.
    woken: VecDeque<u32>,
    /// Those who lay in the wheel for `due_tick`.
    due: Vec<u32>,
    due_tick: u64,
    /// How many turns are still to be timed.
    suspects: u32,
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            entries: Slab::new(),
            wheel: Wheel::new(clock::now()),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            sleeps_until: None,
            remote: Arc::default(),
            woken: VecDeque::new(),
            due: Vec::new(),
            due_tick: 0,
            suspects: 0,
        })
    }

    /// Gives a turn to each socket that has news. The key may be of a connection that has come since
    /// to the place of one that has gone: then it looks in vain.
    fn handle_events(&mut self, events: &[Event], now: Instant) {
        for event in events {
            let key = event.data.u64();
            if let Some(entry) = self.entries.get_mut(key as usize) {
                let flags = event.flags;
                entry.driver.socket().into_iter().for_each(|socket| socket.note(flags));
                self.give_turn(key as u32, now, false);
            }
        }
    }

    /// Takes over new connections, and gives a turn to those that want one, as far as there is time.
    fn poll_news(&mut self, now: Instant) {
        for driver in self.remote.take(&mut self.woken) {
            self.adopt(driver, now);
        }
        for _ in 0..self.woken.len().min(BATCH) {
            if let Some(key) = self.woken.pop_front() {
                self.give_turn(key, now, false);
            }
        }
    }

    fn adopt(&mut self, mut driver: Box<dyn Drive>, now: Instant) {
        let entry = self.entries.vacant_entry();
        let key = entry.key();
        driver.adopted(self.remote.clone(), key as u32);
        let watched = driver.socket().map(|socket| self.epoll.watch(socket.stream(), key as u64));
        if let Some(Err(error)) = watched {
            tracing::error!(%error, "cannot watch a socket");
            driver.fail(&error, now);
            return end(driver);
        }
        entry.insert(Entry { driver, armed: None });
        self.give_turn(key as u32, now, false);
    }

    /// Gives a turn to each connection that has a deadline, as far as there is time. Returns when the
    /// next is due.
    fn poll_deadlines(&mut self, now: Instant) -> Option<Instant> {
        for _ in 0..BATCH {
            if self.due.is_empty()
                && let Some(tick) = self.wheel.take_due(now, &mut self.due)
            {
                self.due_tick = tick;
            }
            let Some(key) = self.due.pop() else { break };
            if let Some(entry) = self.entries.get_mut(key as usize)
                && entry.armed() == Some(self.due_tick)
            {
                entry.armed = None;
                self.give_turn(key, now, true);
            }
        }
        self.wheel.next()
    }

    #[inline]
    fn give_turn(&mut self, key: u32, now: Instant, due: bool) {
        let Some(entry) = self.entries.get_mut(key as usize) else { return };
        let is_armed = entry.armed.is_some();
        let mut turn = Turn { now, due, is_armed, deadline: None, more: false };
        let started = (self.suspects > 0).then(clock::now);
        // The handler's panics are caught where it is called; this is for our own mistakes, which
        // must not end all other connections.
        match catch_unwind(AssertUnwindSafe(|| entry.driver.turn(&mut turn))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => return self.remove(key),
            Err(_) => {
                tracing::error!("a connection's driver panicked");
                return self.remove(key);
            }
        }
        if turn.more {
            self.woken.push_back(key);
        }
        if let Some(started) = started {
            self.suspects -= 1;
            entry.driver.log_stall(clock::now().saturating_duration_since(started));
        }
        if let Some(deadline) = turn.deadline
            && let Some(tick) = self.wheel.arm(key, deadline, entry.armed())
        {
            entry.armed = NonZeroU32::new(u32::try_from(tick).unwrap_or(u32::MAX));
        }
    }

    #[cold]
    fn remove(&mut self, key: u32) {
        let entry = self.entries.remove(key as usize);
        end(entry.driver);
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    /// Sleeps until the next deadline. Returns whether that has come.
    fn sleep(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> bool {
        if until != self.sleeps_until
            && let Some(until) = until
        {
            self.sleep.as_mut().reset(tokio::time::Instant::from_std(until));
        }
        self.sleeps_until = until;
        until.is_some() && self.sleep.as_mut().poll(cx).is_ready()
    }

    /// Times the next turns one by one if these took too long.
    fn check_stall(&mut self, now: Instant) {
        let took = clock::now().saturating_duration_since(now);
        if took < STALL {
            return;
        }
        if self.suspects == 0 {
            tracing::warn!(
                ?took,
                "handlers held up their thread; the next calls are timed to find which"
            );
        }
        self.suspects = SUSPECTS;
    }
}

/// Ends a connection. What its drop calls is the application's code, and may panic.
fn end(driver: Box<dyn Drive>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(driver)));
}

impl Drop for EventLoop {
    /// Ends its connections, such as when the runtime shuts down.
    fn drop(&mut self) {
        self.remote.close().into_iter().for_each(end);
        let entries = std::mem::take(&mut self.entries);
        entries.into_iter().for_each(|(_, entry)| end(entry.driver));
    }
}

impl Future for EventLoop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = clock::now();
        this.remote.wake_up(cx.waker());
        let mut events = [MaybeUninit::uninit(); BATCH];
        // Before companions, which share what tokio lets one task do.
        let (events, mut more) = this.epoll.poll(cx, &mut events);
        // Before the sockets: a companion that was refused more of that has its turn first then.
        this.poll_news(now);
        this.handle_events(events, now);
        let deadline = this.poll_deadlines(now);
        more |= this.sleep(cx, deadline) || !this.woken.is_empty() || !this.due.is_empty();
        this.check_stall(now);
        if !more {
            match this.remote.sleep() {
                Rest::Awake => more = true,
                Rest::Asleep => {}
                Rest::Last if this.entries.is_empty() => return Poll::Ready(()),
                Rest::Last => {}
            }
        }
        if more {
            // Comes back when others had their turn and tokio has looked at its own sockets.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of which others hold a share.
    struct Counted(#[expect(dead_code)] Arc<()>);

    impl Drive for Counted {
        fn socket(&mut self) -> Option<&mut LoopSocket> {
            None
        }

        fn adopted(&mut self, _: Arc<Remote>, _: u32) {}

        fn turn(&mut self, _: &mut Turn) -> Poll<()> {
            Poll::Pending
        }

        fn fail(&mut self, _: &io::Error, _: Instant) {}

        fn log_stall(&self, _: Duration) {}
    }

    /// What every idle connection has beside its place in the registry; `bench/check` measures the sum.
    #[test]
    fn what_an_idle_connection_keeps_is_small() {
        struct Ignores;

        impl crate::Handler for Ignores {
            fn on_message(&mut self, _: &mut crate::Conn<'_>, _: crate::Message<'_>) {}
        }

        type Driver = crate::driver::Driver<LoopSocket, crate::handler::HandlerApp<Ignores>>;
        let sizes = [size_of::<Driver>(), size_of::<crate::shared::Shared>(), size_of::<Entry>()];
        println!("driver, what handles share, entry: {sizes:?} bytes");
        assert!(sizes.iter().zip([272, 232, 24]).all(|(size, most)| *size <= most), "{sizes:?}");
    }

    #[test]
    fn a_loop_that_has_ended_keeps_nothing_that_comes_later() {
        let remote = Remote::default();
        let share = Arc::new(());
        remote.adopt(Box::new(Counted(share.clone())));
        assert_eq!(Arc::strong_count(&share), 2);
        drop(remote.close());
        remote.adopt(Box::new(Counted(share.clone())));
        assert_eq!(Arc::strong_count(&share), 1);
        remote.wake(7);
        let remote = format!("{remote:?}");
        assert!(remote.contains("woken: []"), "{remote}");
    }
}
