//! Sessions that survive the client's process.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use everwire::{
    Server,
    session::{
        Acks, Code, SessionClient, SessionFile, SessionStore, Sessions, Snapshot, SnapshotChange,
    },
};
use tokio::runtime::{Builder, Runtime};

use super::{builder, hear, moves::Shared, nowhere};
use crate::{
    Plain,
    common::{settle, soon, start, until},
    echo,
};

/// What is left of a client whose process is killed: nothing but its file.
struct Process {
    runtime: Runtime,
    client: SessionClient,
}

impl Process {
    fn start(url: &str, path: &Path) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _context = runtime.enter();
        let client = builder(url).store(SessionFile::open(path).unwrap()).start().unwrap();
        Self { runtime, client }
    }

    fn hear(&mut self) -> String {
        self.runtime.block_on(hear(&mut self.client))
    }

    /// Stops everything between two instructions; nothing is said, nothing is saved.
    fn kill(self) {
        drop(self.runtime); // Its tasks are dropped as they are.
        drop(self.client);
    }
}

fn server() -> (Runtime, Server, String, crate::common::Notes, Sessions) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, url, notes, sessions) = runtime.block_on(echo(Sessions::builder()));
    (runtime, server, url, notes, sessions)
}

#[test]
fn a_session_survives_its_process_and_nothing_is_lost() {
    let (runtime, _server, url, notes, sessions) = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let mut process = Process::start(&url, &path);
    assert_eq!(process.hear(), "attached");
    process.runtime.block_on(process.client.send("one")).unwrap();
    assert_eq!(process.hear(), "one");
    process.kill(); // It has not asked for the next: perhaps it was not done with this one.
    sessions.all()[0].send_text("two").unwrap();
    let mut process = Process::start(&url, &path);
    assert_eq!(process.hear(), "resumed");
    assert_eq!(process.hear(), "one");
    assert_eq!(process.hear(), "two");
    process.runtime.block_on(process.client.send("three")).unwrap();
    assert_eq!(process.hear(), "three");
    let heard = runtime.block_on(notes.until(4));
    let said: Vec<_> =
        heard.iter().filter(|note| ["one", "three"].contains(&note.as_str())).collect();
    assert_eq!(said, ["one", "three"]);
    let end = process.runtime.block_on(soon(process.client.close(Code::NORMAL, "")));
    assert!(end.is_clean(), "{end}");
    assert!(!path.exists(), "a session that is over is forgotten");
}

/// What was accepted while nobody was there goes out when the next process is.
#[test]
fn messages_that_wait_survive_the_process() {
    let (runtime, server, url, notes, _) = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let mut process = Process::start(&url, &path);
    assert_eq!(process.hear(), "attached");
    // The server stops listening to us: its thread does nothing else now.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    runtime.spawn(async move {
        begin.send(()).ok();
        stopped.recv().ok()
    });
    begun.recv().unwrap();
    process.runtime.block_on(async {
        process.client.send("waiting").await.unwrap();
        process.client.send(&b"\x00\xff"[..]).await.unwrap();
        let text = || std::fs::read_to_string(&path).unwrap_or_default();
        until(|| text().contains("waiting") && text().contains("base64")).await;
    });
    process.kill();
    stop.send(()).unwrap();
    let mut process = Process::start(&url, &path);
    assert_eq!(process.hear(), "resumed");
    assert_eq!(process.hear(), "waiting");
    assert_eq!(process.hear(), "binary");
    let heard = runtime.block_on(notes.until(4));
    assert_eq!(heard.iter().filter(|note| *note == "waiting").count(), 1);
    drop(server);
}

#[tokio::test]
async fn a_client_that_leaves_is_followed_by_the_next() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let mut first = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut first).await, "attached");
    let end = soon(first.leave()).await;
    assert_eq!(end.to_string(), "session left to whoever comes next with its store");
    notes.until(2).await;
    let mut second = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut second).await, "resumed");
    drop(second); // So does one that is dropped.
    notes.until(4).await;
    let mut third = builder(&url).store(store).start().unwrap();
    assert_eq!(hear(&mut third).await, "resumed");
    assert_eq!(notes.all(), ["session", "detached", "resumed", "detached", "resumed"]);
}

