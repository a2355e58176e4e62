//! `--session`: one session over any number of connections, from stdin to stdout.

use std::{future::pending, time::Duration};

use everwire::{
    Message,
    session::{
        Acks, ClientEnd, ClientEvent, ClientReceiver, ClientSender, ClientState, Code, Direction,
        GapReason, Kind, Receipt, SessionClient, SessionConfig, SessionMessage, SessionSendError,
    },
};

use super::{
    Args, Output, Verdict,
    escape::escape,
    exchange::Exchange,
    output::{Notices, Room},
    progress::Progress,
    store::{Behind, Store},
    verbose::{Verbose, VerboseSession},
    verdict::Course,
};

/// Messages that are shown when they are lost, and how much of each.
const SHOWN: usize = 20;
const SHOWN_CHARS: usize = 60;

/// Connects, again and again, until the session has ended.
pub(super) async fn run(args: Args) -> Verdict {
    let output = Output::start(args.bin);
    let code = match close_code(&args) {
        Ok(code) => code,
        Err(error) => return Verdict::usage(error),
    };
    let is_behind = Behind::default();
    let client = match client(&args, &output, &is_behind) {
        Ok(client) => client,
        Err(error) => return Verdict::usage(error),
    };
    match Exchange::start(args, output) {
        Ok(exchange) => go(exchange, client, code, is_behind).await,
        Err(error) => Verdict::usage(error),
    }
}

fn close_code(args: &Args) -> Result<Code, String> {
    let code = u16::from(args.close_frame()?.code);
    Code::new(code.into()).ok_or_else(|| {
        format!("invalid value '{code}' for '--close': a session ends with 1000, or 3000 to 4999")
    })
}

fn client(args: &Args, output: &Output, is_behind: &Behind) -> Result<SessionClient, String> {
    let observer = args.verbose.then(|| VerboseSession::new(Verbose(output.notices())));
    let mut builder = SessionClient::builder(args.client(observer)?).config(config(args));
    if let Some(path) = &args.session_store {
        let store = Store::open(path, is_behind.clone(), &output.notices())?;
        // A message is done when it was written to stdout.
        builder = builder.store(store).acks(Acks::Manual);
    }
    builder.start().map_err(|error| error.to_string())
}

fn config(args: &Args) -> SessionConfig {
    let mut config = SessionConfig::client();
    config.max_message = args.max_message();
    config.bye_timeout = args.close_timeout();
    config.ttl = Duration::ZERO; // As long as the server likes.
    config
}

async fn go(exchange: Exchange, client: SessionClient, code: Code, is_behind: Behind) -> Verdict {
    let (sender, mut receiver) = client.split();
    let room = exchange.output.room();
    let mut states = sender.states();
    // Stdin is read once the first attempt is over: what is refused for good is told first.
    let (mut reads_stdin, mut has_states) = (false, true);
    // A message that waits for room in the buffer.
    let mut outgoing = None;
    let mut run = Run::new(exchange, sender);
    let end = loop {
        tokio::select! {
            event = next(&room, &mut receiver) => match event {
                Some(ClientEvent::Ended(end)) => break end,
                Some(event) => run.event(&receiver, event),
                None => break run.sender.ended().await,
            },
            state = states.next(), if has_states => {
                has_states = state.as_ref().is_some_and(|state| state.ended().is_none());
                run.notices.say_all(run.progress.state(state.as_ref()));
                reads_stdin = reads_stdin || look(&mut run.exchange, state.as_ref());
            }
            sent = deliver(&run.sender, outgoing.as_ref()) => {
                outgoing = None;
                run.lost |= is_refused(&run.notices, sent);
            }
            message = run.exchange.attend(outgoing.is_none()) => outgoing = message.or(outgoing),
        }
        if let Some(verdict) = run.exchange.interrupted() {
            return verdict;
        }
        if let Some(close) = run.exchange.take_close() {
            outgoing = None;
            run.close(code, &close.reason);
        }
        if run.exchange.gives_up(run.sender.state().ended().is_some()) {
            break run.sender.leave().await;
        }
    };
    run.sender.ended().await; // Until all is closed.
    conclude(run.exchange, &end, code, run.lost, is_behind.get())
}

/// What becomes of a session's events.
struct Run {
    exchange: Exchange,
    sender: ClientSender,
    notices: Notices,
    progress: Progress,
    has_store: bool,
    /// Messages were lost.
    lost: bool,
    /// The last message that stdout was given, and whether no more are.
    shown: Option<Receipt>,
    is_leaving: bool,
}

impl Run {
    fn new(exchange: Exchange, sender: ClientSender) -> Self {
        Self {
            notices: exchange.output.notices(),
            has_store: exchange.args.session_store.is_some(),
            exchange,
            sender,
            progress: Progress::default(),
            lost: false,
            shown: None,
            is_leaving: false,
        }
    }

    /// Prints a message, or tells what happened.
    fn event(&mut self, receiver: &ClientReceiver, event: ClientEvent) {
        match event {
            ClientEvent::Message(message) => self.message(receiver, message),
            event => {
                self.exchange.has_attached |= is_attached(&event);
                self.notices.say_all(self.progress.event(&event));
                self.lost |= tell(&self.notices, &event);
            }
        }
    }

    fn message(&mut self, receiver: &ClientReceiver, message: SessionMessage) {
        if self.is_leaving || self.has_store && self.exchange.discards() {
            return; // With a store the next run has it.
        }
        let receipt = message.number.filter(|_| self.has_store);
        let receipt = receipt.and_then(|_| receiver.receipt());
        self.exchange.received(plain(message));
        if let Some(receipt) = receipt {
            self.shown = Some(receipt);
            let sender = self.sender.clone();
            self.exchange.output.then(move || sender.release(receipt));
        }
    }

