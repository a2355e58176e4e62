//! The driver: the one piece of code that reads and writes a connection's socket.
//!
//! A [`Task`] of its own gives it its turns, or an event loop that has many.
//!
//! It runs [`everwire_proto::Connection`] against the socket and the clock. It adds no rule of the
//! protocol: what to do is asked of `proto`, what to do with it of an [`App`].

mod app;
#[cfg(target_os = "linux")]
mod looped;
mod outgoing;
mod output;
#[cfg(target_os = "linux")]
mod short;
mod task;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::BytesMut;
use everwire_proto::{Cause, Closure, Connection, State};
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(target_os = "linux")]
pub(crate) use self::looped::Accompanied;
pub(crate) use self::{
    app::{App, Called, Panicked},
    task::Task,
};

use crate::{
    Conn, clock,
    handler::HandlerFlags,
    path,
    pool::Buffers,
    registry::Registration,
    shared::{Shared, Wake},
};

/// How often a turn goes round at most. A peer that sends as fast as it is read must not have the
/// thread for itself; each round reads up to 128 KiB.
const ROUNDS: u32 = 16;

/// After how many messages a turn goes round no more: there are twenty thousand small ones in
/// 128 KiB.
const MESSAGES: u64 = 4096;

/// A byte stream that a connection can run on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Drives one connection to its end.
pub(crate) struct Driver<S, A: App> {
    /// Gone once the connection is closed.
    io: Option<S>,
    proto: Connection,
    shared: Arc<Shared>,
    app: A,
    registration: Option<Registration>,
    flags: Flags,
    /// Lent by the thread while the driver is polled; else empty.
    buffers: Option<Box<Buffers>>,
}

#[derive(Default)]
struct Flags {
    /// What the handler left behind when it was called.
    handler: HandlerFlags,
    opened: bool,
    eof: bool,
    /// The writing side was shut down.
    shut: bool,
    /// The end was reported.
    finished: bool,
    /// Output waits beyond the limit; reading waits until it is below the low mark.
    output_full: bool,
    /// The code that lived beside the driver panicked.
    panicked: bool,
    /// The stream took bytes that it has not flushed.
    unflushed: bool,
    /// The handles know how to wake the driver. That never changes: it is spawned.
    registered: bool,
    /// Nothing is going on that the next turn has to look after but what comes in.
    calm: bool,
    /// Something came in during the last turn.
    worked: bool,
    /// The last turn was cut short; another is wanted when others had theirs.
    more: bool,
    /// The peer may have been asked since the timer was last looked at.
    asked: bool,
    /// The last answered ping that the handles know of.
    answered: u32,
    /// Messages that came too late to be sent.
    unsent: u32,
}

impl<S: Stream, A: App> Driver<S, A> {
    pub(crate) fn new(
        io: S,
        mut proto: Connection,
        shared: Arc<Shared>,
        app: A,
        early: Vec<u8>,
        registration: Option<Registration>,
    ) -> Self {
        if !early.is_empty() {
            proto.handle_early(clock::now(), &early);
        }
        Self {
            io: Some(io),
            proto,
            shared,
            app,
            registration,
            flags: Flags::default(),
            buffers: None,
        }
    }

