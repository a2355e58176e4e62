//! One connection, from stdin to stdout.

use std::io::{self, IsTerminal};

use everwire::{Message, Receiver, Sender, WebSocket};

use super::{
    Args, Output, Verdict,
    exchange::{Exchange, ping},
    output::Room,
    verbose::Verbose,
};

/// Connects, and runs the connection to its end.
pub(super) async fn run(args: Args) -> Verdict {
    let output = Output::start(args.bin);
    let client = match args.client(args.verbose.then(|| Verbose(output.notices()))) {
        Ok(client) => client,
        Err(error) => return Verdict::usage(error),
    };
    let mut exchange = match Exchange::start(args, output) {
        Ok(exchange) => exchange,
        Err(error) => return Verdict::usage(error),
    };
    tokio::select! {
        connected = client.connect() => match connected {
            Ok(ws) => go(exchange, ws).await,
            Err(error) => exchange.end_with(Verdict::no_connection(&error)),
        },
        verdict = exchange.given_up() => exchange.end_with(verdict),
    }
}

async fn go(mut exchange: Exchange, ws: WebSocket) -> Verdict {
    welcome(&mut exchange, &ws);
    let (sender, mut receiver) = ws.split();
    let room = exchange.output.room();
    // A message that waits for room.
    let mut outgoing = None;
    loop {
        let (discards, reads) = (exchange.discards(), outgoing.is_none());
        tokio::select! {
            message = next(&room, &mut receiver, discards) => match message {
                Some(message) => exchange.received(message),
                None => break,
            },
            permit = sender.reserve(), if !reads => {
                if let (Ok(permit), Some(message)) = (permit, outgoing.take()) {
                    permit.send(message).ok();
                }
            }
            message = exchange.attend(reads) => outgoing = message.or(outgoing),
        }
        if let Some(verdict) = exchange.interrupted() {
            return verdict;
        }
        if let Some(close) = exchange.take_close() {
            outgoing = None;
            drop(sender.close(close.code, &close.reason));
        }
    }
    exchange.end(|missing| match receiver.closure() {
        Some(closure) => Verdict::closed(&closure, missing),
        None => Verdict::usage("connection ended without a closure"),
    })
}

/// Begins what goes with an open connection, and says that it is open.
fn welcome(exchange: &mut Exchange, ws: &WebSocket) {
    exchange.read_stdin();
    let notices = exchange.output.notices();
    if io::stdin().is_terminal() {
        let subprotocol = ws.subprotocol().map(|name| format!(", subprotocol {name}"));
        notices.say(format!("connected{} (ctrl-d closes)", subprotocol.unwrap_or_default()));
    }
    if exchange.args.verbose {
        notices.say("= open");
    }
    if let Some(interval) = exchange.args.ping {
        tokio::spawn(ping(Sender::clone(ws), interval.0, notices));
    }
}

/// Waits for room on stdout and for a message.
async fn next(room: &Room, receiver: &mut Receiver, discards: bool) -> Option<Message<'static>> {
    if !discards {
        room.ready().await;
    }
    receiver.recv().await
}