    /// Says goodbye, or leaves the session to the next run if that was what the user wanted.
    fn close(&mut self, code: Code, reason: &str) {
        if self.has_store && self.exchange.was_interrupted() {
            self.is_leaving = true;
            leave(&self.exchange.output, &self.sender, self.shown);
        } else {
            drop(self.sender.close(code, reason));
        }
    }
}

/// Lists what is left over, and judges the end.
fn conclude(exchange: Exchange, end: &ClientEnd, code: Code, lost: bool, behind: bool) -> Verdict {
    let (attached, asked) = (exchange.has_attached, exchange.has_closed().then_some(code));
    let were_sent = attached || exchange.args.session_store.is_some();
    unacknowledged(&exchange.output.notices(), &end.unacknowledged, were_sent);
    exchange
        .end(|missing| Verdict::session(end, &Course { attached, asked, lost, behind }, missing))
}

/// Leaves the session to the next run, once stdout has what it was given: else that came again.
fn leave(output: &Output, sender: &ClientSender, shown: Option<Receipt>) {
    let leaving = Leaving(sender.clone());
    output.then(move || {
        if let Some(receipt) = shown {
            leaving.0.release(receipt);
        }
        drop(leaving);
    });
}

/// Leaves when it is dropped, also if stdout takes nothing any more.
struct Leaving(ClientSender);

impl Drop for Leaving {
    fn drop(&mut self) {
        drop(self.0.leave());
    }
}

/// Begins to read stdin once the first attempt is over; returns whether it is.
fn look(exchange: &mut Exchange, state: Option<&ClientState>) -> bool {
    let is_first = matches!(state, Some(ClientState::Connecting { attempt: 1, .. }));
    let is_over = matches!(state, None | Some(ClientState::Ended(_)));
    let reads = !is_first && !is_over;
    if reads {
        exchange.read_stdin();
    }
    reads
}

fn is_attached(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Attached { .. } | ClientEvent::Resumed { .. })
}

/// Tells of a message that is too large to be sent; returns whether it was.
fn is_refused(notices: &Notices, sent: Result<u64, SessionSendError>) -> bool {
    let Err(error @ SessionSendError::TooBig { .. }) = sent else { return false };
    notices.say(format!("! {error}: it is not sent"));
    true
}

/// Tells what the session could not keep; returns whether messages are lost, or may be.
fn tell(notices: &Notices, event: &ClientEvent) -> bool {
    match event {
        ClientEvent::Gap(direction, gap) => {
            let whose = match direction {
                Direction::In => "of the server",
                Direction::Out => "of ours",
            };
            let (from, to, why) = (gap.from, gap.to, why(gap.reason));
            notices.say(format!("! GAP: messages {from} to {to} {whose} will not come: {why}"));
            return true;
        }
        ClientEvent::Lost { unacknowledged: messages, end } => {
            notices.say(match end {
                Some(end) => format!("! LOST: {end}; messages of the server may be missing"),
                None => "! LOST: the server does not have the session any more; messages of its may be missing".to_owned(),
            });
            unacknowledged(notices, messages, true);
            return true;
        }
        _ => {}
    }
    false
}

fn why(reason: GapReason) -> &'static str {
    match reason {
        GapReason::EvictedBytes => "the buffer was full",
        GapReason::EvictedAge => "they were too old",
        GapReason::Conflated => "later ones took their place",
        GapReason::Restart => "an end came back from an older copy of its state",
        GapReason::Oversize => "they are larger than the receiver takes",
        _ => "the sender gave them up",
    }
}

/// Lists messages of ours that may not have arrived, or were never sent.
fn unacknowledged(notices: &Notices, messages: &[SessionMessage], were_sent: bool) {
    if messages.is_empty() {
        return;
    }
    let what = if were_sent { "not acknowledged; each may have arrived" } else { "not sent" };
    notices.say(format!("! {} of ours {what}:", messages.len()));
    for message in messages.iter().take(SHOWN) {
        let shown = match message.as_text() {
            Some(text) => {
                let short: String = text.chars().take(SHOWN_CHARS).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                format!("{}{more}", escape(&short))
            }
            None => format!("[{} bytes]", message.payload.len()),
        };
        notices.say(format!("!   {shown}"));
    }
    if let Some(more @ 1..) = messages.len().checked_sub(SHOWN) {
        notices.say(format!("!   and {more} more"));
    }
}

/// Waits for room on stdout and for what happens next.
async fn next(room: &Room, receiver: &mut ClientReceiver) -> Option<ClientEvent> {
    room.ready().await;
    receiver.next().await
}

/// Hands a message to the session, waiting for room; never returns if there is no message.
async fn deliver(
    sender: &ClientSender,
    message: Option<&Message<'static>>,
) -> Result<u64, SessionSendError> {
    let Some(message) = message else { return pending().await };
    sender.send(message.clone()).await
}

fn plain(message: SessionMessage) -> Message<'static> {
    match message.as_text() {
        Some(text) => Message::text(text.to_owned()),
        None => {
            debug_assert_eq!(message.kind, Kind::Binary);
            Message::binary(message.payload)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_session_is_as_the_options_say() {
        let line = ["", "--session", "--max-message", "7KiB", "--close-timeout", "3m", "ws://h/"];
        let config = config(&Line::parse_from(line).args);
        assert_eq!((config.max_message, config.bye_timeout), (7 << 10, Duration::from_secs(180)));
    }
}
