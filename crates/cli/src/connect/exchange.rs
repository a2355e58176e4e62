//! What passes between stdin, a server and stdout, on whichever connection.

use std::{
    future::pending,
    pin::Pin,
    time::{Duration, Instant},
};

use everwire::{CloseFrame, Message, Sender};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use super::{
    Args, Output, Verdict,
    input::{self, Input},
    interrupts::{Interrupt, Interrupts},
    output::Notices,
};

/// Time for a stdout that nobody reads, when we must end.
const PATIENCE: Duration = Duration::from_secs(1);

/// What `--timeout` says when nothing else can be said.
const NO_CONNECTION: &str = "no connection yet";

/// Everything but the connection.
pub(super) struct Exchange {
    pub(super) args: Args,
    pub(super) output: Output,
    close: CloseFrame,
    /// There once a connection was open, and gone when stdin has ended.
    input: Option<mpsc::Receiver<Input>>,
    interrupts: Interrupts,
    n_interrupts: u32,
    /// The last of them.
    interrupt: Interrupt,
    /// When to give up; gone when that is over.
    deadline: Option<Pin<Box<Sleep>>>,
    /// There once time is up or the user wants to stop: how long a session may take to end.
    farewell: Option<Pin<Box<Sleep>>>,
    /// The farewell took too long.
    is_late: bool,
    /// A server has attached our session.
    pub(super) has_attached: bool,
    has_reader: bool,
    n_received: u64,
    close_wish: CloseWish,
    /// What was decided before the connection ended.
    verdict: Option<Verdict>,
}

/// Whether the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseWish {
    None,
    Asked,
    Done,
}

impl Exchange {
    /// Begins, without a connection.
    ///
    /// # Errors
    /// What is wrong with the arguments, for people.
    pub(super) fn start(args: Args, output: Output) -> Result<Self, String> {
        Ok(Self {
            output,
            close: args.close_frame()?,
            input: None,
            interrupts: Interrupts::new(),
            n_interrupts: 0,
            interrupt: Interrupt::Interrupt,
            deadline: args.timeout().map(|timeout| Box::pin(sleep(timeout))),
            farewell: None,
            is_late: false,
            has_attached: false,
            has_reader: true,
            n_received: 0,
            close_wish: CloseWish::None,
            verdict: None,
            args,
        })
    }

    /// Begins to read stdin.
    pub(super) fn read_stdin(&mut self) {
        let (bin, limit) = (self.args.bin, self.args.max_message());
        self.input = Some(input::start(bin, limit, &self.output));
    }

