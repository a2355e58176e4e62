//! What becomes of messages while no connection is open.

use super::*;

#[tokio::test]
async fn while_down_messages_are_refused_queued_or_dropped_as_chosen() {
    let nowhere = "ws://127.0.0.1:1/";
    let refusing = builder(nowhere).start();
    assert_eq!(refusing.send("a").await, Err(NotSent::Down));
    assert_eq!(refusing.tally().refused, 1);

    let dropping = builder(nowhere).while_down(WhileDown::Drop).start();
    assert_eq!(dropping.send("a").await, Ok(Sent::Dropped));
    assert_eq!(dropping.tally().dropped, 1);

    let queueing = builder(nowhere).while_down(WhileDown::Queue { bytes: 100 }).start();
    assert_eq!(queueing.send("a").await, Ok(Sent::Queued));
    let full = NotSent::QueueFull { queued: 65, limit: 100 };
    assert_eq!(queueing.send("b").await, Err(full));
    let tally = queueing.tally();
    assert_eq!((tally.queued, tally.refused, tally.abandoned), (1, 1, 0));
    let stop = soon(queueing.close(CloseCode::NORMAL_CLOSURE, "").unwrap()).await;
    assert!(matches!(stop, Stop::Closed(None)), "{stop}");
    assert_eq!(queueing.send("c").await, Err(NotSent::Stopped));
    let tally = queueing.tally();
    assert_eq!((tally.queued, tally.abandoned), (0, 1));
}

#[tokio::test]
async fn a_send_dropped_while_it_waits_has_sent_nothing() {
    let (url, _) = script(vec![Step::Keep(OPEN.into())]).await;
    let mut config = everwire::Config::default();
    config.limits.send_queue = 1 << 10;
    config.limits.send_queue_low = 1;
    let client = Client::new(&url).unwrap().proxy(ProxyConfig::Direct).config(config);
    let client = ReconnectingClient::builder(client).policy(quick()).start();
    soon(client.open()).await.unwrap();
    let large = vec![0; 64 << 20]; // More than the sockets take in a moment.
    client.send(large).await.unwrap();
    assert!(client.send("one").now_or_never().is_none(), "the send queue is not full");
    assert_eq!(client.tally().handed, 1);
}

#[tokio::test]
async fn what_goes_unread_over_several_connections_is_bounded_and_counted() {
    // A message that leaves room to notice the end behind it.
    let mut frames = vec![0x82, 126];
    frames.extend_from_slice(&60_000_u16.to_be_bytes());
    frames.resize(frames.len() + 60_000, 7);
    let ends = Step::Say([OPEN.as_bytes(), &frames].concat());
    let mut steps = vec![ends; 29];
    steps.push(open_with(b"\x81\x01z")); // This one stays.
    let (url, _) = script(steps).await;
    let mut client = builder(&url).start();
    let mut states = client.states();
    soon(async { while states.next().await.unwrap().generation() != Some(30) {} }).await;
    let unread = client.tally().unread;
    assert!((10..=20).contains(&unread), "{unread}");
    // What is left is in order, and the last connection's is there.
    for generation in unread + 1..=30 {
        assert_eq!(soon(client.recv()).await.unwrap().generation, generation);
    }
}
