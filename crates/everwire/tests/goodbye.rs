//! What an application is still given when its own side has said goodbye.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Raw, close, connect, frame, soon, start, text, until};
use everwire::{
    Client, CloseCode, Closure, Config, Conn, Delivery, Drain, Handler, Message, Registry, Server,
    WebSocket, adapt::Attach, dial::ProxyConfig,
};
use tokio::{sync::mpsc, time::sleep};

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.ok();
    }
}

/// More than the queue of received messages takes comes behind our Close, to somebody who is slow.
#[tokio::test]
async fn who_receives_slowly_gets_all_that_crossed_the_close() {
    let (_server, addr) = start(Server::builder().bind("127.0.0.1:0").pull("/echo", echo)).await;
    let client = Client::new(&format!("ws://{addr}/echo")).unwrap().proxy(ProxyConfig::Direct);
    let (sender, mut receiver) = client.connect().await.unwrap().split();
    let message = "x".repeat(1000);
    let (said, is_said) = tokio::sync::oneshot::channel();
    let receiving = tokio::spawn(async move {
        is_said.await.unwrap();
        let mut received = 0;
        while receiver.recv().await.is_some() {
            received += 1;
            if received % 100 == 0 {
                sleep(Duration::from_millis(20)).await;
            }
        }
        (received, receiver.closed().await)
    });
    for _ in 0..3000 {
        sender.send(&*message).await.unwrap();
    }
    drop(sender.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    said.send(()).unwrap();
    let (received, closure) = soon(receiving).await.unwrap();
    assert_eq!(received, 3000, "{closure}");
    assert!(closure.is_clean(), "{closure}");
}

/// A deploy, while a handler is behind.
#[tokio::test]
async fn a_drain_loses_no_message_that_a_handler_still_takes() {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let slow = move |mut ws: WebSocket| {
        let count = count.clone();
        async move {
            while ws.recv().await.is_some() {
                if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(50) {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    let (server, addr) = start(Server::builder().bind("127.0.0.1:0").pull("/", slow)).await;
    let client = Client::new(&format!("ws://{addr}/")).unwrap().proxy(ProxyConfig::Direct);
    let ws = client.connect().await.unwrap();
    for _ in 0..3000 {
        ws.send("request").await.unwrap();
    }
    let done = soon(ws.flush_and_ping());
    let shutdown = async {
        until(|| taken.load(Ordering::Relaxed) > 0).await;
        server.shutdown(Drain::restart().deadline(Duration::from_secs(30))).await.unwrap()
    };
    let (_, drained) = tokio::join!(done, soon(shutdown));
    assert_eq!((drained.clean, drained.cut), (1, 0));
    let closure = soon(ws.closed()).await;
    assert!(closure.is_clean(), "{closure}");
    assert_eq!(closure.counters.messages_sent, 3000);
    // What it has in its queue it still takes.
    until(|| taken.load(Ordering::Relaxed) == 3000).await;
}

/// Nobody receives: that must not keep the closing handshake.
#[tokio::test(start_paused = true)]
async fn who_does_not_receive_is_waited_for_a_second() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let ws = Attach::server().pull(near);
    let mut peer = Raw(far);
    for _ in 0..200 {
        peer.write(&frame(0x82, &[7; 1000])).await;
    }
    sleep(Duration::from_millis(10)).await;
    let closing = ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    for _ in 0..200 {
        peer.write(&frame(0x82, &[7; 1000])).await;
    }
    assert_eq!(peer.read_close().await.0, 1000);
    peer.write(&close(1000)).await;
    let begun = tokio::time::Instant::now();
    assert!(soon(closing).await.is_clean());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// What is discarded is the end, never the middle.
#[tokio::test(start_paused = true)]
async fn what_is_received_late_has_no_holes() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let mut config = Config::default();
    config.delivery = Delivery::Pieces;
    let mut ws = Attach::server().config(config).pull(near);
    let mut peer = Raw(far);
    let fragment = |n: u8| frame(if n == 0 { 0x02 } else { 0x00 }, &[n; 10_000]);
    peer.write(&fragment(0)).await;
    sleep(Duration::from_millis(10)).await;
    drop(ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    for n in 1..100 {
        peer.write(&fragment(n)).await;
        sleep(Duration::from_millis(30)).await;
    }
    peer.write(&frame(0x80, &[100; 10_000])).await;
    peer.write(&close(1000)).await;
    let mut next = 0;
    while let Some(piece) = soon(ws.recv_piece()).await {
        for byte in piece.payload.iter() {
            assert_eq!(usize::from(*byte), next / 10_000);
            next += 1;
        }
    }
    assert!((60_000..1_010_000).contains(&next), "{next}");
    assert!(soon(ws.closed()).await.is_clean());
}

/// Sends to everybody, the sender included, through handles.
struct Chat(Registry);

impl Handler for Chat {
    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        for member in self.0.list() {
            self.0.try_send(member.id, message.clone()).ok();
        }
    }
}

#[tokio::test]
async fn a_message_is_answered_through_a_handle_before_the_close_behind_it() {
    let registry = Registry::default();
    let members = registry.clone();
    let (near, far) = tokio::io::duplex(1 << 16);
    let _handle = Attach::server().registry(&registry).push(near, Chat(members));
    let mut peer = Raw(far);
    let all = [text("a"), text("b"), close(1000)].concat();
    peer.write(&all).await;
    assert_eq!(peer.read().await, Some((0x81, b"a".to_vec())));
    assert_eq!(peer.read().await, Some((0x81, b"b".to_vec())));
    assert_eq!(peer.read_close().await.0, 1000);
}

/// Notes how long each connection lived.
struct Lived(mpsc::UnboundedSender<Duration>);

impl Handler for Lived {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}

    fn on_close(&mut self, closure: &Closure) {
        assert!(closure.is_clean(), "{closure}");
        self.0.send(closure.duration).ok();
    }
}

/// The peer keeps its end, and time stands still: a server that waited for its end of stream would wait
/// until this test gives up.
#[tokio::test(start_paused = true)]
async fn a_server_on_plain_tcp_is_done_when_both_closes_have_passed() {
    // As long as a blocking task runs, paused time does not go on by itself.
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let still = tokio::task::spawn_blocking(move || {
        is_done.recv_timeout(Duration::from_secs(30)).ok();
    });
    let (lived, mut lives) = mpsc::unbounded_channel();
    let handler = move |_: &_| Lived(lived.clone());
    let (_server, addr) = start(Server::builder().push("/", handler)).await;
    let mut peer = connect(addr, "/").await;
    peer.write(&close(1000)).await;
    assert_eq!(peer.read_close().await.0, 1000);
    peer.read_eof().await;
    assert_eq!(soon(lives.recv()).await, Some(Duration::ZERO));
    drop(done);
    still.await.unwrap();
}
