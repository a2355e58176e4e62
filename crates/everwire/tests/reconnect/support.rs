//! Scripted servers, quick clients, and what takes notes of their states.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use everwire::{
    Client, Server, WebSocket,
    dial::ProxyConfig,
    reconnect::{
        AttemptError, ReconnectBuilder, ReconnectPolicy, ReconnectingClient, State, StateAudit,
        Stop,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::{Notes, read_head, soon};

pub(crate) const OPEN: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// What a scripted server does with one connection, once it has the request.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes this and goes on reading, without a word.
    Keep(Vec<u8>),
}

pub(crate) fn say(text: &str) -> Step {
    Step::Say(text.into())
}

/// Opens, sends these frames, and waits for the client to end it.
pub(crate) fn open_with(frames: &[u8]) -> Step {
    Step::Keep([OPEN.as_bytes(), frames].concat())
}

pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    [&[0x88, payload.len() as u8], &*payload].concat()
}

/// A server that does one step for each connection, and the heads of the requests it got.
pub(crate) async fn script(steps: Vec<Step>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    tokio::spawn(async move {
        for step in steps {
            let mut io = listener.accept().await.unwrap().0;
            let head = read_head(&mut io).await;
            let key = field(&head, "sec-websocket-key");
            let accept = everwire_proto::handshake::accept_key(&key);
            seen.lock().unwrap().push(head);
            let (Step::Say(bytes) | Step::Keep(bytes)) = &step;
            // Only the head is text; frames follow it.
            let answer = match bytes.windows(6).position(|window| window == b"ACCEPT") {
                Some(at) => [&bytes[..at], accept.as_bytes(), &bytes[at + 6..]].concat(),
                None => bytes.clone(),
            };
            io.write_all(&answer).await.ok();
            if let Step::Keep(_) = step {
                tokio::spawn(async move { while io.read_u8().await.is_ok() {} });
            }
        }
    });
    (url, heads)
}

/// A policy that is quick and still tells first from later retries.
pub(crate) fn quick() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::default();
    policy.first_spread = Duration::from_millis(10);
    policy.base = Duration::from_millis(5);
    policy.cap = Duration::from_millis(20);
    policy.wake_spacing = Duration::from_millis(5);
    policy.attempt_max = Duration::from_secs(20);
    policy
}

pub(crate) fn builder(url: &str) -> ReconnectBuilder {
    let client = Client::new(url).unwrap().proxy(ProxyConfig::Direct);
    ReconnectingClient::builder(client).policy(quick())
}

/// Notes every state and fails the test at the first that is out of order.
pub(crate) fn audited(builder: ReconnectBuilder, notes: &Notes) -> ReconnectBuilder {
    let (notes, mut audit) = (notes.clone(), StateAudit::default());
    builder.on_state(move |state| {
        if let Err(error) = audit.check(state) {
            notes.add(format!("ILLEGAL {error}"));
        }
        notes.add(match state {
            State::Connecting { attempt, delay: Duration::ZERO, .. } => {
                format!("attempt {attempt}")
            }
            State::Connecting { .. } => return,
            State::Stopped(_) => "stopped".into(),
            state => state.to_string(),
        });
    })
}

/// Starts a client against a script and returns why it stopped and what its states were.
pub(crate) async fn stops(steps: Vec<Step>) -> (Stop, Vec<String>) {
    let (url, _) = script(steps).await;
    let notes = Notes::default();
    let client = audited(builder(&url), &notes).start();
    let stop = soon(client.stopped()).await;
    let n = notes.all().len().max(2);
    let states = notes.until(n).await;
    drop(client);
    (stop, states)
}

pub(crate) fn status(stop: &Stop) -> Option<u16> {
    match stop {
        Stop::Failed(error) => match &**error {
            AttemptError::Connect(error) => error.status().map(|status| status.as_u16()),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn field(head: &str, name: &str) -> String {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|field| field.0.eq_ignore_ascii_case(name)).expect(name).1.into()
}

pub(crate) async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
    ws.closed().await;
}

pub(crate) async fn echo_server(addr: &str) -> (Server, String) {
    let server = Server::builder().bind(addr).pull("/", echo).start().await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    (server, addr)
}

/// A server that notes what it receives, and says so.
pub(crate) async fn noting() -> (Server, String, Notes) {
    let notes = Notes::default();
    let serve = {
        let notes = notes.clone();
        move |mut ws: WebSocket| {
            let notes = notes.clone();
            async move {
                while let Some(message) = ws.recv().await {
                    notes.add(message.as_text().unwrap());
                }
                notes.add(ws.closed().await.to_string());
            }
        }
    };
    let server = Server::builder().bind("127.0.0.1:0").pull("/", serve).start().await.unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    (server, url, notes)
}