    /// Waits for a reason to give up before there is a connection.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn given_up(&mut self) -> Verdict {
        tokio::select! {
            () = passed(&mut self.deadline) => self.timed_out(NO_CONNECTION),
            by = self.interrupts.next() => Verdict::interrupted(by),
        }
    }

    /// Waits for something that does not come from the connection, and takes it. Returns a message
    /// to send, if it is one; it comes only if `reads`.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn attend(&mut self, reads: bool) -> Option<Message<'static>> {
        tokio::select! {
            input = read(&mut self.input), if reads => match input {
                Some(Input::Message(message)) => return Some(message),
                Some(Input::Interrupt) => self.interrupt(Interrupt::Interrupt),
                Some(Input::Error(error)) => {
                    self.verdict = Some(Verdict::usage(error));
                    self.close();
                }
                None => {
                    self.input = None;
                    // With -n the answers are waited for.
                    if self.args.count.is_none() {
                        self.close();
                    }
                }
            },
            by = self.interrupts.next() => self.interrupt(by),
            () = passed(&mut self.deadline) => {
                self.deadline = None;
                let progress = if self.is_nowhere() { NO_CONNECTION.into() } else { self.progress() };
                self.verdict = Some(self.timed_out(&progress));
                self.hurry();
                self.close();
            }
            () = passed(&mut self.farewell) => {
                self.farewell = None;
                self.is_late = true;
            }
            () = self.output.broken(), if self.has_reader => {
                self.has_reader = false;
                self.verdict.get_or_insert_with(Verdict::unread);
                self.close();
            }
        }
        None
    }

    /// Takes a message that came.
    pub(super) fn received(&mut self, message: Message<'static>) {
        if self.discards() {
            return;
        }
        self.n_received += 1;
        self.output.message(message);
        if self.args.count == Some(self.n_received) {
            self.close();
        }
    }

    /// Returns the Close to send behind everything that was sent, once it is time.
    pub(super) fn take_close(&mut self) -> Option<CloseFrame> {
        if self.close_wish != CloseWish::Asked {
            return None;
        }
        self.close_wish = CloseWish::Done;
        Some(self.close.clone())
    }

    /// Returns whether messages are of no more interest.
    pub(super) fn discards(&self) -> bool {
        let has_all = self.args.count.is_some_and(|count| self.n_received >= count);
        has_all || self.verdict.is_some()
    }

    /// Returns how it ends, if the end is not to be waited for.
    pub(super) fn interrupted(&self) -> Option<Verdict> {
        (self.n_interrupts > 1).then(|| Verdict::interrupted(self.interrupt))
    }

    /// Returns whether the user wants to stop.
    pub(super) fn was_interrupted(&self) -> bool {
        self.interrupt_by().is_some()
    }

    /// Returns by which signal the user said so, the last time.
    pub(super) fn interrupt_by(&self) -> Option<Interrupt> {
        (self.n_interrupts > 0).then_some(self.interrupt)
    }

    /// Returns whether the end of a session is not to be waited for any more: time is up, or the user
    /// wants to stop. What came before an end that `is_over` is still printed, unless time is up.
    pub(super) fn gives_up(&mut self, is_over: bool) -> bool {
        if !std::mem::take(&mut self.is_late) || is_over && self.verdict.is_none() {
            return false;
        }
        self.verdict.get_or_insert(Verdict::interrupted(self.interrupt));
        true
    }

    /// Returns whether the Close was handed out.
    pub(super) fn has_closed(&self) -> bool {
        self.close_wish == CloseWish::Done
    }

    /// Writes the rest and judges the end; `judge` is told which messages did not come.
    pub(super) fn end(self, judge: impl FnOnce(Option<String>) -> Verdict) -> Verdict {
        let missing = self.args.count.filter(|&count| self.n_received < count);
        let missing = missing.map(|_| self.progress());
        let mut verdict = self.verdict.unwrap_or_else(|| judge(missing));
        let is_lost = self.output.finish((verdict.status == 6).then_some(PATIENCE));
        if is_lost && verdict.status == 0 {
            verdict.status = 1;
        }
        verdict
    }

    /// Ends without a connection.
    pub(super) fn end_with(mut self, verdict: Verdict) -> Verdict {
        self.verdict = Some(verdict);
        self.end(|_| Verdict::unread())
    }

    fn close(&mut self) {
        if self.close_wish == CloseWish::None {
            self.close_wish = CloseWish::Asked;
        }
    }

    fn interrupt(&mut self, by: Interrupt) {
        self.n_interrupts += 1;
        self.interrupt = by;
        if self.has_nothing() || self.args.count.is_some_and(|count| self.n_received < count) {
            self.verdict.get_or_insert(Verdict::interrupted(by));
        }
        self.hurry();
        self.close();
    }

    /// Returns whether a session was wanted and no server has attached it.
    fn is_nowhere(&self) -> bool {
        self.args.has_session() && !self.has_attached
    }

    /// Returns whether there is no session to come back to, here or in a store.
    fn has_nothing(&self) -> bool {
        self.is_nowhere() && self.args.session_store.is_none()
    }

    /// Bounds the wait for the end of a session. One that no server knows has nothing to wait for.
    fn hurry(&mut self) {
        let time = if self.has_nothing() { Duration::ZERO } else { self.args.close_timeout() };
        self.farewell.get_or_insert_with(|| Box::pin(sleep(time)));
    }

    fn timed_out(&self, what: &str) -> Verdict {
        Verdict::timeout(self.args.timeout().unwrap_or_default(), what)
    }

    /// Says how many messages came of those that were wanted.
    fn progress(&self) -> String {
        match self.args.count {
            Some(count) => format!("{} of {count} messages came", self.n_received),
            None => format!("{} messages came", self.n_received),
        }
    }
}

async fn passed(deadline: &mut Option<Pin<Box<Sleep>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => pending().await,
    }
}

async fn read(input: &mut Option<mpsc::Receiver<Input>>) -> Option<Input> {
    match input {
        Some(input) => input.recv().await,
        None => pending().await,
    }
}

/// Pings at an interval and prints the round-trip times, until the connection ends.
pub(super) async fn ping(sender: Sender, interval: Duration, notices: Notices) {
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            _ = sender.closed() => return,
        }
        let sent = Instant::now();
        if sender.flush_and_ping().await.is_err() {
            return;
        }
        notices.say(format!("pong after {:.1?}", sent.elapsed()));
    }
}
