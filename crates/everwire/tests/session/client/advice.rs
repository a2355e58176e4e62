//! Advice to go away whose time the connection does not live to see.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use everwire::{
    Client, Drain,
    dial::ProxyConfig,
    reconnect::{BoxError, ReconnectPolicy},
    session::{ClientState, SessionClient, Sessions},
};
use tokio::time::Instant;

use super::hear;
use crate::{
    common::{soon, until},
    echo, scripted,
};

/// GOAWAY at once, over a second, and after a minute, over 20 s.
const AT_ONCE: [u8; 5] = [0x80, 0, 0xe8, 7, 0];
const LATER: [u8; 8] = [0x80, 0xe0, 0xd4, 3, 0xa0, 0x9c, 1, 0];

/// Checks after how many milliseconds of virtual time a client comes back that was given this advice and
/// whose connection then ended so.
async fn check(goaway: &[u8], close: Option<(u16, &str)>, within: std::ops::Range<u64>) {
    let (builder, mut connections) = scripted::piped();
    let mut client = builder.start().unwrap();
    let mut raw = scripted::welcome(connections.recv().await.unwrap()).await;
    assert_eq!(hear(&mut client).await, "attached");
    raw.write(&scripted::frame(goaway)).await;
    if let Some((code, reason)) = close {
        raw.write(&scripted::close(code, reason)).await;
        assert_eq!(raw.read_close().await.0, code);
    }
    drop(raw);
    let began = Instant::now();
    assert_eq!(hear(&mut client).await, "detached");
    connections.recv().await.unwrap();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!(within.contains(&took), "{goaway:?} {close:?}: {took} ms");
}

#[tokio::test(start_paused = true)]
async fn advice_stands_when_the_close_that_it_foretold_gives_none() {
    for _ in 0..20 {
        check(&AT_ONCE, Some((1012, "")), 0..1010).await;
        check(&AT_ONCE, Some((1001, "leaving")), 0..1010).await;
        check(&LATER, Some((1012, "")), 59_000..80_010).await;
        check(&LATER, Some((1001, "")), 59_000..80_010).await;
    }
}

#[tokio::test(start_paused = true)]
async fn advice_gives_way_to_that_of_the_close_and_to_an_end_that_it_did_not_foretell() {
    for _ in 0..20 {
        check(&LATER, Some((1012, "retry=2000;spread=1000")), 2000..3010).await;
        check(&AT_ONCE, Some((1001, "retry=60000;spread=1000")), 60_000..61_010).await;
        check(&LATER, Some((4408, "")), 0..1010).await;
        check(&LATER, None, 0..1010).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_advice_whose_attempt_has_failed_the_back_off_stands() {
    let longest = Duration::from_secs(40);
    let mut policy = ReconnectPolicy::default();
    (policy.base, policy.cap) = (longest, longest);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let (builder, mut connections) = scripted::piped();
        let mut client = builder.policy(policy.clone()).start().unwrap();
        let mut raw = scripted::welcome(connections.recv().await.unwrap()).await;
        assert_eq!(hear(&mut client).await, "attached");
        raw.write(&scripted::frame(&AT_ONCE)).await;
        drop(connections.recv().await.unwrap());
        let began = Instant::now();
        raw.write(&scripted::close(1012, "")).await;
        raw.read_close().await;
        drop(raw);
        connections.recv().await.unwrap();
        waits.push(began.elapsed());
    }
    assert!(waits.iter().all(|wait| *wait < longest + Duration::from_millis(10)), "{waits:?}");
    assert!(waits.iter().max() > Some(&Duration::from_secs(10)), "at once: {waits:?}");
}

/// A server that has no advice for its Close says by GOAWAY that a second is enough.
#[tokio::test]
async fn a_client_comes_back_to_a_restarted_server_as_it_was_advised() {
    let (server, url, ..) = echo(Sessions::builder()).await;
    let place = Arc::new(Mutex::new(url.clone()));
    let provider = place.clone();
    let client = Client::new(url.as_str()).unwrap().proxy(ProxyConfig::Direct);
    let client = SessionClient::builder(client).url(move |_| {
        let url = provider.lock().unwrap().clone();
        async { Ok::<_, BoxError>(url) }
    });
    let mut client = client.start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    let (_next, url, ..) = echo(Sessions::builder()).await;
    *place.lock().unwrap() = url;
    let mut states = client.states();
    let delays = tokio::spawn(async move {
        let mut delays = Vec::new();
        while let Some(state) = states.next().await {
            match state {
                ClientState::Detached { delay, .. } => delays.push(delay),
                ClientState::Attached if !delays.is_empty() => break,
                _ => {}
            }
        }
        delays
    });
    soon(server.shutdown(Drain::restart())).await.unwrap();
    let delays = soon(delays).await.unwrap();
    assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(1)), "{delays:?}");
    until(|| matches!(client.state(), ClientState::Attached)).await;
}
