//! How a client's session ends: once, and honestly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use everwire::{
    Server,
    reconnect::BoxError,
    session::{Code, EndedBy, Missing, SessionClient, Sessions},
};
use everwire_testkit::Cut;

use super::{builder, client, hear, nowhere, proxied};
use crate::{
    Plain,
    common::{soon, start},
    echo,
};

#[tokio::test]
async fn the_servers_goodbye_is_the_end() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].close(Code::NORMAL, "closing time");
    assert_eq!(
        hear(&mut client).await,
        "session ended by the server with 1000 \"closing time\" []"
    );
    assert_eq!(hear(&mut client).await, "nothing");
    assert_eq!(notes.until(2).await[1], "ended 1000 by Us");
    assert!(soon(client.ended()).await.is_clean());
}

#[tokio::test]
async fn who_is_thrown_out_does_not_come_back() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].end(Code::ENDED, "kicked");
    assert_eq!(hear(&mut client).await, "session ended by the server with 4503 \"kicked\" []");
    assert!(!soon(client.ended()).await.is_clean());
    assert_eq!(sessions.stats().opened, 1);
}

#[tokio::test]
async fn a_goodbye_that_asks_to_come_back_is_told_as_a_loss_and_followed_by_a_new_session() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].close(Code::new(4000).unwrap(), "start afresh");
    let lost = "lost []: session ended by the server with 4000 \"start afresh\"";
    assert_eq!(hear(&mut client).await, lost);
    let mut next = hear(&mut client).await;
    if next == "detached" {
        next = hear(&mut client).await;
    }
    assert_eq!(next, "attached");
    client.send("in the new one").await.unwrap();
    assert_eq!(hear(&mut client).await, "in the new one");
    assert_eq!(sessions.stats().opened, 2);
}

/// It is told when it comes back, as long as the server remembers.
#[tokio::test]
async fn an_end_that_came_while_the_client_was_away_is_told_with_its_code() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let (proxy, url) = proxied(&url).await;
    let is_away = Arc::new(AtomicBool::new(false));
    let (away, to) = (is_away.clone(), url.clone());
    let client = builder(&url).url(move |_| {
        let place = (!away.load(Ordering::Relaxed)).then(|| to.clone());
        async move { place.ok_or_else(|| BoxError::from("nowhere")) }
    });
    let mut client = client.start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    is_away.store(true, Ordering::Relaxed);
    proxy.cut(Cut::Reset);
    assert_eq!(hear(&mut client).await, "detached");
    client.send("unheard").await.unwrap();
    sessions.all()[0].end(Code::new(4000).unwrap(), "start afresh");
    is_away.store(false, Ordering::Relaxed);
    let Some(Err(Missing::Lost { unacknowledged, end: Some(end), .. })) = soon(client.recv()).await
    else {
        panic!("it is not lost")
    };
    assert_eq!((unacknowledged.len(), end.by), (1, EndedBy::Peer));
    assert_eq!(end.to_string(), "session ended by the server with 4000 \"start afresh\"");
    assert_eq!(hear(&mut client).await, "attached");
}

#[tokio::test]
async fn closing_while_detached_sends_what_was_accepted_first() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let (proxy, url) = proxied(&url).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    proxy.cut(Cut::Reset);
    client.send("last words").await.unwrap();
    let end = soon(client.close(Code::new(3999).unwrap(), "done")).await;
    assert_eq!(end.code(), Code::new(3999));
    assert!(end.unacknowledged.is_empty(), "{end}");
    let notes = notes.until(4).await;
    assert!(notes.contains(&"last words".to_owned()), "{notes:?}");
    assert_eq!(notes.last().unwrap(), "ended 3999 by Peer");
}

#[tokio::test]
async fn closing_without_a_server_ends_with_what_was_not_sent() {
    let (_socket, url) = nowhere();
    let mut client = builder(&url).ttl(Duration::from_millis(300)).start().unwrap();
    client.send("unheard").await.unwrap();
    let end = soon(client.close(Code::NORMAL, "")).await;
    assert_eq!(end.to_string(), "session ended by us with 1000; 1 message was not acknowledged");
    assert_eq!(hear(&mut client).await, "session ended by us with 1000 [unheard]");
    assert_eq!(hear(&mut client).await, "nothing");
    // With nothing to send there is nothing to wait for.
    let client = builder(&url).start().unwrap();
    soon(client.close(Code::NORMAL, "")).await;
}

#[tokio::test]
async fn a_dropped_client_ends_its_session() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    drop(client);
    assert_eq!(notes.until(2).await, ["session", "ended 1000 by Peer"]);
}

/// Who keeps a session for ever waits for ever to say goodbye.
#[tokio::test]
async fn a_time_without_end_is_no_trouble() {
    let (_socket, url) = nowhere();
    let mut client = builder(&url).ttl(Duration::MAX).start().unwrap();
    client.send("unheard").await.unwrap();
    let closing = client.close(Code::NORMAL, "");
    assert!(tokio::time::timeout(Duration::from_millis(100), closing).await.is_err());
    soon(client.leave()).await;
    assert!(hear(&mut client).await.ends_with("next with its store [unheard]"));
}

/// The runtime goes, and with it the client's task; its handles learn it.
#[test]
fn a_runtime_that_goes_down_ends_the_client_once() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (inner, outer) = (runtime(), runtime());
    let (_socket, url) = nowhere();
    let mut client = inner.block_on(async { SessionClient::connect(&url).unwrap() });
    inner.block_on(client.send("unheard")).unwrap();
    drop(inner);
    outer.block_on(async {
        assert_eq!(hear(&mut client).await, "its handles were dropped [unheard]");
        assert_eq!(hear(&mut client).await, "nothing");
        soon(client.ended()).await;
    });
}

#[tokio::test]
async fn a_server_without_sessions_is_told_as_such() {
    for subprotocols in [&[][..], &["chat"]] {
        let server = Server::builder().subprotocols(subprotocols.iter().copied());
        let (_server, addr) = start(server.push("/", |_| Plain)).await;
        let asks = everwire::Client::new(&format!("ws://{addr}/")).unwrap();
        let asks = asks.proxy(everwire::dial::ProxyConfig::Direct).subprotocols(["chat"]);
        let mut client = SessionClient::builder(asks).start().unwrap();
        client.send("unheard").await.unwrap();
        let selected = subprotocols.first().copied().unwrap_or("none");
        let expected = format!(
            "server offers no sessions here: expected it to select the subprotocol everwire.v1, it \
             selected {selected} [unheard]"
        );
        assert_eq!(hear(&mut client).await, expected);
        assert_eq!(hear(&mut client).await, "nothing");
    }
}

#[tokio::test]
async fn a_status_that_no_attempt_will_mend_is_an_end() {
    let (_server, addr) = start(Server::builder()).await;
    let mut client = client(&format!("ws://{addr}/nowhere"));
    let end = hear(&mut client).await;
    assert!(end.contains("404"), "{end}");
}
