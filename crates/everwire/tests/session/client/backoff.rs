//! How long a client waits between attempts that come to nothing.

use std::time::Duration;

use everwire::reconnect::ReconnectPolicy;
use tokio::time::Instant;

use crate::scripted;

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
