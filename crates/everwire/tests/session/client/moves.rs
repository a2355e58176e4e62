//! Tickets, advice, and who else has the session.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use everwire::{
    Drain, Server,
    reconnect::{BoxError, ReconnectPolicy},
    session::{ClientState, Identity, Principal, SessionStore, Sessions, Snapshot},
};
use tokio::time::timeout;

use super::{builder, client, hear, nowhere, proxied};
use crate::{
    Plain,
    common::{soon, until},
    echo, scripted,
};

/// A store in memory, which anybody may share: so each saves the whole.
#[derive(Clone, Default)]
pub(super) struct Shared(pub(super) Arc<Mutex<Option<Snapshot>>>);

impl SessionStore for Shared {
    fn load(&self) -> std::io::Result<Option<Snapshot>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, session: &Snapshot) -> std::io::Result<()> {
        *self.0.lock().unwrap() = Some(session.clone());
        Ok(())
    }

    fn forget(&self) -> std::io::Result<()> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

#[tokio::test]
async fn a_second_client_with_the_token_ends_the_first_and_they_do_not_fight() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let mut first = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut first).await, "attached");
    let mut second = builder(&url).store(store).start().unwrap();
    assert_eq!(hear(&mut second).await, "resumed");
    let end = "session taken over by another client (4509) []";
    assert_eq!(hear(&mut first).await, end);
    assert_eq!(hear(&mut first).await, "nothing");
    second.send("mine").await.unwrap();
    assert_eq!(hear(&mut second).await, "mine");
    assert_eq!(notes.all(), ["session", "resumed", "mine"]);
}

#[tokio::test]
async fn a_ticket_is_renewed_in_time() {
    let shown = Arc::new(AtomicU32::new(0));
    let seen = shown.clone();
    let tickets = move |ticket: &[u8]| {
        seen.fetch_add(1, Ordering::Relaxed);
        let good = ticket.starts_with(b"ticket ");
        // The first is asked for again in time: the server leaves two seconds for it.
        good.then(|| Identity::new(Principal::new("alice")).valid_for(Duration::from_secs(10)))
    };
    let (_server, url, _, sessions) = echo(Sessions::builder().tickets(tickets)).await;
    let asked = Arc::new(AtomicU32::new(0));
    let provider = asked.clone();
    let mut client = builder(&url)
        .ticket(move |info| {
            let n = provider.fetch_add(1, Ordering::Relaxed);
            assert_eq!(info.refresh_token, n > 0);
            async move { Ok::<_, BoxError>(format!("ticket {n}")) }
        })
        .start()
        .unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    until(|| shown.load(Ordering::Relaxed) >= 2).await;
    assert!(asked.load(Ordering::Relaxed) >= 2);
    client.send("still alice").await.unwrap();
    assert_eq!(hear(&mut client).await, "still alice");
    assert_eq!(sessions.stats().opened, 1);
}

#[tokio::test]
async fn a_refused_ticket_is_asked_for_once_more() {
    let tickets =
        |ticket: &[u8]| (ticket == b"fresh").then(|| Identity::new(Principal::new("alice")));
    let (_server, url, ..) = echo(Sessions::builder().tickets(tickets)).await;
    let mut client = builder(&url)
        .ticket(|info| async move {
            Ok::<_, BoxError>(if info.refresh_token { "fresh" } else { "stale" })
        })
        .start()
        .unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    // Who has no other gives up.
    let refused = "session ended by us with 4501 \"ticket refused\" []";
    let mut client = builder(&url).ticket(|_| async { Ok::<_, BoxError>("bad") }).start().unwrap();
    assert_eq!(hear(&mut client).await, refused);
    let mut client = self::client(&url);
    assert_eq!(hear(&mut client).await, refused);
}

#[tokio::test]
async fn providers_that_fail_are_asked_again() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let n_asked = Arc::new(AtomicU32::new(0));
    let provider = n_asked.clone();
    let (_socket, nowhere) = nowhere();
    let mut client = builder(&nowhere)
        .url(move |_| {
            let (n, url) = (provider.fetch_add(1, Ordering::Relaxed), url.clone());
            async move {
                match n {
                    0 => Err("not yet".into()),
                    1 => panic!("as the test wants it"),
                    2 => Ok("no url".into()),
                    _ => Ok(url),
                }
            }
        })
        .ticket(|info| async move {
            if info.number < 5 { Ok(vec![b'x'; 1601]) } else { Ok(b"ticket".to_vec()) }
        })
        .start()
        .unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    assert!(n_asked.load(Ordering::Relaxed) >= 5);
}

