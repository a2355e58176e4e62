//! The pull face: nothing is lost whatever is dropped, and every queue is bounded.

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

use common::{Probe, Raw, close, frame, soon, text};
use everwire::{
    Cause, CloseCode, Config, Delivery, Message, MessageKind, PreparedMessage, SendError,
    WebSocket, adapt::Attach, test::Pair,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn puller(capacity: usize) -> (Raw<DuplexStream>, WebSocket) {
    let (near, far) = duplex(capacity);
    (Raw(near), Attach::server().pull(far))
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn recv_dropped_at_every_byte_loses_nothing() {
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
async fn send_dropped_while_it_waits_has_queued_nothing() {
    let (client, mut server) = Pair::new().capacity(1 << 10).pull();
    let mut queued = Vec::new();
    for n in 0..200_u32 {
        let mut payload = n.to_be_bytes().to_vec();
        payload.resize(64 << 10, 0);
        match client.send(payload).now_or_never() {
            Some(sent) => {
                sent.unwrap();
                queued.push(n);
            }
            None if n % 10 == 0 => drop(server.recv().await),
            None => {}
        }
        tokio::task::yield_now().await;
    }
    assert!(queued.len() < 200, "the queue never filled");
    client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    let mut last = None;
    while let Some(message) = soon(server.recv()).await {
        last = Some(u32::from_be_bytes(message.as_bytes()[..4].try_into().unwrap()));
    }
    assert_eq!(last, queued.last().copied());
    let received = server.closure().unwrap().counters.messages_received;
    assert_eq!(received as usize, queued.len());
}

#[tokio::test(start_paused = true)]
async fn the_send_queue_is_bounded_and_goes_on_when_it_drains() {
    let (mut peer, ws) = puller(1 << 10);
    let mut n = 0;
    let full = loop {
        match ws.try_send(vec![0; 10_000]) {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 1000);
    };
    let SendError::Full { queued, limit } = full else { panic!("{full}") };
    assert!(limit == 1 << 20 && (limit..limit + 11_000).contains(&queued), "{queued}");
    assert!(ws.reserve().now_or_never().is_none());
    let (sender, _receiver) = ws.split();
    let sending = tokio::spawn(async move {
        let permit = sender.reserve().await.unwrap();
        permit.send("reserved").unwrap();
        sender.send("sent").await.unwrap();
    });
    settle().await;
    assert!(!sending.is_finished());
    // It is welcome again below the low mark, 256 KiB, not at the first byte.
    let mut sink = vec![0; 100_000];
    soon(peer.0.read_exact(&mut sink)).await.unwrap();
    settle().await;
    assert!(!sending.is_finished());
    let mut sink = vec![0; n * 10_004 - 100_000];
    soon(peer.0.read_exact(&mut sink)).await.unwrap();
    assert_eq!(peer.read().await.unwrap().1, b"reserved");
    assert_eq!(peer.read().await.unwrap().1, b"sent");
    soon(sending).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_comes_before_who_tries_again_and_again() {
    let (mut peer, ws) = puller(1 << 10);
    let (sender, _receiver) = ws.split();
    let trying = sender.clone();
    let trying = tokio::spawn(async move {
        for _ in 0..10_000 {
            while trying.try_send(vec![0; 100_000]).is_ok() {}
            tokio::task::yield_now().await;
        }
    });
    let reading = tokio::spawn(async move { while peer.read().await.unwrap().1 != b"waited" {} });
    settle().await;
    soon(sender.send("waited")).await.unwrap();
    assert!(!trying.is_finished(), "it was not sent beside the other");
    trying.abort();
    soon(reading).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_room_that_is_not_taken_up_keeps_nobody_from_an_empty_queue() {
    let (mut peer, ws) = puller(1 << 10);
    let (sender, _receiver) = ws.split();
    let mut n = 0;
    while sender.try_send(vec![0; 100_000]).is_ok() {
        n += 1;
    }
    let mut waiting = Box::pin(sender.send("waits"));
    assert!(waiting.as_mut().now_or_never().is_none());
    for _ in 0..n {
        peer.read().await.unwrap();
    }
    settle().await;
    sender.try_send("empty").unwrap();
    assert_eq!(peer.read().await.unwrap().1, b"empty");
    soon(waiting).await.unwrap();
    assert_eq!(peer.read().await.unwrap().1, b"waits");
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

#[tokio::test(start_paused = true)]
async fn unread_echoes_stop_at_the_send_queue() {
    let (near, far) = duplex(1 << 10);
    let sender = Attach::server().push(far, common::Echo);
    let (mut read, write) = tokio::io::split(near);
    let writer = tokio::spawn(async move {
        let mut peer = Raw(tokio::io::join(tokio::io::empty(), write));
        for n in 0..1000_u32 {
            peer.write(&frame(0x82, &[&n.to_be_bytes()[..], &[0; 9_996]].concat())).await;
        }
        peer
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!writer.is_finished(), "10 MB fit nowhere");
    // Whoever reads in the end gets every echo.
    for n in 0..1000_u32 {
        let mut echo = vec![0; 10_004];
        soon(read.read_exact(&mut echo)).await.unwrap();
        assert_eq!(echo[4..8], n.to_be_bytes());
    }
    drop(soon(writer).await);
    sender.abort();
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
async fn who_waits_for_the_end_is_woken_by_nothing_else() {
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

#[tokio::test(start_paused = true)]
async fn output_leaves_in_one_write_per_read_and_large_payloads_uncopied() {
    let (near, far) = duplex(1 << 20);
    let (far, watch) = Probe::new(far);
    let sender = Attach::server().push(far, common::Echo);
    let mut peer = Raw(near);
    let batch: Vec<u8> = (0..1000).flat_map(|n| text(&n.to_string())).collect();
    peer.write(&batch).await;
    for n in 0..1000 {
        assert_eq!(peer.read().await.unwrap().1, n.to_string().as_bytes());
    }
    assert_eq!(watch.writes.load(Ordering::Relaxed), 1);
    let large = bytes::Bytes::from(vec![1; 100_000]);
    let slice = (large.as_ptr() as usize, large.len());
    sender.send(large).await.unwrap();
    assert_eq!(peer.read().await.unwrap().1.len(), 100_000);
    assert!(watch.slices.lock().unwrap().contains(&slice), "the payload was copied");
    let prepared = PreparedMessage::new(vec![2; 100_000]);
    sender.send_prepared(&prepared).await.unwrap();
    assert_eq!(peer.read().await.unwrap().1.len(), 100_000);
    assert_eq!(watch.writes.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_was_not_ready_is_taken_up_again() {
    let (near, far) = duplex(1 << 10);
    let (far, watch) = Probe::new(far);
    watch.slow_flush.store(true, Ordering::Relaxed);
    let ws = Attach::server().pull(far);
    ws.send("x").await.unwrap();
    let mut peer = Raw(near);
    peer.read().await.unwrap();
    settle().await;
    assert_eq!(watch.flushes.load(Ordering::Relaxed), 1);
    ws.abort();
}

#[tokio::test(start_paused = true)]
async fn messages_of_others_wait_for_the_end_of_one_in_pieces_and_pings_do_not() {
    let (mut peer, ws) = puller(1 << 20);
    let mut writer = ws.stream_message(MessageKind::Text).await.unwrap();
    writer.write(&b"a"[..]).await.unwrap();
    ws.send("other").await.unwrap();
    ws.ping(b"p").unwrap();
    peer.write(&frame(0x89, b"q")).await;
    settle().await;
    writer.write("é".as_bytes()[..1].to_vec()).await.unwrap();
    assert_eq!(writer.write(&b"a"[..]).await, Err(SendError::InvalidUtf8));
    writer.write("é".as_bytes()[1..].to_vec()).await.unwrap();
    writer.finish().await.unwrap();
    let mut frames = Vec::new();
    for _ in 0..7 {
        frames.push(peer.read().await.unwrap());
    }
    let expected: [(u8, &[u8]); 7] = [
        (0x01, b"a"),
        (0x89, b"p"),
        (0x8a, b"q"),
        (0x00, b"\xc3"),
        (0x00, b"\xa9"),
        (0x80, b""),
        (0x81, b"other"),
    ];
    assert_eq!(frames, expected.map(|(first, payload)| (first, payload.to_vec())));
}

#[tokio::test(start_paused = true)]
async fn writers_take_turns() {
    let (client, mut server) = Pair::new().pull();
    let (sender, _receiver) = client.split();
    let writers: Vec<_> = (0..5_u8)
        .map(|n| {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut writer = sender.stream_message(MessageKind::Binary).await.unwrap();
                for _ in 0..10 {
                    writer.write(vec![n; 1000]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                writer.finish().await.unwrap();
                sender.send("whole").await.unwrap();
            })
        })
        .collect();
    let mut pieces = 0;
    for _ in 0..10 {
        let message = soon(server.recv()).await.unwrap();
        if message.kind() == MessageKind::Binary {
            let n = message.as_bytes()[0];
            assert_eq!(message, Message::binary(vec![n; 10_000]));
            pieces += 1;
        }
    }
    assert_eq!(pieces, 5);
    for writer in writers {
        soon(writer).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_is_held_by_the_send_queue_and_not_by_messages_that_wait_for_it() {
    let (mut peer, ws) = puller(1 << 10);
    let mut writer = ws.stream_message(MessageKind::Binary).await.unwrap();
    writer.write(vec![0; 10]).await.unwrap();
    while ws.try_send(vec![0; 100_000]).is_ok() {}
    soon(writer.write(vec![0; 10])).await.unwrap();
    let mut n = 0;
    while let Some(written) = writer.write(vec![0; 100_000]).now_or_never() {
        written.unwrap();
        n += 1;
        assert!(n < 100);
    }
    let writing = tokio::spawn(async move {
        writer.write(vec![0; 100_000]).await?;
        writer.finish().await
    });
    let mut whole = 0;
    while whole < 11 {
        let (first, _) = peer.read().await.unwrap();
        whole += usize::from(first == 0x82);
    }
    soon(writing).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_writer_dropped_unfinished_ends_the_connection_and_unused_leaves_no_trace() {
    let (mut client, server) = Pair::new().pull();
    drop(server.stream_message(MessageKind::Text).await.unwrap());
    server.send("whole").await.unwrap();
    assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("whole"));
    let mut writer = server.stream_message(MessageKind::Text).await.unwrap();
    writer.write(&b"half"[..]).await.unwrap();
    drop(writer);
    assert_eq!(soon(client.recv()).await, None);
    assert_eq!(client.closure().unwrap().code(), CloseCode::GOING_AWAY);
    assert_eq!(soon(server.closed()).await.cause, Cause::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn pieces_are_received_as_they_arrive_or_put_together() {
    let mut config = Config::default();
    config.delivery = Delivery::Pieces;
    let (near, far) = duplex(1 << 10);
    let mut ws = Attach::server().config(config).pull(far);
    let mut peer = Raw(near);
    peer.write(&frame(0x01, "aé".as_bytes().split_at(2).0)).await;
    let piece = soon(ws.recv_piece()).await.unwrap();
    assert_eq!((piece.first, piece.last, &*piece.payload), (true, false, &b"a\xc3"[..]));
    peer.write(&frame(0x80, b"\xa9")).await;
    let piece = soon(ws.recv_piece()).await.unwrap();
    assert_eq!((piece.first, piece.last, &*piece.payload), (false, true, &b"\xa9"[..]));
    peer.write(&[frame(0x01, b"to"), frame(0x80, b"gether"), text("whole")].concat()).await;
    assert_eq!(soon(ws.recv()).await.unwrap().as_text(), Some("together"));
    assert_eq!(soon(ws.recv()).await.unwrap().as_text(), Some("whole"));
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

#[tokio::test(start_paused = true)]
async fn a_send_queue_below_the_low_mark_does_not_hang_the_driver() {
    struct Echo;
    impl everwire::Handler for Echo {
        fn on_message(&mut self, conn: &mut everwire::Conn<'_>, message: Message<'_>) {
            conn.send(message).ok();
        }
    }
    let mut config = Config::default();
    config.limits.send_queue = 4 << 10; // The low mark stays at its default of 256 KiB.
    let (near, far) = duplex(2 << 10);
    let sender = Attach::server().config(config).push(far, Echo);
    let (_never_read, mut write) = tokio::io::split(near);
    tokio::spawn(async move {
        for _ in 0..100 {
            if write.write_all(&frame(0x82, &[0; 1000])).await.is_err() {
                break;
            }
        }
    });
    assert_eq!(soon(sender.closed()).await.cause, Cause::WriteTimeout);
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
