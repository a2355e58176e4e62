//! `--reconnect`: one connection after the other, from stdin to stdout.

use std::{
    future::{Future, pending},
    pin::Pin,
};

use everwire::{
    CloseFrame, Message,
    reconnect::{
        AttemptError, Incoming, NotSent, ReconnectingClient, ReconnectingReceiver,
        ReconnectingSender, State, Stop,
    },
};
use tokio::sync::mpsc;

use super::{
    Args, Output, Verdict,
    input::{self, Input},
    session::{Interrupts, PATIENCE, deadline, read},
    verbose::Verbose,
};

/// What is known while the client runs.
pub(super) struct Reconnecting {
    args: Args,
    close: CloseFrame,
    output: Output,
    sender: ReconnectingSender,
    receiver: ReconnectingReceiver,
    /// Stdin, from the first connection to its end.
    input: Option<mpsc::Receiver<Input>>,
    /// A message that waits for a connection, or for room on it.
    outgoing: Option<Message<'static>>,
    n_received: u64,
    is_closing: bool,
    verdict: Option<Verdict>,
}

impl Reconnecting {
    /// Connects, again and again, until there is an end to it.
    pub(super) async fn run(args: Args) -> Verdict {
        let output = Output::start(args.bin);
        let started = args.close_frame().and_then(|close| {
            let client = args.client(args.verbose.then(|| Verbose(output.notices())))?;
            Ok((close, client))
        });
        let (close, client) = match started {
            Ok(started) => started,
            Err(error) => return Verdict::usage(error),
        };
        let notices = output.notices();
        let mut builder = ReconnectingClient::builder(client);
        builder = builder.on_state(move |state| match state {
            State::Stopped(_) => {} // The last line says why.
            state => notices.say(format!("= {state}")),
        });
        if let Some(adaptive) = args.adaptive() {
            builder = builder.adaptive_keepalive(adaptive);
        }
        let (sender, receiver) = builder.start().split();
        let time = deadline(args.timeout());
        tokio::pin!(time);
        let session = Self {
            args,
            close,
            output,
            sender,
            receiver,
            input: None,
            outgoing: None,
            n_received: 0,
            is_closing: false,
            verdict: None,
        };
        session.go(time).await
    }

    async fn go(mut self, mut time: Pin<&mut impl Future<Output = ()>>) -> Verdict {
        let mut interrupts = Interrupts::new();
        let (mut n_interrupts, mut has_time, mut has_reader) = (0, true, true);
        let mut reads = false;
        loop {
            let sender = self.sender.clone();
            tokio::select! {
                incoming = next(&self.output, &mut self.receiver) => match incoming {
                    Some(incoming) => self.received(incoming),
                    None => break,
                },
                Ok(_) = sender.open(), if !reads => {
                    reads = true;
                    let limit = self.args.max_message();
                    self.input = Some(input::start(self.args.bin, limit, &self.output));
                }
                () = deliver(&sender, self.outgoing.as_ref()) => self.outgoing = None,
                input = read(&mut self.input), if self.outgoing.is_none() => match input {
                    Some(Input::Interrupt) => {
                        n_interrupts += 1;
                        self.interrupt();
                    }
                    input => self.read(input),
                },
                () = interrupts.next() => {
                    n_interrupts += 1;
                    self.interrupt();
                }
                () = &mut time, if has_time => {
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
            if n_interrupts > 1 {
                return Verdict::interrupted();
            }
        }
        self.end().await
    }

    fn received(&mut self, incoming: Incoming) {
        let has_all = self.args.count.is_some_and(|count| self.n_received >= count);
        if has_all || self.verdict.is_some() {
            return;
        }
        self.n_received += 1;
        self.output.message(incoming.message);
        if self.args.count == Some(self.n_received) {
            self.close();
        }
    }

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

    fn close(&mut self) {
        self.outgoing = None;
        if !self.is_closing {
            self.is_closing = true;
            drop(self.sender.close(self.close.code, &self.close.reason));
        }
    }

    fn interrupt(&mut self) {
        if self.args.count.is_some_and(|count| self.n_received < count) {
            self.verdict.get_or_insert_with(Verdict::interrupted);
        }
        self.close();
    }

    fn progress(&self) -> String {
        match self.args.count {
            Some(count) => format!("{} of {count} messages came", self.n_received),
            None => format!("{} messages came", self.n_received),
        }
    }

    /// Writes the rest and judges the end.
    async fn end(self) -> Verdict {
        let missing = self.args.count.filter(|&count| self.n_received < count);
        let missing = missing.map(|_| self.progress());
        let stop = self.sender.stopped().await;
        let mut verdict = self.verdict.unwrap_or_else(|| match stop {
            Stop::Closed(Some(closure)) | Stop::Ended(closure) => {
                Verdict::closed(&closure, missing)
            }
            Stop::Failed(error) => match &*error {
                AttemptError::Connect(error) => Verdict::no_connection(error),
                error => Verdict::down(&error.to_string(), missing),
            },
            stop => Verdict::down(&stop.to_string(), missing),
        });
        let is_lost = self.output.finish((verdict.status == 6).then_some(PATIENCE));
        if is_lost && verdict.status == 0 {
            verdict.status = 1;
        }
        verdict
    }
}

/// Waits for room on stdout and for a message.
async fn next(output: &Output, receiver: &mut ReconnectingReceiver) -> Option<Incoming> {
    output.ready().await;
    receiver.recv().await
}

/// Hands a message to a connection, waiting for one; never returns if there is no message.
async fn deliver(sender: &ReconnectingSender, message: Option<&Message<'static>>) {
    let Some(message) = message else { return pending().await };
    while sender.send(message.clone()).await == Err(NotSent::Down) {
        // It may be open and already going away: then another one follows.
        if sender.open().await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
