//! The registry: one by its id, some by a tag, the last that leaves, and those who watch.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Notes, Raw, close, connect, soon, start, until_len};
use everwire::{
    Accept, Because, Cause, CloseCode, ConnectionId, PreparedMessage, Registry, SendError, Sender,
    Server, Watched, Watcher, WebSocket, adapt::Attach,
};
use tokio::io::{DuplexStream, duplex};

/// A server's connection in a registry, and the peer of it.
fn attach(registry: &Registry) -> (Raw<DuplexStream>, WebSocket) {
    let (near, far) = duplex(1 << 10);
    (Raw(near), Attach::server().registry(registry).pull(far))
}

async fn end(ws: WebSocket) {
    ws.abort();
    soon(ws.closed()).await;
}

/// Returns what a watcher has to tell, without waiting.
fn told(watcher: &mut Watcher) -> Vec<Result<ConnectionId, u64>> {
    let mut told = Vec::new();
    while let Some(watched) = futures_util::FutureExt::now_or_never(watcher.recv()) {
        told.push(match watched {
            Watched::Ended(ended) => Ok(ended.id),
            Watched::Missed(n) => Err(n),
            _ => unreachable!("there is nothing else yet"),
        });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn one_is_sent_to_by_its_id() {
    let registry = Registry::default();
    let (mut peer, ws) = attach(&registry);
    let (mut other, _ws) = attach(&registry);
    let prepared = PreparedMessage::new("prepared");
    assert_eq!(registry.try_send(ws.id(), "text"), Ok(true));
    assert_eq!(registry.try_send(ws.id(), vec![1, 2]), Ok(true));
    assert_eq!(registry.try_send_prepared(ws.id(), &prepared), Ok(true));
    for expected in [(0x81, &b"text"[..]), (0x82, &[1, 2]), (0x81, b"prepared")] {
        assert_eq!(peer.read().await.unwrap(), (expected.0, expected.1.to_vec()));
    }
    let id = ws.id();
    drop(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    assert_eq!(registry.try_send(id, "late"), Err(SendError::Closed));
    end(ws).await;
    assert_eq!(registry.try_send(id, "later"), Ok(false));
    assert_eq!(registry.try_send_prepared(id, &prepared), Ok(false));
    registry.close_tagged("nobody", CloseCode::NORMAL_CLOSURE, "").unwrap();
    let nothing = tokio::time::timeout(Duration::from_secs(1), other.read()).await;
    assert!(nothing.is_err(), "the other got nothing");
}

#[tokio::test(start_paused = true)]
async fn tags_find_connections_until_they_end() {
    let registry = Registry::default();
    let all: Vec<_> = (0..40).map(|_| attach(&registry)).collect();
    for (i, (_, ws)) in all.iter().enumerate() {
        assert!(ws.tag(if i % 2 == 0 { "even" } else { "odd" }));
        assert!(ws.tag("all"));
        assert!(ws.tag("all"), "again");
    }
    let ids = |tag: &str| registry.tagged(tag).iter().map(Sender::id).collect::<Vec<_>>();
    let expected =
        |step: usize| all.iter().step_by(step).map(|(_, ws)| ws.id()).collect::<Vec<_>>();
    assert_eq!((ids("all"), ids("even")), (expected(1), expected(2)));
    let (_, first) = &all[0];
    let tags = registry.info(first.id()).unwrap().tags;
    assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["even", "all"]);
    assert!(first.untag("even"));
    assert!(!first.untag("even"));
    assert_eq!(ids("even"), expected(2)[1..]);
    first.abort();
    soon(first.closed()).await;
    assert!(!first.tag("late") && ids("late").is_empty());
    assert_eq!(ids("all"), expected(1)[1..]);
    assert_eq!(registry.close_tagged("odd", CloseCode::GOING_AWAY, "odd"), Ok(20));
    for (i, (mut peer, _ws)) in all.into_iter().enumerate().skip(1) {
        if i % 2 == 1 {
            assert_eq!(peer.read_close().await, (1001, "odd".into()));
        }
    }
    let (_peer, outside) = everwire::test::pair();
    assert!(!outside.tag("lost") && !outside.untag("lost"));
}

#[tokio::test]
async fn authorize_gives_tags_that_are_there_from_the_start() {
    let builder = Server::builder()
        .authorize(|request| {
            let room = request.query().unwrap_or("none").to_owned();
            Box::pin(async move { Ok(Accept::new().tag("visitor").tag(room)) })
        })
        .pull("/", |ws: WebSocket| async move {
            ws.send("welcome").await.unwrap();
            ws.closed().await;
        });
    let (server, addr) = start(builder).await;
    let mut watcher = server.registry().watch(10);
    let mut peer = connect(addr, "/?kitchen").await;
    let _other = connect(addr, "/?hall").await;
    assert_eq!(peer.read().await.unwrap().1, b"welcome");
    assert_eq!(server.registry().tagged("kitchen").len(), 1);
    until_len(&server, 2).await;
    assert_eq!(server.registry().tagged("visitor").len(), 2);
    peer.write(&close(1000)).await;
    let Watched::Ended(ended) = soon(watcher.recv()).await else { panic!("it is the first") };
    assert_eq!(ended.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["visitor", "kitchen"]);
    assert_eq!((&*ended.path, &ended.closure.cause), ("/", &Cause::PeerClosed));
    assert!(ended.client_ip.is_some());
    assert!(server.registry().tagged("kitchen").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_that_leaves_is_told_each_time() {
    let (registry, notes) = (Registry::default(), Notes::default());
    let told = notes.clone();
    let seen = registry.clone();
    // Locks of the registry are free: it can be used.
    registry.on_empty(move || told.add(format!("empty {}", seen.list().len())));
    let (_peers, mut all): (Vec<_>, Vec<_>) = (0..3).map(|_| attach(&registry)).unzip();
    end(all.remove(1)).await;
    end(all.remove(0)).await;
    assert_eq!(notes.all(), [""; 0]);
    end(all.remove(0)).await;
    assert_eq!(notes.all(), ["empty 0"]);
    for n in 2..5 {
        let (_peer, ws) = attach(&registry);
        end(ws).await;
        assert_eq!(notes.all().len(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_who_is_told_of_the_last_harms_nobody() {
    let (registry, notes) = (Registry::default(), Notes::default());
    registry.on_empty(|| panic!("as told"));
    let told = notes.clone();
    registry.on_empty(move || told.add("empty"));
    for n in 1..3 {
        let (_peer, ws) = attach(&registry);
        end(ws).await;
        assert_eq!(notes.all().len(), n);
    }
}

/// Connections come and go on four threads; after the last has left there was a call, and no two
/// overlapped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_end_of_the_last_is_never_missed() {
    for _ in 0..20 {
        let registry = Registry::default();
        let called_since = Arc::new(AtomicBool::new(false));
        let (running, overlaps) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (called, overlapped) = (called_since.clone(), overlaps.clone());
        registry.on_empty(move || {
            overlapped.fetch_add(running.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            called.store(true, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
        });
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (registry, called_since) = (registry.clone(), called_since.clone());
                tokio::spawn(async move {
                    for _ in 0..50 {
                        called_since.store(false, Ordering::SeqCst);
                        let (_peer, ws) = attach(&registry);
                        end(ws).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            soon(task).await.unwrap();
        }
        // Whoever was told to look may still be about to call.
        soon(async {
            while !called_since.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(overlaps.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn watchers_learn_every_end_in_order() {
    let registry = Registry::default();
    let (mut early, before) = (registry.watch(100), attach(&registry));
    end(before.1).await;
    let mut late = registry.watch(100);
    let (_peers, all): (Vec<_>, Vec<_>) = (0..20).map(|_| attach(&registry)).unzip();
    let ids: Vec<_> = all.iter().map(|ws| Ok(ws.id())).collect();
    for ws in all {
        end(ws).await;
    }
    assert_eq!(told(&mut early)[1..], ids);
    assert_eq!(told(&mut late), ids);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_told_how_much_it_missed_where_it_missed_it() {
    let registry = Registry::default();
    let mut watcher = registry.watch(2);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (_peer, ws) = attach(&registry);
        ids.push(ws.id());
        end(ws).await;
    }
    assert_eq!(told(&mut watcher), [Ok(ids[0]), Ok(ids[1]), Err(3)]);
    let (_peer, ws) = attach(&registry);
    let id = ws.id();
    let waiting = tokio::spawn(async move { watcher.recv().await });
    tokio::task::yield_now().await;
    end(ws).await;
    assert!(matches!(soon(waiting).await.unwrap(), Watched::Ended(ended) if ended.id == id));
    assert_eq!(registry.totals().closed["aborted"], 6);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_keeps_its_registry_and_learns_of_those_that_outlive_it() {
    let registry = Registry::default();
    let mut watcher = registry.watch(10);
    let (_peer, ws) = attach(&registry);
    drop(registry);
    let id = ws.id();
    end(ws).await;
    assert_eq!(told(&mut watcher), [Ok(id)]);
    assert!(watcher.registry().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_application_says_why_it_closes() {
    for (because, cause, is_clean) in [
        (Because::SlowConsumer, Cause::SlowConsumer, true),
        (Because::Superseded, Cause::Superseded, true),
        (Because::Kicked, Cause::Kicked, true),
    ] {
        let (mut peer, ws) = attach(&Registry::default());
        let closing = ws.close_because(because, CloseCode::POLICY_VIOLATION, "told").unwrap();
        assert_eq!(peer.read_close().await, (1008, "told".into()));
        peer.write(&close(1008)).await;
        let closure = soon(closing).await;
        assert_eq!((&closure.cause, closure.is_clean()), (&cause, is_clean));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_that_goes_without_an_answer_is_called_one() {
    let (mut peer, ws) = attach(&Registry::default());
    let code = CloseCode::POLICY_VIOLATION;
    let closing = ws.close_because(Because::SlowConsumer, code, "").unwrap();
    assert_eq!(peer.read_close().await.0, 1008);
    drop(peer);
    assert_eq!(soon(closing).await.cause, Cause::SlowConsumer);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_that_never_answers_is_called_one() {
    let (_peer, ws) = attach(&Registry::default());
    ws.send(vec![0; 10_000]).await.unwrap();
    let code = CloseCode::POLICY_VIOLATION;
    let closure = soon(ws.close_because(Because::SlowConsumer, code, "").unwrap()).await;
    assert_eq!((&closure.cause, closure.unsent), (&Cause::SlowConsumer, 1));
}