/// Whoever drops or leaves a session has not seen what he did not take: the next client has it.
#[tokio::test]
async fn what_was_not_taken_comes_to_the_next_client() {
    type LetGo = fn(SessionClient);
    let ways: [(&str, LetGo); 4] = [
        ("dropped", drop),
        ("left", |client| drop(client.leave())),
        ("split, the sender first", |client| drop(client.split().0)),
        ("split, the receiver first", |client| {
            let (sender, receiver) = client.split();
            drop(receiver);
            drop(sender);
        }),
    ];
    for (way, let_go) in ways {
        let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
        let store = Shared::default();
        let mut first = builder(&url).store(store.clone()).start().unwrap();
        assert_eq!(hear(&mut first).await, "attached");
        for text in ["one", "two", "three"] {
            sessions.all()[0].send_text(text).unwrap();
        }
        assert_eq!(hear(&mut first).await, "one");
        // The others wait behind it by now, perhaps; whether or not, they must come.
        settle().await;
        let_go(first);
        notes.until(2).await;
        let mut second = builder(&url).store(store).start().unwrap();
        assert_eq!(hear(&mut second).await, "resumed", "{way}");
        for text in ["one", "two", "three"] {
            assert_eq!(hear(&mut second).await, text, "{way}");
        }
    }
}

/// An older copy of the state is honest: what the server was told to forget is a gap.
#[tokio::test]
async fn an_older_copy_is_told_as_a_gap() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let mut first = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut first).await, "attached");
    let old = store.clone().0.lock().unwrap().clone();
    sessions.all()[0].send_text("one").unwrap();
    sessions.all()[0].send_text("two").unwrap();
    assert_eq!(hear(&mut first).await, "one");
    assert_eq!(hear(&mut first).await, "two");
    let asked = tokio::time::timeout(Duration::from_millis(10), first.next()).await;
    assert!(asked.is_err()); // It is done with "two".
    until(|| sessions.all()[0].buffered().1 == 0).await;
    soon(first.leave()).await;
    let attempt = store.0.lock().unwrap().as_ref().unwrap().attempt;
    let copy = old.map(|mut old| {
        old.attempt = attempt;
        old
    });
    let mut second = builder(&url).store(Shared(Arc::new(copy.into()))).start().unwrap();
    assert_eq!(hear(&mut second).await, "resumed");
    assert_eq!(hear(&mut second).await, "gap In 1-2");
}

#[tokio::test]
async fn with_manual_acks_the_application_says_what_it_has_dealt_with() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let start = || builder(&url).acks(Acks::Manual).store(store.clone()).start().unwrap();
    let mut client = start();
    assert_eq!(hear(&mut client).await, "attached");
    let mut receipts = Vec::new();
    assert_eq!(client.receipt(), None);
    for text in ["one", "two", "three"] {
        sessions.all()[0].send_text(text).unwrap();
        assert_eq!(hear(&mut client).await, text);
        receipts.extend(client.receipt());
    }
    client.release(receipts[1]);
    until(|| sessions.all()[0].buffered().1 == 1).await;
    soon(client.leave()).await;
    let mut client = start();
    assert_eq!(hear(&mut client).await, "resumed");
    assert_eq!(hear(&mut client).await, "three");
}

/// A message of a session that is over says nothing about those of the next.
#[tokio::test]
async fn what_is_released_too_late_is_not_released_in_the_next_session() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let mut client = builder(&url).acks(Acks::Manual).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].send_text("old").unwrap();
    assert_eq!(hear(&mut client).await, "old");
    let old = client.receipt().unwrap();
    sessions.all()[0].end(Code::new(4000).unwrap(), "afresh");
    while hear(&mut client).await != "attached" {}
    client.send("new").await.unwrap();
    assert_eq!(hear(&mut client).await, "new");
    client.release(old);
    soon(client.leave()).await;
    assert_eq!(store.0.lock().unwrap().as_ref().unwrap().recv, 0);
}

