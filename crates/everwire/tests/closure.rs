//! Exactly one closure, last, on every path.

mod common;

use std::{sync::atomic::Ordering, time::Duration};

use common::{Notes, Probe, Raw, Recorder, close, frame, soon, text};
use everwire::{
    Cause, CloseCode, Closure, Config, Conn, Handler, Message, Registry, Sender, WebSocket,
    adapt::Attach, test::Pair,
};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

/// A server's connection with a recorder, and the peer of it.
fn recorder() -> (Raw<DuplexStream>, Sender, Notes) {
    let (near, far) = duplex(64 << 10);
    let notes = Notes::default();
    (Raw(near), Attach::server().push(far, Recorder(notes.clone())), notes)
}

/// A server's connection with a pull face, and the peer of it.
fn puller() -> (Raw<DuplexStream>, WebSocket) {
    let (near, far) = duplex(64 << 10);
    (Raw(near), Attach::server().pull(far))
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_peer_is_echoed_and_told() {
    let (mut peer, sender, notes) = recorder();
    peer.write(&[text("a"), close(4000)].concat()).await;
    assert_eq!(peer.read().await.unwrap(), (0x81, b"a".to_vec()));
    assert_eq!(peer.read_close().await, (4000, String::new()));
    peer.read_eof().await;
    drop(peer);
    let closure = soon(sender.closed()).await;
    assert_eq!(closure.cause, Cause::PeerClosed);
    assert!(closure.is_clean());
    assert_eq!(notes.all(), ["open", "a", "peer_closed"]);
}

#[tokio::test(start_paused = true)]
async fn trap_01_a_close_of_ours_waits_for_the_peer() {
    let (mut peer, ws) = puller();
    let closing = ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
    assert_eq!(peer.read_close().await, (1000, "bye".into()));
    peer.write(&close(1000)).await;
    peer.read_eof().await;
    drop(peer);
    let closure = soon(closing).await;
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::LocalClosed, true));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_closing_future_stops_nothing() {
    let (mut peer, ws) = puller();
    drop(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    drop(ws);
    assert_eq!(peer.read_close().await.0, 1000);
    peer.write(&close(1000)).await;
    peer.read_eof().await;
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_close_ends_at_its_deadline() {
    let (_peer, ws) = puller();
    let begun = tokio::time::Instant::now();
    let closure = ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap().await;
    assert_eq!(closure.cause, Cause::CloseTimeout);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kicked_through_the_registry() {
    let registry = Registry::default();
    let (near, far) = duplex(1024);
    let ws = Attach::server().registry(&registry).pull(far);
    assert_eq!(registry.len(), 1);
    assert!(registry.close(ws.id(), CloseCode::POLICY_VIOLATION, "out").unwrap());
    let mut peer = Raw(near);
    assert_eq!(peer.read_close().await, (1008, "out".into()));
    peer.write(&close(1008)).await;
    drop(peer);
    assert_eq!(soon(ws.closed()).await.cause, Cause::Kicked);
    assert!(registry.is_empty());
    assert!(!registry.close(ws.id(), CloseCode::POLICY_VIOLATION, "out").unwrap());
}

#[tokio::test(start_paused = true)]
async fn abort_cuts() {
    let (mut peer, ws) = puller();
    ws.abort();
    ws.abort();
    peer.read_eof().await;
    assert_eq!(soon(ws.closed()).await.cause, Cause::Aborted);
    assert!(ws.try_send("late").is_err());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_writes_what_was_queued_and_says_goodbye() {
    let registry = Registry::default();
    let (near, far) = duplex(1 << 10);
    let ws = Attach::server().registry(&registry).pull(far);
    let observer = registry.get(ws.id()).unwrap();
    let (sender, receiver) = ws.split();
    drop(receiver);
    let clone = sender.clone();
    drop(sender);
    clone.send("last words").await.unwrap();
    drop(clone);
    let mut peer = Raw(near);
    assert_eq!(peer.read().await.unwrap().1, b"last words");
    assert_eq!(peer.read_close().await.0, 1001);
    drop(peer);
    let closure = soon(observer.closed()).await;
    assert_eq!((&closure.cause, closure.is_clean()), (&Cause::Cancelled, false));
}

#[tokio::test(start_paused = true)]
async fn with_the_receiver_dropped_pings_and_close_are_still_handled() {
    let (mut peer, ws) = puller();
    let (sender, receiver) = ws.split();
    drop(receiver);
    for _ in 0..100 {
        peer.write(&frame(0x82, &[0; 10_000])).await;
    }
    peer.write(&frame(0x89, b"ping")).await;
    assert_eq!(peer.read().await.unwrap(), (0x8a, b"ping".to_vec()));
    peer.write(&close(1000)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    drop(peer);
    let closure = soon(sender.closed()).await;
    assert_eq!((&closure.cause, closure.counters.messages_received), (&Cause::PeerClosed, 100));
}

/// Panics where it is told to.
struct Panics(&'static str, Notes);

impl Handler for Panics {
    fn on_open(&mut self, _: &mut Conn<'_>) {
        self.1.add("open");
        assert!(self.0 != "open", "as told");
    }

    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {
        self.1.add("message");
        assert!(self.0 != "message", "as told");
    }

    fn on_close(&mut self, _: &Closure) {
        self.1.add("close");
        assert!(self.0 != "close", "as told");
    }
}

async fn panics(at: &'static str) -> (u16, Cause, Vec<String>) {
    let (near, far) = duplex(1 << 10);
    let notes = Notes::default();
    let sender = Attach::server().push(far, Panics(at, notes.clone()));
    let mut peer = Raw(near);
    peer.write(&[text("1"), text("2"), close(1000)].concat()).await;
    let code = peer.read_close().await.0;
    drop(peer);
    let cause = soon(sender.closed()).await.cause.clone();
    (code, cause, notes.all())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_ends_with_1011_and_is_never_called_again() {
    let notes = |notes: &[&str]| notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(panics("open").await, (1011, Cause::HandlerPanicked, notes(&["open"])));
    assert_eq!(
        panics("message").await,
        (1011, Cause::HandlerPanicked, notes(&["open", "message"]))
    );
    assert_eq!(
        panics("close").await,
        (1000, Cause::PeerClosed, notes(&["open", "message", "message", "close"]))
    );
}

#[test]
fn a_runtime_that_shuts_down_ends_its_connections() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let notes = Notes::default();
    let (peer, sender) = runtime.block_on(async {
        let (near, far) = duplex(1024);
        let sender = Attach::server().push(far, Recorder(notes.clone()));
        tokio::task::yield_now().await;
        (near, sender)
    });
    assert!(sender.closure().is_none());
    drop(runtime);
    assert_eq!(sender.closure().unwrap().cause, Cause::Cancelled);
    assert_eq!(notes.all(), ["open", "cancelled"]);
    drop(peer);
}

async fn ended_by(bytes: &[u8]) -> Cause {
    let (mut peer, sender, notes) = recorder();
    peer.write(bytes).await;
    peer.0.shutdown().await.unwrap();
    let closure = soon(sender.closed()).await;
    assert_eq!(notes.all().last().unwrap(), closure.cause.label());
    closure.cause.clone()
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_without_a_close_is_told_apart() {
    assert_eq!(ended_by(b"").await, Cause::EofBetweenFrames);
    assert_eq!(ended_by(&text("whole")).await, Cause::EofBetweenFrames);
    for cut in 1..10 {
        assert_eq!(ended_by(&text("part")[..cut]).await, Cause::EofMidFrame, "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_socket_are_told() {
    for fail_reads in [true, false] {
        let (near, far) = duplex(1024);
        let (far, watch) = Probe::new(far);
        let ws = Attach::server().pull(far);
        tokio::task::yield_now().await;
        if fail_reads {
            watch.fail_reads.store(true, Ordering::Relaxed);
            Raw(near).write(&text("wakes the driver")).await;
        } else {
            watch.fail_writes.store(true, Ordering::Relaxed);
            ws.send("in vain").await.unwrap();
        }
        assert_eq!(soon(ws.closed()).await.cause, Cause::Reset);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_04_the_end_is_told_for_ever() {
    let (mut client, server) = Pair::new().pull();
    server.send("one").await.unwrap();
    server.close(CloseCode::NORMAL_CLOSURE, "done").unwrap();
    assert_eq!(client.recv().await.unwrap().as_text(), Some("one"));
    for _ in 0..3 {
        assert_eq!(soon(client.recv()).await, None);
        assert_eq!(client.closure().unwrap().cause, Cause::PeerClosed);
        assert_eq!(soon(client.closed()).await.reason(), "done");
    }
    assert_eq!(soon(server.closed()).await.cause, Cause::LocalClosed);
}

#[tokio::test(start_paused = true)]
async fn closes_that_cross_are_clean_on_both_sides() {
    let (client, server) = Pair::new().pull();
    let ours = client.close(CloseCode::NORMAL_CLOSURE, "c").unwrap();
    let theirs = server.close(CloseCode::GOING_AWAY, "s").unwrap();
    for closure in [soon(ours).await, soon(theirs).await] {
        assert!(closure.is_clean(), "{closure}");
        assert_eq!(closure.cause, Cause::LocalClosed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_is_found_by_the_keepalive() {
    let (_silent, ws) = puller();
    let begun = tokio::time::Instant::now();
    let closure = soon_virtual(ws.closed()).await;
    assert!(matches!(closure.cause, Cause::KeepaliveTimeout { .. }), "{closure}");
    let took = begun.elapsed().as_secs();
    // The first silence is cut short by up to a half.
    assert!((31..50).contains(&took), "{took}");
}

async fn soon_virtual<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3600), future).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_silent_ends_keep_each_other_alive() {
    let (client, server) = Pair::new().pull();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(client.closure().is_none() && server.closure().is_none());
    assert!(client.request().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_close_behind_blocked_output_ends_at_its_deadline() {
    let (near, far) = duplex(1024);
    let ws = Attach::server().pull(far);
    ws.send(vec![0; 100_000]).await.unwrap();
    tokio::task::yield_now().await;
    let closure = soon(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap()).await;
    assert_eq!(closure.cause, Cause::CloseTimeout);
    drop(near);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_ends_at_the_write_timeout() {
    let (_near, far) = duplex(1024);
    let ws = Attach::server().config(Config::default()).pull(far);
    ws.send(vec![0; 100_000]).await.unwrap();
    assert_eq!(soon_virtual(ws.closed()).await.cause, Cause::WriteTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_short_deadline_is_kept_beside_a_long_one_that_was_armed_first() {
    let mut config = Config::default();
    config.write_timeout = Duration::from_secs(1);
    config.limits.message_time = Duration::from_secs(2);
    let (near, far) = duplex(1024);
    let ws = Attach::server().config(config.clone()).pull(far);
    tokio::time::sleep(Duration::from_secs(1)).await; // The keepalive's timer is armed.
    let begun = tokio::time::Instant::now();
    ws.send(vec![0; 100_000]).await.unwrap();
    assert_eq!(soon(ws.closed()).await.cause, Cause::WriteTimeout);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(near);

    let (near, far) = duplex(1024);
    let ws = Attach::server().config(config).pull(far);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    let mut peer = Raw(near);
    peer.write(&frame(0x01, b"begun")).await;
    assert_eq!(peer.read_close().await.0, 1008);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop(ws);
}

#[tokio::test(start_paused = true)]
async fn only_a_stream_that_is_said_to_be_tls_ends_by_tls() {
    let kind = std::io::ErrorKind::UnexpectedEof;
    for (attach, expected) in
        [(Attach::server().over_tls(), Cause::Tls), (Attach::server(), Cause::Io(kind))]
    {
        let (near, far) = duplex(1024);
        let (far, watch) = Probe::new(far);
        let ws = attach.pull(far);
        tokio::task::yield_now().await;
        *watch.read_error.lock().unwrap() = Some(kind);
        watch.fail_reads.store(true, Ordering::Relaxed);
        Raw(near).write(&text("wakes the driver")).await;
        assert_eq!(soon(ws.closed()).await.cause, expected);
    }
}
