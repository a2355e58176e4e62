//! The send queue: bounded, in order, and written with few system calls.

mod common;

use std::{sync::atomic::Ordering, time::Duration};

use common::{Probe, Raw, frame, puller, settle, soon, text};
use everwire::{
    Cause, CloseCode, Config, Message, PreparedMessage, SendError, adapt::Attach, test::Pair,
};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

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