/// What the server has heard is stored, at any moment: it was before it went out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_out_when_it_is_stored() {
    let (store, n_early) = (Shared::default(), Arc::new(AtomicU32::new(0)));
    let (seen, counter) = (store.clone(), n_early.clone());
    let sessions = Sessions::builder().pull(move |mut session| {
        let (seen, counter) = (seen.clone(), counter.clone());
        async move {
            while let Some(Ok(message)) = session.recv().await {
                let next = seen.0.lock().unwrap().as_ref().map_or(0, |stored| stored.next);
                counter.fetch_add(u32::from(message.number.unwrap() >= next), Ordering::Relaxed);
            }
        }
    });
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server.bind("127.0.0.1:0")).await;
    let mut client = builder(&format!("ws://{addr}/")).store(store).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    for n in 0..2000 {
        soon(client.send(format!("{n}"))).await.unwrap();
    }
    until(|| client.buffered().1 == 0).await;
    assert_eq!(n_early.load(Ordering::Relaxed), 0);
}

/// A store that counts what is saved after it was told to forget.
#[derive(Clone, Default)]
struct Forgetful(Shared, Arc<AtomicBool>);

impl SessionStore for Forgetful {
    fn load(&self) -> std::io::Result<Option<Snapshot>> {
        self.0.load()
    }

    fn save(&self, session: &Snapshot) -> std::io::Result<()> {
        assert!(!self.1.load(Ordering::Relaxed), "saved after its end");
        self.0.save(session)
    }

    fn save_change(&self, change: &SnapshotChange) -> std::io::Result<()> {
        assert!(!self.1.load(Ordering::Relaxed), "saved after its end");
        self.0.save_change(change)
    }

    fn forget(&self) -> std::io::Result<()> {
        self.1.store(true, Ordering::Relaxed);
        self.0.forget()
    }
}

/// What is over is forgotten for good, whatever the application deals with meanwhile.
#[tokio::test]
async fn a_session_that_is_over_is_not_stored_again() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let store = Forgetful::default();
    let mut client = builder(&url).acks(Acks::Manual).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].send_text("one").unwrap();
    assert_eq!(hear(&mut client).await, "one");
    let receipt = client.receipt().unwrap();
    sessions.all()[0].close(Code::NORMAL, "");
    until(|| store.1.load(Ordering::Relaxed)).await;
    client.release(receipt); // Its connection is still being closed.
    assert_eq!(hear(&mut client).await, "session ended by the server with 1000 []");
    soon(client.ended()).await;
    assert!(store.0.load().unwrap().is_none());
}

/// A store that counts the messages that it is given.
#[derive(Clone, Default)]
struct Counting(Shared, Arc<AtomicUsize>);

impl Counting {
    fn count(&self, n: usize) {
        self.1.fetch_add(n, Ordering::Relaxed);
    }
}

impl SessionStore for Counting {
    fn load(&self) -> std::io::Result<Option<Snapshot>> {
        self.0.load()
    }

    fn save(&self, session: &Snapshot) -> std::io::Result<()> {
        self.count(session.unacknowledged.len());
        self.0.save(session)
    }

    fn save_change(&self, change: &SnapshotChange) -> std::io::Result<()> {
        self.count(change.new.len());
        let mut session = self.0.0.lock().unwrap();
        assert!(session.as_mut().expect("the whole was saved first").apply(change.clone()));
        Ok(())
    }

    fn forget(&self) -> std::io::Result<()> {
        self.0.forget()
    }
}

/// However many wait for a connection: each is given to the store once, also on the attempts, and when
/// the session begins.
#[tokio::test]
async fn a_message_that_waits_is_stored_once() {
    let (_socket, nowhere) = nowhere();
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let (is_there, store) = (Arc::new(AtomicBool::new(false)), Counting::default());
    let asked = is_there.clone();
    let urls = move |_: everwire::reconnect::AttemptInfo| {
        let url = if asked.load(Ordering::Relaxed) { url.clone() } else { nowhere.clone() };
        async move { Ok(url) }
    };
    let client = builder("ws://127.0.0.1:9/").url(urls).store(store.clone()).start().unwrap();
    for n in 1..=1000 {
        soon(client.send(format!("{n}"))).await.unwrap();
        if n % 10 == 0 {
            // A hundred saves at least, beside those for the attempts, which fail.
            until(|| store.0.load().unwrap().is_some_and(|it| it.unacknowledged.len() == n)).await;
        }
    }
    is_there.store(true, Ordering::Relaxed);
    until(|| client.buffered().1 == 0).await;
    assert_eq!(sessions.all().len(), 1);
    // The first few may be given a second time: there was nothing yet to be changed.
    let n = store.1.load(Ordering::Relaxed);
    assert!((1000..1100).contains(&n), "{n} were given to the store");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_begins_no_other_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    std::fs::write(&path, "not ours").unwrap();
    let (_socket, url) = nowhere();
    let error = builder(&url).store(SessionFile::open(&path).unwrap()).start();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let error = error.to_string();
    assert!(error.starts_with("stored session cannot be loaded: "), "{error}");
}