#[tokio::test]
async fn advice_to_go_away_moves_the_session_without_a_break() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let (elsewhere, other_url) = proxied(&url).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].go_away(Duration::from_millis(50), Duration::from_millis(50), &other_url);
    assert_eq!(hear(&mut client).await, "resumed");
    client.send("here").await.unwrap();
    assert_eq!(hear(&mut client).await, "here");
    assert_eq!(elsewhere.tally().connections, 1);
    assert_eq!(notes.all(), ["session", "resumed", "here"]);
}

/// In virtual time, for as long as the client bears a server that says nothing else.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_move_without_end_is_followed_ever_more_slowly() {
    let (builder, mut connections) = scripted::piped();
    let mut policy = ReconnectPolicy::default();
    (policy.base, policy.cap) = (Duration::from_secs(1 << 20), Duration::from_secs(1 << 20));
    let _client = builder.policy(policy).early(false).start().unwrap();
    let mut kept = Vec::new();
    while let Ok(io) = timeout(Duration::from_secs(30), connections.recv()).await {
        let mut raw = scripted::attach_inline(io.unwrap(), kept.len() as u8 + 1).await;
        raw.write(&scripted::frame(b"\x80\0\0\0")).await; // GOAWAY: at once, to this place.
        kept.push(raw);
    }
    // The first advice is followed; the next asks for days, less what chance makes of it.
    assert!((2..=3).contains(&kept.len()), "{} connections", kept.len());
}

#[tokio::test]
async fn a_server_that_shuts_down_and_comes_back_has_lost_the_session_and_the_list_is_told() {
    let (server, url, ..) = echo(Sessions::builder()).await;
    let place = Arc::new(Mutex::new(url.clone()));
    let provider = place.clone();
    let client = builder(&url).url(move |_| {
        let url = provider.lock().unwrap().clone();
        async { Ok::<_, BoxError>(url) }
    });
    let mut client = client.start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    client.send("heard").await.unwrap();
    assert_eq!(hear(&mut client).await, "heard");
    until(|| client.buffered().1 == 0).await;
    soon(server.shutdown(Drain::restart())).await.unwrap();
    assert_eq!(hear(&mut client).await, "detached");
    client.send("unheard").await.unwrap();
    client.send("either").await.unwrap();
    let (_server, url, ..) = echo(Sessions::builder()).await;
    *place.lock().unwrap() = url;
    assert_eq!(hear(&mut client).await, "lost [unheard either]");
    assert_eq!(hear(&mut client).await, "attached");
    client.send("afresh").await.unwrap();
    assert_eq!(hear(&mut client).await, "afresh");
}

#[tokio::test]
async fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let mut store = everwire::session::StoreConfig::default();
    store.per_principal = 1;
    let tickets = |_: &[u8]| Some(Identity::new(Principal::new("alice")));
    let (_server, url, _, sessions) = echo(Sessions::builder().store(store).tickets(tickets)).await;
    let ticket = |_| async { Ok::<_, BoxError>("t") };
    let mut first = builder(&url).ticket(ticket).start().unwrap();
    assert_eq!(hear(&mut first).await, "attached");
    let mut second = builder(&url).ticket(ticket).start().unwrap();
    until(|| second.state().to_string().starts_with("connecting in ")).await;
    soon(first.close(everwire::session::Code::NORMAL, "")).await;
    assert_eq!(hear(&mut second).await, "attached");
    assert_eq!(sessions.stats().opened, 2);
}

/// A server that does not answer at all, then one that does.
#[tokio::test]
async fn a_client_waits_for_its_server_to_appear() {
    let (socket, url) = nowhere();
    let mut client = client(&url);
    client.send("early").await.unwrap();
    let mut states = client.states();
    let has_failed = |state| matches!(state, Some(ClientState::Connecting { last: Some(_), .. }));
    soon(async { while !has_failed(states.next().await) {} }).await;
    let sessions = Sessions::builder().push(|_| crate::Echo(crate::common::Notes::default()));
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let listener = socket.listen(128).unwrap().into_std().unwrap();
    let _server = server.listener(listener).start().await.unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    assert_eq!(hear(&mut client).await, "early");
}

/// Advice that makes no sense costs nothing: the session goes on where it is.
#[tokio::test]
async fn advice_that_leads_nowhere_is_not_followed() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut client = client(&url);
    assert_eq!(hear(&mut client).await, "attached");
    let (_socket, nowhere) = nowhere();
    for place in ["no url", "ftp://127.0.0.1/", &nowhere] {
        sessions.all()[0].go_away(Duration::ZERO, Duration::ZERO, place);
        client.send(place).await.unwrap();
        let mut heard = hear(&mut client).await;
        if heard == "resumed" {
            heard = hear(&mut client).await; // After the failure it came back to its own place.
        }
        assert_eq!(heard, place);
    }
    assert!(!notes.all().contains(&"detached".to_owned()), "{:?}", notes.all());
}
