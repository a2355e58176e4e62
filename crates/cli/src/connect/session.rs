//! One connection, from stdin to stdout.

use std::{
    future::{Future, pending, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use everwire::{CloseFrame, ConnectError, Message, Receiver, Sender, WebSocket};
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};

use super::{
    Args, Output, Verdict,
    input::{self, Input},
    output::Notices,
    verbose::Verbose,
};

/// Time for a stdout that nobody reads, when we must end.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What is known while a connection is open.
pub(super) struct Session {
    args: Args,
    close: CloseFrame,
    output: Output,
    sender: Sender,
    receiver: Receiver,
    /// Gone once stdin has ended or is of no more interest.
    input: Option<mpsc::Receiver<Input>>,
    /// A message that waits for room.
    outgoing: Option<Message<'static>>,
    n_received: u64,
    is_closing: bool,
    /// What was decided before the connection ended.
    verdict: Option<Verdict>,
}

impl Session {
    /// Connects, and runs the connection to its end.
    pub(super) async fn run(args: Args) -> Verdict {
        let output = Output::start(args.bin);
        let close = match args.close_frame() {
            Ok(close) => close,
            Err(error) => return Verdict::usage(error),
        };
        let client = match args.client(args.verbose.then(|| Verbose(output.notices()))) {
            Ok(client) => client,
            Err(error) => return Verdict::usage(error),
        };
        let deadline = deadline(args.timeout());
        tokio::pin!(deadline);
        let mut interrupts = Interrupts::new();
        let connected = tokio::select! {
            connected = client.connect() => connected,
            () = &mut deadline => return timed_out(&args, output, "no connection yet"),
            () = interrupts.next() => return Verdict::interrupted(),
        };
        match connected {
            Ok(ws) => Self::new(args, close, output, ws).go(deadline, interrupts).await,
            Err(error) => failed(&error, output),
        }
    }

    fn new(args: Args, close: CloseFrame, output: Output, ws: WebSocket) -> Self {
        let input = Some(input::start(args.bin, args.max_message(), &output));
        let subprotocol = ws.subprotocol().map(str::to_owned);
        let (sender, receiver) = ws.split();
        if io::IsTerminal::is_terminal(&io::stdin()) {
            let subprotocol =
                subprotocol.map(|name| format!(", subprotocol {name}")).unwrap_or_default();
            let say = format!("connected{subprotocol} (ctrl-d closes)");
            output.notices().say(say);
        }
        if args.verbose {
            output.notices().say("= open");
        }
        if let Some(interval) = args.ping {
            tokio::spawn(ping(sender.clone(), interval.0, output.notices()));
        }
        Self {
            args,
            close,
            output,
            sender,
            receiver,
            input,
            outgoing: None,
            n_received: 0,
            is_closing: false,
            verdict: None,
        }
    }

    async fn go(
        mut self,
        mut deadline: Pin<&mut impl Future<Output = ()>>,
        mut interrupts: Interrupts,
    ) -> Verdict {
        let mut n_interrupts = 0;
        let mut has_time = true;
        let mut has_reader = true;
        loop {
            let discards = self.discards();
            let sender = self.sender.clone();
            tokio::select! {
                message = next(&self.output, &mut self.receiver, discards) => match message {
                    Some(message) => self.received(message),
                    None => break,
                },
                permit = sender.reserve(), if self.outgoing.is_some() => {
                    if let (Ok(permit), Some(message)) = (permit, self.outgoing.take()) {
                        permit.send(message).ok();
                    }
                }
                input = read(&mut self.input), if self.outgoing.is_none() => match input {
                    Some(Input::Interrupt) => {
                        n_interrupts += 1;
                        if self.interrupt(n_interrupts) {
                            return Verdict::interrupted();
                        }
                    }
                    input => self.read(input),
                },
                () = interrupts.next() => {
                    n_interrupts += 1;
                    if self.interrupt(n_interrupts) {
                        return Verdict::interrupted();
                    }
                }
                () = &mut deadline, if has_time => {
                    has_time = false;
                    let timeout = self.args.timeout().unwrap_or_default();
                    self.verdict = Some(Verdict::timeout(timeout, &self.progress()));
                    self.close();
                }
                () = self.output.broken(), if has_reader => {
                    has_reader = false;
                    self.verdict.get_or_insert_with(Verdict::unread);
                    self.close();
                }
            }
        }
        self.end()
    }

    /// Takes a message that came.
    fn received(&mut self, message: Message<'static>) {
        if self.discards() {
            return;
        }
        self.n_received += 1;
        self.output.message(message);
        if self.args.count == Some(self.n_received) {
            self.close();
        }
    }

    /// Returns whether messages are of no more interest.
    fn discards(&self) -> bool {
        let has_all = self.args.count.is_some_and(|count| self.n_received >= count);
        has_all || self.verdict.is_some()
    }

    /// Takes what came from stdin, or its end.
    fn read(&mut self, input: Option<Input>) {
        match input {
            Some(Input::Message(message)) => self.outgoing = Some(message),
            Some(Input::Error(error)) => {
                self.verdict = Some(Verdict::usage(error));
                self.close();
            }
            Some(Input::Interrupt) => {}
            None => {
                self.input = None;
                // With -n the answers are waited for.
                if self.args.count.is_none() {
                    self.close();
                }
            }
        }
    }

    /// Starts the closing handshake behind everything that was sent.
    fn close(&mut self) {
        self.outgoing = None;
        if !self.is_closing {
            self.is_closing = true;
            drop(self.sender.close(self.close.code, &self.close.reason));
        }
    }

    /// Closes at the first Ctrl-C; returns whether it is the second.
    fn interrupt(&mut self, n_interrupts: u32) -> bool {
        if self.args.count.is_some_and(|count| self.n_received < count) {
            self.verdict.get_or_insert_with(Verdict::interrupted);
        }
        self.close();
        n_interrupts > 1
    }

    /// Says how many messages came of those that were wanted.
    fn progress(&self) -> String {
        match self.args.count {
            Some(count) => format!("{} of {count} messages came", self.n_received),
            None => format!("{} messages came", self.n_received),
        }
    }

    /// Writes the rest and judges the closure.
    fn end(self) -> Verdict {
        let missing = self.args.count.filter(|&count| self.n_received < count);
        let missing = missing.map(|_| self.progress());
        let mut verdict = self.verdict.unwrap_or_else(|| match self.receiver.closure() {
            Some(closure) => Verdict::closed(&closure, missing),
            None => Verdict::usage("connection ended without a closure"),
        });
        let is_lost = self.output.finish((verdict.status == 6).then_some(PATIENCE));
        if is_lost && verdict.status == 0 {
            verdict.status = 1;
        }
        verdict
    }
}

/// Waits until the time is up that begins now.
pub(super) fn deadline(timeout: Option<Duration>) -> impl Future<Output = ()> {
    let started = tokio::time::Instant::now();
    async move {
        match timeout.and_then(|timeout| started.checked_add(timeout)) {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
    }
}

/// Waits for room on stdout and for a message.
async fn next(
    output: &Output,
    receiver: &mut Receiver,
    discards: bool,
) -> Option<Message<'static>> {
    if !discards {
        output.ready().await;
    }
    receiver.recv().await
}

pub(super) async fn read(input: &mut Option<mpsc::Receiver<Input>>) -> Option<Input> {
    match input {
        Some(input) => input.recv().await,
        None => pending().await,
    }
}

fn failed(error: &ConnectError, output: Output) -> Verdict {
    output.finish(None);
    Verdict::no_connection(error)
}

fn timed_out(args: &Args, output: Output, what: &str) -> Verdict {
    output.finish(Some(PATIENCE));
    Verdict::timeout(args.timeout().unwrap_or_default(), what)
}

/// Pings at an interval and prints the round-trip times.
async fn ping(sender: Sender, interval: Duration, notices: Notices) {
    loop {
        sleep(interval).await;
        let sent = Instant::now();
        if sender.flush_and_ping().await.is_err() {
            return;
        }
        notices.say(format!("pong after {:.1?}", sent.elapsed()));
    }
}

/// SIGINT and SIGTERM.
#[cfg(unix)]
pub(super) struct Interrupts([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Interrupts {
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    pub(super) async fn next(&mut self) {
        let either = |cx: &mut Context<'_>| {
            let mut signals = self.0.iter_mut().flatten();
            if signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        };
        poll_fn(either).await;
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Interrupts;

#[cfg(not(unix))]
impl Interrupts {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}