/// The end comes while a message is still being dealt with, which is noted down no more.
#[tokio::test]
async fn a_session_that_is_over_does_not_appear_again() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let mut client = builder(&url).acks(Acks::Manual).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    sessions.all()[0].send_text("one").unwrap();
    assert_eq!(hear(&mut client).await, "one");
    assert!(store.0.lock().unwrap().is_some());
    let receipt = client.receipt().unwrap();
    sessions.all()[0].end(Code::ENDED, "");
    assert_eq!(hear(&mut client).await, "session ended by the server with 4503 []");
    client.release(receipt);
    soon(client.ended()).await;
    assert!(store.0.lock().unwrap().is_none());
}

#[tokio::test]
async fn what_was_accepted_before_the_first_connection_survives_too() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let store = Shared::default();
    let (_socket, nowhere) = nowhere();
    let first = builder(&nowhere).store(store.clone()).start().unwrap();
    for text in ["one", "two"] {
        first.send(text).await.unwrap();
    }
    soon(first.leave()).await;
    let mut second = builder(&url).store(store).start().unwrap();
    assert_eq!(second.send("three").await, Ok(3));
    assert_eq!(hear(&mut second).await, "attached");
    for text in ["one", "two", "three"] {
        assert_eq!(hear(&mut second).await, text);
    }
}

/// A session that its server does not keep takes the place of what was stored, and is told to be lost once.
#[tokio::test]
async fn a_session_that_is_not_kept_replaces_the_one_that_was_stored() {
    let store = Shared::default();
    let (_kept, url, ..) = echo(Sessions::builder()).await;
    let mut client = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    soon(client.leave()).await;
    let old = store.0.lock().unwrap().clone().expect("it is left to the next");
    assert!(!old.token.is_empty());
    // The server restarts, and is short of memory.
    let mut config = everwire::session::SessionConfig::server();
    config.terms.ttl_limit = Duration::ZERO;
    let (_server, url, ..) = echo(Sessions::builder().config(config)).await;
    for _ in 0..2 {
        let mut client = builder(&url).store(store.clone()).start().unwrap();
        // It may not have heard that its last message arrived.
        let lost = hear(&mut client).await;
        assert!(lost == "lost []" || lost == "lost [heard]", "{lost}");
        assert_eq!(hear(&mut client).await, "attached");
        client.send("heard").await.unwrap();
        assert_eq!(hear(&mut client).await, "heard");
        until(|| client.buffered().1 == 0).await;
        let stored = || store.0.lock().unwrap().clone();
        assert!(stored().is_some_and(|it| it.token.is_empty() && it.epoch == 1 && it.next == 2));
        soon(client.leave()).await;
    }
    // One that ends is forgotten.
    let mut client = builder(&url).store(store.clone()).start().unwrap();
    assert!(hear(&mut client).await.starts_with("lost ["));
    assert_eq!(hear(&mut client).await, "attached");
    soon(client.close(Code::NORMAL, "")).await;
    assert_eq!(*store.0.lock().unwrap(), None);
}

/// What was told to be lost is not told again by the next process.
#[tokio::test]
async fn what_was_told_to_be_lost_is_not_stored_any_more() {
    let mut config = everwire::session::SessionConfig::server();
    config.terms.ttl_limit = Duration::ZERO;
    let (server, url, ..) = echo(Sessions::builder().config(config)).await;
    let store = Shared::default();
    let mut client = builder(&url).store(store.clone()).start().unwrap();
    assert_eq!(hear(&mut client).await, "attached");
    soon(server.shutdown(everwire::Drain::leaving().rate(0))).await.unwrap();
    assert_eq!(hear(&mut client).await, "detached");
    assert_eq!(hear(&mut client).await, "lost []");
    until(|| store.0.lock().unwrap().is_none()).await;
}
