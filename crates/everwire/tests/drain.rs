//! Shutting down.

mod common;

use std::{io, time::Duration};

use common::{
    Notes, Raw, Recorder, close, connect, echo, head, read_head, soon, start, status, text,
    until_len,
};
use everwire::{
    Cause, CloseCode, Closure, Conn, Drain, Drained, Handler, Message, Registry, SendError, Server,
    WebSocket, adapt::Attach,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    time::Instant,
};

fn counts(drained: Drained) -> (usize, usize, u64) {
    (drained.clean, drained.cut, drained.unsent)
}

/// A server's connection in a registry, and the peer of it.
fn attach(registry: &Registry) -> (Raw<DuplexStream>, WebSocket) {
    let (near, far) = duplex(1 << 10);
    (Raw(near), Attach::server().registry(registry).pull(far))
}

/// Answers a Close and goes; returns what it was told, and when.
async fn answer(mut peer: Raw<DuplexStream>) -> ((u16, String), Instant) {
    let told = peer.read_close().await;
    let when = Instant::now();
    peer.write(&close(told.0)).await;
    (told, when)
}

#[tokio::test]
async fn trap_22_shutdown_says_goodbye_cuts_who_stays_and_refuses_who_comes() {
    let notes = Notes::default();
    let recorded = notes.clone();
    let builder = Server::builder().push("/", move |_| Recorder(recorded.clone()));
    let (server, addr) = start(builder).await;
    let mut kind = connect(addr, "/").await;
    let _rude = connect(addr, "/").await;
    // This one has connected but not asked yet, and keeps an HTTP connection open.
    let mut late = TcpStream::connect(addr).await.unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_head(&mut late).await), 426);
    let answering = tokio::spawn(async move {
        assert_eq!(kind.read_close().await.0, 1001);
        kind.write(&close(1001)).await;
    });
    until_len(&server, 2).await;
    let drained = server.shutdown(Drain::leaving().deadline(Duration::from_secs(5)));
    let drained = soon(drained).await.unwrap();
    assert_eq!((drained.clean, drained.cut), (1, 1));
    soon(answering).await.unwrap();
    let mut notes = notes.until(4).await;
    notes.sort();
    assert_eq!(notes, ["open", "open", "shutdown", "shutdown"]);
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
    let mut rest = Vec::new();
    soon(late.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn who_waits_to_be_accepted_at_shutdown_is_told_when_to_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = echo().listener(listener).start().await.unwrap();
    // The accept loop has had no chance to run since: this thread is its only one.
    let mut waiting = std::net::TcpStream::connect(addr).unwrap();
    let drained = server.shutdown(Drain::restart().deadline(Duration::ZERO)).await.unwrap();
    assert_eq!((drained.clean, drained.cut), (0, 0));
    io::Write::write_all(&mut waiting, head("/echo", "").as_bytes()).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let mut io = TcpStream::from_std(waiting).unwrap();
    let response = read_head(&mut io).await;
    assert_eq!(status(&response), 503, "{response}");
}