    /// Does all that there is to do; `due` says that a deadline that it told has come, `may_read`
    /// what is known of the stream. Ready once the connection has ended and everybody was told.
    #[inline]
    pub(crate) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        due: bool,
        may_read: impl Fn(&S) -> bool,
    ) -> Poll<()> {
        self.shared.wake_up();
        if !self.flags.opened {
            self.open(now);
        }
        let mut worked = false;
        if due {
            // What lies unread, or can be written now, may be what the deadline waits for.
            worked = self.run(cx, now, &may_read);
            self.lend_buffer();
            self.look_at_path(now);
            self.proto.handle_timeout(now);
            self.flags.asked = true;
        }
        self.flags.worked = self.run(cx, now, &may_read) || worked;
        if let Some(buffers) = self.buffers.take() {
            buffers.put();
        }
        match self.proto.state() {
            State::Closed => {
                self.finish();
                return Poll::Ready(());
            }
            State::Open | State::Closing if !self.is_reading() && !self.proto.is_paused() => {
                self.proto.pause(now);
            }
            _ => {}
        }
        Poll::Pending
    }

    /// Returns when the next turn is due at the latest; nothing if one is due some time and no
    /// deadline can be nearer.
    #[inline]
    pub(crate) fn deadline(&mut self, is_armed: bool) -> Option<Instant> {
        if is_armed && !self.proto.has_near_deadline() {
            if !self.flags.asked {
                return None;
            }
            // An answered question leaves a timer that may be later than the next is due.
            self.flags.asked = false;
        }
        self.proto.poll_timeout()
    }

    fn look_at_path(&mut self, now: Instant) {
        if self.proto.wants_path(now)
            && let Some(facts) = self.io.as_ref().and_then(|io| path::facts(io))
        {
            self.proto.handle_path(now, facts);
        }
    }

    fn open(&mut self, now: Instant) {
        self.flags.opened = true;
        let (app, mut conn) = self.split(now);
        app.open(&mut conn);
    }

    fn split(&mut self, now: Instant) -> (&mut A, Conn<'_>) {
        let handler = &mut self.flags.handler;
        (&mut self.app, Conn::new(&mut self.proto, &self.shared, now, handler))
    }

    /// Hands the events of `input` to the app, as long as it wants more and output has room.
    #[inline]
    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        let mut batch = A::Batch::default();
        let mut events = self.proto.handle_buffer(now, input);
        loop {
            let proto = events.connection();
            if proto.state() == State::Open {
                self.flags.output_full |= proto.is_full();
                let waits = self.flags.output_full || self.flags.handler.paused;
                if waits || !self.app.is_ready(&self.shared) {
                    break;
                }
            } else if proto.state() == State::Closing
                && !proto.discards()
                && !self.app.is_ready(&self.shared)
            {
                break;
            }
            let Some(event) = events.next() else { break };
            let handler = &mut self.flags.handler;
            let mut conn = Conn::new(events.connection(), &self.shared, now, handler);
            self.app.event(&mut conn, &mut batch, event);
        }
        let handler = &mut self.flags.handler;
        let mut conn = Conn::new(events.connection(), &self.shared, now, handler);
        self.app.input_end(&mut conn, &mut batch);
    }

    /// Returns whether input may be taken.
    #[inline]
    fn is_reading(&mut self) -> bool {
        match self.proto.state() {
            State::Open => {
                !self.flags.output_full
                    && !self.flags.handler.paused
                    && self.app.is_ready(&self.shared)
            }
            // What still comes is needed to find the peer's Close or its end.
            State::Closing | State::Finishing | State::Draining => {
                self.flags.output_full = false;
                self.flags.handler.paused = false;
                self.proto.state() != State::Closing
                    || self.proto.discards()
                    || self.app.is_ready(&self.shared)
            }
            _ => false, // Closed.
        }
    }

    /// Reads once and handles what came; `Pending` when there is nothing to read.
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.proto.has_unread() {
            self.lend_buffer();
            self.handle_input(now, &mut BytesMut::new());
            return Poll::Ready(());
        }
        let Some(io) = self.io.as_mut().filter(|_| !self.flags.eof) else { return Poll::Pending };
        if let Some(mut buffer) = self.proto.frame_buffer() {
            let read = tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut buffer);
            let n = ready!(self.check_read(read, now));
            self.lend_buffer();
            return self.handle_direct(now, n);
        }
        let buffers = self.buffers.get_or_insert_with(Buffers::take);
        buffers.renew_read();
        let mut buffer = std::mem::take(&mut buffers.read);
        let read = tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut buffer);
        let polled = self.check_read(read, now);
        if !buffer.is_empty() {
            self.lend_buffer();
            self.handle_input(now, &mut buffer);
        }
        self.buffers().read = buffer;
        polled.map(|_| ())
    }

    /// Handles `n` bytes that were read straight into a large frame.
    fn handle_direct(&mut self, now: Instant, n: usize) -> Poll<()> {
        let mut events = self.proto.handle_frame_buffer(now, n);
        let (event, mut batch) = (events.next(), A::Batch::default());
        let handler = &mut self.flags.handler;
        let mut conn = Conn::new(events.connection(), &self.shared, now, handler);
        if let Some(event) = event {
            self.app.event(&mut conn, &mut batch, event);
        }
        self.app.input_end(&mut conn, &mut batch);
        Poll::Ready(())
    }

    /// Tells `proto` of an end of stream or a failure.
    #[inline]
    fn check_read(&mut self, read: Poll<io::Result<usize>>, now: Instant) -> Poll<usize> {
        Poll::Ready(match ready!(read) {
            Ok(0) => {
                self.flags.eof = true;
                self.proto.handle_eof(now);
                0
            }
            Ok(n) => n,
            Err(error) => {
                self.flags.eof = true;
                self.proto.handle_io_error(now, &error);
                0
            }
        })
    }

    #[inline]
    fn buffers(&mut self) -> &mut Buffers {
        self.buffers.get_or_insert_with(Buffers::take)
    }

    #[inline]
    fn lend_buffer(&mut self) {
        if self.proto.has_buffer() {
            return;
        }
        let write = self.buffers().take_write();
        if let Some(spare) = self.proto.lend_buffer(write) {
            self.buffers().put_write(spare);
        }
    }

    fn publish(&self) {
        self.shared.publish(&self.proto);
    }

    /// Goes round until neither the socket nor the handles have anything left, or it is others' turn.
    /// Returns whether anything came in.
    fn run(&mut self, cx: &mut Context<'_>, now: Instant, may_read: &impl Fn(&S) -> bool) -> bool {
        let (mut rounds, mut worked) = (0, false);
        let enough = self.proto.counters().messages_received + MESSAGES;
        self.flags.more = false;
        loop {
            self.take_outbox(now);
            let reading = self.is_reading();
            if reading && self.proto.is_paused() {
                self.proto.resume(now);
            }
            let may = self.proto.has_unread() || self.io.as_ref().is_some_and(may_read);
            let read = reading && may && self.poll_read(cx, now).is_ready();
            worked |= read;
            if read || rounds == 0 {
                let polled = self.app.poll(cx);
                self.flags.panicked |= matches!(polled, Poll::Ready(Err(Panicked)));
            }
            self.take_outbox(now);
            if self.proto.release_end() && !self.app.is_companion_here() {
                // The tasks that were woken get their turn before the end is looked at.
                self.write(cx, now);
                cx.waker().wake_by_ref();
                break;
            }
            if self.flags.panicked {
                // What it had sent before goes first.
                self.proto.fail(now, Cause::HandlerPanicked);
            }
            let was_full = self.flags.output_full;
            self.write(cx, now);
            // Nobody waits for input that was left lying while output was full.
            let resumes = was_full && !self.flags.output_full;
            let more = read && (self.proto.has_unread() || self.io.as_ref().is_some_and(may_read));
            let again = (more || resumes) && self.proto.state() != State::Closed;
            if !again && self.sleep_if_idle(cx) {
                break;
            }
            rounds += 1;
            if rounds == ROUNDS || self.proto.counters().messages_received >= enough {
                // The counters are published, and who waits for room is woken.
                self.sleep_if_idle(cx);
                self.flags.more = true;
                break;
            }
        }
        worked
    }

    /// Publishes the counters and sleeps, unless a handle left something to do.
    #[inline]
    fn sleep_if_idle(&mut self, cx: &Context<'_>) -> bool {
        self.publish();
        let is_news = !self.flags.registered
            || self.proto.state() != State::Open
            || self.flags.answered != self.proto.answered();
        if !is_news && self.shared.sleep_lightly() {
            return true;
        }
        let waker = (!self.flags.registered).then(|| Wake::Task(cx.waker().clone()));
        let Some(waiters) = self.shared.sleep(waker, &self.proto) else { return false };
        self.flags.registered = true;
        self.flags.answered = self.proto.answered();
        waiters.into_iter().for_each(Waker::wake);
        true
    }

    /// Ends the connection because its socket failed outside of a turn.
    #[cfg(target_os = "linux")]
    pub(crate) fn fail(&mut self, error: &io::Error, now: Instant) {
        self.proto.handle_io_error(now, error);
        self.finish();
    }

    /// Lets go of the socket and reports the closure.
    fn finish(&mut self) {
        let Some(closure) = self.closure() else { return };
        self.publish();
        if let Some(io) = self.io.as_mut().filter(|_| self.flags.eof && !self.flags.shut) {
            // The peer went first. TLS answers with its goodbye, if the socket takes it at once.
            let _ = Pin::new(io).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
        self.io = None;
        self.report(closure);
        self.flags.finished = true;
    }
}

impl<S, A: App> Driver<S, A> {
    /// Returns how the connection ended, with what nobody will send any more.
    fn closure(&self) -> Option<Arc<Closure>> {
        let mut closure = self.proto.closure()?;
        closure.unsent += u64::from(self.flags.unsent) + self.shared.seal();
        Some(Arc::new(closure))
    }

    /// Tells everybody how the connection ended.
    fn report(&mut self, closure: Arc<Closure>) {
        tracing::info!(id = %self.shared.id, path = %self.shared.path, %closure, "connection closed");
        self.app.close(&self.shared, &closure);
        if let Some(registration) = self.registration.take() {
            registration.end(&closure);
        }
        self.shared.finish(closure);
    }
}

impl<S, A: App> Drop for Driver<S, A> {
    /// Reports the end of a connection whose driver was dropped, such as by a runtime that shuts
    /// down.
    fn drop(&mut self) {
        if self.flags.finished {
            return;
        }
        self.proto.abort(clock::now(), Cause::Cancelled);
        if let Some(closure) = self.closure() {
            self.report(closure);
        }
    }
}
