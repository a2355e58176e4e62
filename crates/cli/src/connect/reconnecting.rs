//! `--reconnect`: one connection after the other, from stdin to stdout.

use std::future::pending;

use everwire::{
    Message, Sender,
    reconnect::{
        AttemptError, Incoming, NotSent, ReconnectingClient, ReconnectingReceiver,
        ReconnectingSender, State, Stop,
    },
};

use super::{
    Args, Output, Verdict,
    exchange::{Exchange, ping},
    output::Room,
    progress::States,
    verbose::Verbose,
};

/// Connects, again and again, until there is an end to it.
pub(super) async fn run(args: Args) -> Verdict {
    let output = Output::start(args.bin);
    let client = match client(&args, &output) {
        Ok(client) => client,
        Err(error) => return Verdict::usage(error),
    };
    match Exchange::start(args, output) {
        Ok(exchange) => go(exchange, client).await,
        Err(error) => Verdict::usage(error),
    }
}

fn client(args: &Args, output: &Output) -> Result<ReconnectingClient, String> {
    let client = args.client(args.verbose.then(|| Verbose(output.notices())))?;
    let notices = output.notices();
    let mut builder = ReconnectingClient::builder(client);
    if let Some(interval) = args.ping {
        let notices = notices.clone();
        builder = builder.on_connect(move |ws, _| {
            tokio::spawn(ping(Sender::clone(&ws), interval.0, notices.clone()));
            async { Ok(ws) }
        });
    }
    if let Some(adaptive) = args.adaptive() {
        builder = builder.adaptive_keepalive(adaptive);
    }
    let mut states = States::default();
    builder = builder.on_state(move |state| notices.say_all(states.state(state)));
    Ok(builder.start())
}

async fn go(mut exchange: Exchange, client: ReconnectingClient) -> Verdict {
    let (sender, mut receiver) = client.split();
    let room = exchange.output.room();
    // Stdin is read once the first attempt is over: what is refused for good is told first.
    let mut reads_stdin = false;
    // A message that waits for a connection, or for room on it.
    let mut outgoing = None;
    loop {
        tokio::select! {
            incoming = next(&room, &mut receiver) => match incoming {
                Some(incoming) => exchange.received(incoming.message),
                None => break,
            },
            () = attempted(&sender), if !reads_stdin => {
                reads_stdin = true;
                exchange.read_stdin();
            }
            () = deliver(&sender, outgoing.as_ref()) => outgoing = None,
            message = exchange.attend(outgoing.is_none()) => outgoing = message.or(outgoing),
        }
        if let Some(verdict) = exchange.interrupted() {
            return verdict;
        }
        if let Some(close) = exchange.take_close() {
            outgoing = None;
            drop(sender.close(close.code, &close.reason));
        }
    }
    let stop = sender.stopped().await;
    if matches!(stop, Stop::Closed(None))
        && let Some(by) = exchange.interrupt_by()
    {
        return exchange.end_with(Verdict::interrupted(by)); // There was nothing to close.
    }
    exchange.end(|missing| match stop {
        Stop::Closed(Some(closure)) | Stop::Ended(closure) => Verdict::closed(&closure, missing),
        Stop::Failed(error) => match &*error {
            AttemptError::Connect(error) => Verdict::no_connection(error),
            error => Verdict::down(&error.to_string(), missing),
        },
        stop => Verdict::down(&stop.to_string(), missing),
    })
}

/// Waits until a connection is open, or the first attempt has failed and another one will follow.
async fn attempted(sender: &ReconnectingSender) {
    let mut states = sender.states();
    loop {
        match states.next().await {
            Some(State::Connecting { attempt: 1, .. }) => {}
            Some(State::Stopped(_)) | None => pending().await,
            Some(_) => return,
        }
    }
}

/// Waits for room on stdout and for a message.
async fn next(room: &Room, receiver: &mut ReconnectingReceiver) -> Option<Incoming> {
    room.ready().await;
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
