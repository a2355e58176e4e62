//! Messages in pieces, sent and received.

mod common;

use common::{Raw, frame, puller, settle, soon, text};
use everwire::{
    Cause, CloseCode, Config, Delivery, Message, MessageKind, SendError, adapt::Attach, test::Pair,
};
use futures_util::FutureExt;
use tokio::io::duplex;

#[tokio::test(start_paused = true)]
async fn trap_07_messages_of_others_wait_for_the_end_of_one_in_pieces_and_pings_do_not() {
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
async fn trap_07_writers_take_turns() {
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
