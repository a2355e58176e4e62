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

mod socket;
mod sys;
mod wheel;

use std::{
    fmt,
    future::Future,
    io,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use slab::Slab;
use tokio::{runtime::RuntimeFlavor, time::Sleep};

pub(crate) use self::socket::LoopSocket;
use self::{sys::Epoll, wheel::Wheel};
use crate::{clock, io::Io};

/// How many sockets get their turn before other tasks get theirs.
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
        self.loops.iter().for_each(|remote| remote.tell(|news| news.is_last = true));
    }
}

/// An event loop as others see it: they hand it connections, and wake those.
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
    woken: Vec<u32>,
    /// No more connections will come.
    is_last: bool,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("woken", &self.woken).finish_non_exhaustive()
    }
}

impl Remote {
    /// Takes a connection over.
    pub(crate) fn adopt(&self, driver: Box<dyn Drive>) {
        self.tell(|news| news.adopted.push(driver));
    }

    /// Asks for a turn for a connection.
    pub(crate) fn wake(&self, key: u32) {
        self.tell(|news| news.woken.push(key));
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

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
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
}

/// A connection's place in the table.
struct Entry {
    driver: Box<dyn Drive>,
    /// The tick in which a turn is due.
    armed: Option<u64>,
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
    /// Empty, with room.
    keys: Vec<u32>,
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
            keys: Vec::new(),
            suspects: 0,
        })
    }

    /// Gives a turn to each socket that has news. Returns whether there are more.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut events = [MaybeUninit::uninit(); BATCH];
        let (events, more) = self.epoll.poll(cx, &mut events);
        for event in events {
            let key = event.data.u64();
            if let Some(entry) = self.entries.get_mut(key as usize) {
                let flags = event.flags;
                entry.driver.socket().into_iter().for_each(|socket| socket.note(flags));
                self.give_turn(key as u32, now, false);
            }
        }
        more
    }

    /// Takes over new connections, and gives a turn to those whose handles want something.
    fn poll_news(&mut self, now: Instant) {
        let mut news = self.remote.lock();
        if news.adopted.is_empty() && news.woken.is_empty() {
            return;
        }
        let adopted = std::mem::take(&mut news.adopted);
        let mut woken = std::mem::replace(&mut news.woken, std::mem::take(&mut self.keys));
        drop(news);
        for driver in adopted {
            self.adopt(driver, now);
        }
        for key in woken.drain(..) {
            self.give_turn(key, now, false);
        }
        self.keys = woken;
    }

    fn adopt(&mut self, mut driver: Box<dyn Drive>, now: Instant) {
        let entry = self.entries.vacant_entry();
        let key = entry.key();
        driver.adopted(self.remote.clone(), key as u32);
        let watched = driver.socket().map(|socket| self.epoll.watch(socket.stream(), key as u64));
        if let Some(Err(error)) = watched {
            // Dropped, it reports how it ended.
            tracing::error!(%error, "cannot watch a socket");
            return;
        }
        entry.insert(Entry { driver, armed: None });
        self.give_turn(key as u32, now, false);
    }

    /// Gives a turn to each connection that has a deadline. Returns when the next is due.
    fn poll_deadlines(&mut self, now: Instant) -> Option<Instant> {
        let mut due = std::mem::take(&mut self.keys);
        while let Some(tick) = self.wheel.take_due(now, &mut due) {
            for key in due.drain(..) {
                if let Some(entry) = self.entries.get_mut(key as usize)
                    && entry.armed == Some(tick)
                {
                    entry.armed = None;
                    self.give_turn(key, now, true);
                }
            }
        }
        self.keys = due;
        self.wheel.next()
    }

    #[inline]
    fn give_turn(&mut self, key: u32, now: Instant, due: bool) {
        let Some(entry) = self.entries.get_mut(key as usize) else { return };
        let mut turn = Turn { now, due, is_armed: entry.armed.is_some(), deadline: None };
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
        if let Some(started) = started {
            self.suspects -= 1;
            entry.driver.log_stall(clock::now().saturating_duration_since(started));
        }
        if let Some(deadline) = turn.deadline
            && let Some(tick) = self.wheel.arm(key, deadline, entry.armed)
        {
            entry.armed = Some(tick);
        }
    }

    #[cold]
    fn remove(&mut self, key: u32) {
        let entry = self.entries.remove(key as usize);
        // A handler's drop is the application's code.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(entry)));
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
}

impl Future for EventLoop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.remote.waker.register(cx.waker());
        let now = clock::now();
        this.remote.lock().is_awake = true;
        let more = this.poll_sockets(cx, now);
        this.poll_news(now);
        let deadline = this.poll_deadlines(now);
        if this.sleep(cx, deadline) || more {
            cx.waker().wake_by_ref();
        }
        if clock::now().saturating_duration_since(now) >= STALL {
            this.suspects = SUSPECTS;
        }
        let mut news = this.remote.lock();
        if !news.adopted.is_empty() || !news.woken.is_empty() {
            cx.waker().wake_by_ref();
        } else if news.is_last && this.entries.is_empty() {
            return Poll::Ready(());
        } else {
            news.is_awake = false;
        }
        Poll::Pending
    }
}