#[tokio::test(start_paused = true)]
async fn closings_are_paced_and_carry_the_advice() {
    let registry = Registry::default();
    let peers: Vec<_> = (0..100).map(|_| attach(&registry)).collect();
    let start = Instant::now();
    let answers: Vec<_> =
        peers.into_iter().map(|(peer, ws)| (tokio::spawn(answer(peer)), ws)).collect();
    let drain = Drain::restart().rate(10).spread(Duration::from_secs(20));
    let drained = registry.drain(drain.deadline(Duration::from_secs(60))).await.unwrap();
    assert_eq!(counts(drained), (100, 0, 0));
    let mut times = Vec::new();
    for (answer, _ws) in answers {
        let (told, when) = answer.await.unwrap();
        assert_eq!(told, (1012, "retry=1000;spread=20000".into()));
        times.push(when - start);
    }
    times.sort();
    for second in 0..10 {
        let range = Duration::from_secs(second)..Duration::from_secs(second + 1);
        let told = times.iter().filter(|time| range.contains(time)).count();
        assert!((9..=11).contains(&told), "{told} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pace_that_is_too_slow_for_the_deadline_is_raised() {
    let registry = Registry::default();
    let answers: Vec<_> = (0..100)
        .map(|_| attach(&registry))
        .map(|(peer, ws)| (tokio::spawn(answer(peer)), ws))
        .collect();
    let drain = Drain::leaving().rate(1).deadline(Duration::from_secs(10));
    let start = Instant::now();
    assert_eq!(counts(registry.drain(drain).await.unwrap()), (100, 0, 0));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    for (answer, _ws) in answers {
        assert_eq!(answer.await.unwrap().0.0, 1001);
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_are_told_in_no_order_of_their_own() {
    let registry = Registry::default();
    let answers: Vec<_> = (0..100)
        .map(|_| attach(&registry))
        .map(|(peer, ws)| (tokio::spawn(answer(peer)), ws))
        .collect();
    registry.drain(Drain::leaving().rate(100)).await.unwrap();
    let mut times = Vec::new();
    for (answer, _ws) in answers {
        times.push(answer.await.unwrap().1);
    }
    assert!(!times.is_sorted());
}

/// Says goodbye when the server drains.
struct Polite(Notes);

impl Handler for Polite {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.0.add("drain");
        conn.send("goodbye").unwrap();
    }

    fn on_close(&mut self, closure: &Closure) {
        self.0.add(closure.cause.label());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_says_its_own_goodbye_before_the_close() {
    let (registry, notes) = (Registry::default(), Notes::default());
    let (near, far) = duplex(1 << 10);
    Attach::server().registry(&registry).push(far, Polite(notes.clone()));
    let peer = tokio::spawn(async move {
        let mut peer = Raw(near);
        assert_eq!(peer.read().await.unwrap(), (0x81, b"goodbye".to_vec()));
        answer(peer).await.0
    });
    assert_eq!(counts(registry.drain(Drain::restart()).await.unwrap()), (1, 0, 0));
    assert_eq!(peer.await.unwrap(), (1012, String::new()));
    assert_eq!(notes.all(), ["drain", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn a_pull_function_has_the_grace_for_its_goodbye() {
    let registry = Registry::default();
    let (mut peer, ws) = attach(&registry);
    let user = tokio::spawn(async move {
        ws.draining().await;
        ws.draining().await;
        tokio::time::sleep(Duration::from_secs(2)).await; // It has something to finish.
        ws.send("goodbye").await.unwrap();
        ws.closed().await
    });
    let peer = tokio::spawn(async move {
        assert_eq!(peer.read().await.unwrap(), (0x81, b"goodbye".to_vec()));
        answer(peer).await
    });
    let start = Instant::now();
    let drain = Drain::restart().grace(Duration::from_secs(3));
    assert_eq!(counts(registry.drain(drain).await.unwrap()), (1, 0, 0));
    let (told, when) = peer.await.unwrap();
    assert_eq!(told.0, 1012);
    assert!(when - start >= Duration::from_secs(3), "{:?}", when - start);
    assert_eq!(user.await.unwrap().cause, Cause::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn who_closes_in_the_grace_is_not_waited_for() {
    let registry = Registry::default();
    let (peer, ws) = attach(&registry);
    let user = tokio::spawn(async move {
        ws.draining().await;
        ws.close(CloseCode::NORMAL_CLOSURE, "done").unwrap().await
    });
    let peer = tokio::spawn(answer(peer));
    let start = Instant::now();
    let drain = Drain::leaving().grace(Duration::from_secs(8));
    assert_eq!(counts(registry.drain(drain).await.unwrap()), (1, 0, 0));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(peer.await.unwrap().0, (1000, "done".into()));
    assert_eq!(user.await.unwrap().cause, Cause::LocalClosed);
}

#[tokio::test(start_paused = true)]
async fn draining_is_over_when_the_connection_closes() {
    let (mut peer, ws) = attach(&Registry::default());
    let waiting = async { soon(ws.draining()).await };
    let closing = async {
        tokio::task::yield_now().await;
        peer.write(&close(1000)).await;
    };
    tokio::join!(waiting, closing);
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_peer_never_took_is_counted_to_the_message() {
    let registry = Registry::default();
    let (mut peer, ws) = attach(&registry);
    for i in 0..100 {
        ws.send(vec![i; 100]).await.unwrap();
    }
    let reading = async {
        // The pipe holds a part of it.
        let mut taken = [0; 3000];
        soon(peer.0.read_exact(&mut taken)).await.unwrap();
        taken.to_vec()
    };
    let drain = Drain::leaving().deadline(Duration::from_secs(2));
    let (drained, mut taken) = tokio::join!(registry.drain(drain), reading);
    soon(peer.0.read_to_end(&mut taken)).await.unwrap();
    let whole = (taken.len() / 102) as u64;
    assert!(whole > 30, "{whole}");
    assert_eq!(counts(drained.unwrap()), (0, 1, 100 - whole));
    assert_eq!(ws.closure().unwrap().unsent, 100 - whole);
    assert_eq!(registry.totals().unsent, 100 - whole);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_an_abort_or_a_message_in_pieces_is_counted() {
    let (_peer, ws) = attach(&Registry::default());
    for _ in 0..5 {
        ws.send("never").await.unwrap();
    }
    ws.abort();
    assert_eq!(soon(ws.closed()).await.unsent, 5);

    let (_peer, ws) = attach(&Registry::default());
    let mut writer = ws.stream_message(everwire::MessageKind::Text).await.unwrap();
    writer.write(vec![b'x'; 5000]).await.unwrap();
    tokio::task::yield_now().await;
    ws.try_send("behind").unwrap();
    ws.abort();
    assert_eq!(soon(ws.closed()).await.unsent, 2);
}

#[tokio::test]
async fn a_notice_that_must_not_be_sent_is_refused_and_the_server_goes_on() {
    let (server, addr) = start(echo()).await;
    let refused = server.shutdown(Drain::new(CloseCode::ABNORMAL_CLOSURE)).await;
    assert!(matches!(refused, Err(SendError::ReservedCloseCode(_))));
    let mut peer = connect(addr, "/echo").await;
    peer.write(&text("still")).await;
    assert_eq!(peer.read().await.unwrap().1, b"still");
}

#[tokio::test]
async fn shutdown_returns_when_all_who_waited_to_be_accepted_were_answered() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = echo().listener(listener).start().await.unwrap();
    let request = head("/echo", "");
    let mut waiting: Vec<_> = (0..50)
        .map(|_| {
            let mut waiting = std::net::TcpStream::connect(addr).unwrap();
            io::Write::write_all(&mut waiting, request.as_bytes()).unwrap();
            waiting
        })
        .collect();
    let reading = std::thread::spawn(move || {
        let read = |io: &mut std::net::TcpStream| {
            let mut response = String::new();
            io::Read::read_to_string(io, &mut response).expect("no reset");
            status(&response)
        };
        waiting.iter_mut().map(read).collect::<Vec<_>>()
    });
    assert_eq!(counts(server.shutdown(Drain::restart()).await.unwrap()), (0, 0, 0));
    // This thread runs nothing more of the server: what was not answered by now never will be.
    assert_eq!(reading.join().unwrap(), [503; 50]);
    assert_eq!(server.registry().totals().refused[&503], 50);
}

#[tokio::test]
async fn who_connected_and_never_asked_delays_a_shutdown_by_no_more_than_a_moment() {
    let (server, addr) = start(echo().handshake_timeout(Duration::from_secs(3600))).await;
    let mut silent = TcpStream::connect(addr).await.unwrap();
    // It is accepted: a later one is served.
    connect(addr, "/echo").await;
    until_len(&server, 0).await;
    let drain = Drain::restart().deadline(Duration::from_secs(3600));
    assert_eq!(counts(soon(server.shutdown(drain)).await.unwrap()), (0, 0, 0));
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}
