//! How long a client waits between attempts that come to nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use everwire::{
    CloseCode, Message, Server, WebSocket,
    reconnect::ReconnectPolicy,
    session::{ClientState, SUBPROTOCOL},
};
use tokio::time::Instant;

use super::{
    builder,
    faulty::{WELCOME, bytes},
};
use crate::{
    common::{soon, start},
    scripted,
};

/// What a client waits at most before each of these attempts to come back.
fn longest() -> Vec<Duration> {
    let policy = ReconnectPolicy::default();
    (0..12).map(|n| policy.longest_delay(n, Duration::ZERO)).collect()
}

/// In virtual time: each attach succeeds, and is closed at once.
#[tokio::test(start_paused = true)]
async fn the_waits_for_a_server_that_attaches_and_closes_grow_as_if_it_had_not_attached() {
    let (builder, mut connections) = scripted::piped();
    let _client = builder.start().unwrap();
    let mut waits = Vec::new();
    let mut closed = None;
    for epoch in 1..=13 {
        let io = connections.recv().await.unwrap();
        waits.extend(closed.map(|at: Instant| at.elapsed()));
        let mut raw = scripted::attach(io, epoch).await;
        while !matches!(raw.read().await, Some((0x82, ack)) if ack[0] == 0x20) {}
        raw.write(&scripted::close(4500, "")).await;
        raw.read_close().await;
        closed = Some(Instant::now());
    }
    let room = Duration::from_millis(10); // A clock of whole milliseconds.
    assert!(waits.iter().zip(longest()).all(|(wait, most)| *wait <= most + room), "{waits:?}");
    // Each is drawn from half a minute: that none exceeds a second happens once in 10⁸.
    let longest = waits[6..].iter().max();
    assert!(longest > Some(&Duration::from_secs(1)), "they began anew: {waits:?}");
}

/// Each attach succeeds, and is closed at once: the delays grow as if none had.
#[tokio::test]
async fn a_server_that_attaches_and_closes_without_end_is_tried_ever_more_slowly() {
    let n_attached = Arc::new(AtomicU32::new(0));
    let counter = n_attached.clone();
    let close = move |mut ws: WebSocket| {
        let epoch = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let welcome = match epoch {
            1 => WELCOME.to_owned(),
            epoch => format!("6001{epoch:02x}{}", &WELCOME[6..]),
        };
        async move {
            ws.recv().await;
            ws.send(Message::from(bytes(&welcome))).await.ok();
            ws.recv().await; // ACK
            ws.close(CloseCode::new(4500).unwrap(), "").unwrap().await;
        }
    };
    let server = Server::builder().subprotocols([SUBPROTOCOL]).pull("/", close);
    let (_server, addr) = start(server).await;
    let client = builder(&format!("ws://{addr}/")).early(false).start().unwrap();
    let mut states = client.states();
    let (mut attempts, mut last) = (Vec::new(), 0);
    while last < 6 {
        let state = soon(states.next()).await.expect("it goes on");
        if let ClientState::Detached { attempt, .. } = state {
            attempts.push(attempt);
            last = attempt;
        }
    }
    assert!(attempts.is_sorted(), "the count began anew: {attempts:?}");
    assert!(n_attached.load(Ordering::Relaxed) >= 5);
}
