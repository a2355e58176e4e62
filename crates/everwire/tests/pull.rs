//! The pull face: nothing is lost whatever is dropped, and the inbox is bounded.

mod common;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use common::{Raw, close, frame, puller, settle, soon, text};
use everwire::{Cause, Config, Message, SendError, WebSocket, adapt::Attach, test::Pair};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{DuplexStream, duplex};

#[tokio::test(start_paused = true)]
async fn trap_03_recv_dropped_at_every_byte_loses_nothing() {
    let mut fragmented = frame(0x01, b"frag");
    fragmented.extend(frame(0x89, b"in between"));
    fragmented.extend(frame(0x80, b"mented"));
    let script = [text("a"), fragmented, frame(0x82, &[7; 300]), text(""), text("z")].concat();
    let (mut peer, mut ws) = puller(1 << 10);
    let mut received = Vec::new();
    for byte in script {
        // Polled before the byte came, and dropped.
        assert!(ws.recv().now_or_never().is_none_or(|message| {
            received.push(message.unwrap());
            true
        }));
        peer.write(&[byte]).await;
        settle().await;
    }
    while let Some(Some(message)) = ws.recv().now_or_never() {
        received.push(message);
    }
    let expected = ["a", "fragmented", "", "", "z"].map(Message::from);
    assert_eq!(received.len(), 5);
    assert_eq!((&received[0], &received[1]), (&expected[0], &expected[1]));
    assert_eq!(received[2], Message::binary(vec![7; 300]));
    assert_eq!((&received[3], &received[4]), (&expected[3], &expected[4]));
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_stops_reading_and_goes_on() {
    let (mut peer, mut ws) = puller(1 << 10);
    let writer = tokio::spawn(async move {
        for n in 0..1000_u32 {
            peer.write(&frame(0x82, &[&n.to_be_bytes()[..], &[0; 10_000]].concat())).await;
        }
        peer
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!writer.is_finished(), "the peer must feel that nobody receives");
    for n in 0..1000_u32 {
        let message = soon(ws.recv()).await.unwrap();
        assert_eq!(message.as_bytes()[..4], n.to_be_bytes());
    }
    drop(soon(writer).await.unwrap());
    assert_eq!(soon(ws.recv()).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_inbox_is_as_large_as_it_is_wanted() {
    for (receive_queue, fits) in [(16 << 20, true), (10_000, false)] {
        let mut config = Config::default();
        config.limits.receive_queue = receive_queue;
        let (near, far) = duplex(1 << 10);
        let _ws = Attach::server().config(config).pull(far);
        let mut peer = Raw(near);
        let writing = async {
            for _ in 0..100 {
                peer.write(&frame(0x82, &[0; 10_000])).await;
            }
        };
        let written = tokio::time::timeout(Duration::from_secs(30), writing).await;
        assert_eq!(written.is_ok(), fits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_inbox_is_received_alone() {
    let (client, mut server) = Pair::new().pull();
    for _ in 0..3 {
        client.send(vec![1; 500_000]).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(soon(server.recv()).await.unwrap().len(), 500_000);
    }
}

#[tokio::test(start_paused = true)]
async fn while_nobody_receives_we_show_life_and_the_peer_has_no_deadline() {
    let (mut peer, mut ws) = puller(256 << 10);
    peer.write(&frame(0x82, &[0; 100_000])).await;
    peer.write(&text("behind")).await;
    // Pings go unanswered for an hour, because we read no pong.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(ws.closure().is_none());
    // We showed life at once, and asked for the peer's all the same.
    assert_eq!(peer.read().await.unwrap(), (0x8a, vec![]));
    while peer.read().await.unwrap().0 != 0x89 {}
    assert_eq!(soon(ws.recv()).await.unwrap().len(), 100_000);
    assert_eq!(soon(ws.recv()).await.unwrap().as_text(), Some("behind"));
    // Reading again, the peer has its usual time from now on, and no more.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let closure = ws.closure().expect("found dead");
    assert!(matches!(closure.cause, Cause::KeepaliveTimeout { .. }), "{closure}");
}

#[tokio::test(start_paused = true)]
async fn flush_and_ping_waits_for_the_pong() {
    let (mut peer, ws) = puller(1 << 10);
    let (sender, _receiver) = ws.split();
    let waiting = tokio::spawn(async move {
        sender.send("before").await.unwrap();
        sender.flush_and_ping().await.map(|()| sender)
    });
    assert_eq!(peer.read().await.unwrap().1, b"before");
    let (first, payload) = peer.read().await.unwrap();
    assert_eq!(first, 0x89);
    peer.write(&frame(0x8a, b"another")).await;
    settle().await;
    assert!(!waiting.is_finished(), "that was another pong");
    peer.write(&frame(0x8a, &payload)).await;
    let sender = soon(waiting).await.unwrap().unwrap();
    let waiting = tokio::spawn(async move { sender.flush_and_ping().await });
    peer.read().await.unwrap();
    peer.write(&close(1000)).await;
    peer.read_close().await;
    drop(peer);
    assert_eq!(soon(waiting).await.unwrap(), Err(SendError::Closed));
}

/// Begins to probe and returns the payload of the Ping.
async fn probe(
    peer: &mut Raw<DuplexStream>,
    sender: &everwire::Sender,
) -> (tokio::task::JoinHandle<Result<(), SendError>>, Vec<u8>) {
    let sender = sender.clone();
    let probing = tokio::spawn(async move { sender.probe().await });
    let (first, payload) = soon(peer.read()).await.unwrap();
    assert_eq!(first, 0x89);
    (probing, payload)
}

#[tokio::test(start_paused = true)]
async fn a_short_interval_is_kept_however_long_the_timeout_is() {
    let mut config = Config::default();
    config.keepalive =
        Some(everwire::Keepalive::new(Duration::from_secs(1), Duration::from_secs(60)));
    let (near, far) = duplex(1 << 10);
    let mut peer = Raw(near);
    let _ws = Attach::server().config(config).pull(far);
    let opened = tokio::time::Instant::now();
    for _ in 0..10 {
        let (first, payload) = peer.read().await.unwrap();
        assert_eq!(first, 0x89);
        peer.write(&frame(0x8a, &payload)).await;
    }
    // Each is rounded up by a tick at most.
    assert!(opened.elapsed() <= Duration::from_millis(12_500), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_answered_by_a_pong_or_by_any_byte() {
    let (mut peer, ws) = puller(1 << 10);
    let (sender, _receiver) = ws.split();
    let (probing, payload) = probe(&mut peer, &sender).await;
    peer.write(&frame(0x8a, &payload)).await;
    assert_eq!(soon(probing).await.unwrap(), Ok(()));
    let (probing, _) = probe(&mut peer, &sender).await;
    settle().await;
    assert!(!probing.is_finished());
    peer.write(&[0x81]).await;
    assert_eq!(soon(probing).await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_probe_gives_up_a_dead_peer_even_if_nobody_waits_for_it() {
    for is_dropped in [false, true] {
        let (mut peer, ws) = puller(1 << 10);
        let (sender, _receiver) = ws.split();
        let (probing, _) = probe(&mut peer, &sender).await;
        let asked = tokio::time::Instant::now();
        if is_dropped {
            probing.abort();
        } else {
            assert_eq!(soon(probing).await.unwrap(), Err(SendError::Closed));
        }
        let closure = soon(sender.closed()).await;
        assert!(matches!(closure.cause, Cause::KeepaliveTimeout { .. }), "{closure}");
        // 3 s while no round trip was measured, and a tick.
        assert!(asked.elapsed() <= Duration::from_millis(3250), "{:?}", asked.elapsed());
        assert_eq!(sender.probe().await, Err(SendError::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn halves_work_in_two_tasks_and_as_stream_and_sink() {
    let (client, server) = Pair::new().pull();
    let (mut sender, receiver) = client.split();
    let echo = tokio::spawn(async move {
        let (sender, receiver) = server.split();
        let mut messages = receiver;
        let mut sender = sender;
        while let Some(message) = messages.next().await {
            sender.feed(message).await?;
        }
        sender.flush().await
    });
    let received = tokio::spawn(receiver.take(1000).collect::<Vec<_>>());
    for n in 0..1000 {
        soon(SinkExt::send(&mut sender, Message::text(n.to_string()))).await.unwrap();
    }
    let received = soon(received).await.unwrap();
    assert!(received.iter().enumerate().all(|(n, m)| m.as_text() == Some(&*n.to_string())));
    soon(SinkExt::close(&mut sender)).await.unwrap();
    soon(echo).await.unwrap().unwrap();
}

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_26_who_waits_for_the_end_is_woken_by_nothing_else() {
    let (mut peer, ws) = puller(64 << 10);
    let (sender, mut receiver) = ws.split();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut closed = Box::pin(sender.closed());
    assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    for _ in 0..100 {
        peer.write(&text("x")).await;
        soon(receiver.recv()).await.unwrap();
        sender.send("y").await.unwrap();
        settle().await;
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    sender.abort();
    settle().await;
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(matches!(
        closed.as_mut().poll(&mut Context::from_waker(&waker)),
        Poll::Ready(closure) if closure.cause == Cause::Aborted
    ));
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

/// Sends messages and their end in one write and returns what comes back.
async fn answers_to(script: Vec<u8>, here: bool) -> Vec<(u8, Vec<u8>)> {
    let (near, far) = duplex(4 << 10);
    let mut peer = Raw(near);
    peer.write(&script).await;
    if here {
        tokio::spawn(Attach::server().serve(far, echo));
    } else {
        tokio::spawn(echo(Attach::server().pull(far)));
    }
    let mut answers = Vec::new();
    while let Some(answer) = peer.read().await {
        answers.push(answer);
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn messages_are_answered_before_the_end_that_came_with_them() {
    let one_two = [(0x81, b"one".to_vec()), (0x81, b"two".to_vec())];
    let [messages, clean] = [[text("one"), text("two")].concat(), close(1000)];
    for end in [clean, frame(0xC1, b"reserved bit"), frame(0x83, b"reserved opcode")] {
        for here in [true, false] {
            let answers = answers_to([&messages[..], &end].concat(), here).await;
            assert_eq!(answers[..2], one_two, "{here}");
            assert_eq!((answers.len(), answers[2].0), (3, 0x88));
        }
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (_peer, ws) = puller(64);
    let task = Arc::new(Task);
    let waker = Waker::from(task.clone());
    let mut cx = Context::from_waker(&waker);
    let mut closed = Box::pin(ws.closed());
    assert!(closed.as_mut().poll(&mut cx).is_pending());
    assert_eq!(Arc::strong_count(&task), 3, "the wait holds a waker");
    drop(closed);
    assert_eq!(Arc::strong_count(&task), 2);
}
