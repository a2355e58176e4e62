//! Groups: who receives what, in which order, and what becomes of those who are slow.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Notes, Probe, Raw, close, connect, frame, soon, start, text, until, until_len};
use everwire::{
    Cause, CloseCode, CloseFrame, Config, Conn, DeflateConfig, DeflateMode, Group, Handler,
    Message, MessageKind, PreparedMessage, Server, ServerBuilder, SlowPolicy, WebSocket,
    adapt::Attach, test::Pair,
};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

/// A member of a room, who is echoed by all.
struct Member(Group);

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        assert!(self.0.join(&conn.sender()));
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let message = PreparedMessage::new(message);
        if message.payload().starts_with(b"others:") {
            self.0.broadcast_except(conn.id(), &message);
        } else {
            self.0.broadcast(&message);
        }
    }
}

async fn pulled(group: Group, mut ws: WebSocket) {
    assert!(group.join(&ws));
    while let Some(message) = ws.recv().await {
        group.broadcast(&PreparedMessage::new(message));
    }
}

fn room(group: &Group) -> ServerBuilder {
    let (pushed, group) = (group.clone(), group.clone());
    Server::builder()
        .push("/push", move |_| Member(pushed.clone()))
        .pull("/pull", move |ws| pulled(group.clone(), ws))
}

async fn until_members(group: &Group, n: usize) {
    until(|| group.len() == n).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn all_members_receive_all_messages_in_one_order() {
    let group = Group::default();
    let (server, addr) = start(room(&group)).await;
    let mut members = Vec::new();
    for i in 0..12 {
        members.push(connect(addr, if i % 3 == 0 { "/pull" } else { "/push" }).await);
    }
    until_members(&group, 12).await;
    for round in 0..50 {
        for (i, member) in members.iter_mut().enumerate() {
            member.write(&text(&format!("{i} {round}"))).await;
        }
    }
    let mut orders = Vec::new();
    for member in &mut members {
        let mut order = Vec::new();
        for _ in 0..12 * 50 {
            let (first, payload) = member.read().await.unwrap();
            assert_eq!(first, 0x81);
            order.push(String::from_utf8(payload).unwrap());
        }
        orders.push(order);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    for i in 0..12 {
        let own = orders[0].iter().filter(|said| said.starts_with(&format!("{i} ")));
        let expected: Vec<String> = (0..50).map(|round| format!("{i} {round}")).collect();
        assert_eq!(own.collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    }
    drop(members);
    until_len(&server, 0).await;
    assert_eq!((group.len(), group.dropped()), (0, 0));
}

#[tokio::test]
async fn one_may_be_left_out() {
    let group = Group::default();
    let (_server, addr) = start(room(&group)).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(connect(addr, "/push").await);
    }
    until_members(&group, 3).await;
    members[1].write(&[text("others: hello"), text("all")].concat()).await;
    for (i, member) in members.iter_mut().enumerate() {
        if i != 1 {
            assert_eq!(member.read().await.unwrap(), (0x81, b"others: hello".to_vec()));
        }
        assert_eq!(member.read().await.unwrap(), (0x81, b"all".to_vec()));
    }
}

#[tokio::test]
async fn members_come_once_and_leave_when_they_want_or_end() {
    let group = Group::default();
    assert!(group.is_empty());
    let (mut client, server) = Pair::new().pull();
    assert!(group.join(&server));
    assert!(!group.join(&server));
    assert!(group.contains(server.id()) && group.len() == 1);
    let (_client, other) = Pair::new().pull();
    assert!(group.join(&other));
    let hello = PreparedMessage::new("hello");
    let done = group.broadcast(&hello);
    assert_eq!((done.queued, done.slow), (2, 0));
    assert_eq!(group.broadcast_except(server.id(), &hello).queued, 1);
    assert!(group.leave(other.id()));
    assert!(!group.leave(other.id()));
    assert_eq!(group.broadcast(&PreparedMessage::new("last")).queued, 1);
    for expected in ["hello", "last"] {
        assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some(expected));
    }
    // Whoever has ended is gone; nobody has to say so.
    soon(client.close(CloseCode::NORMAL_CLOSURE, "").unwrap()).await;
    soon(server.closed()).await;
    assert!(group.is_empty());
    assert!(!group.join(&server));
    assert_eq!(group.broadcast(&hello), everwire::Broadcast::default());
}

#[tokio::test]
async fn a_group_keeps_no_connection_open_and_no_connection_a_group() {
    let group = Group::default();
    let (client, server) = Pair::new().pull();
    assert!(group.join(&server));
    drop(server);
    let closure = soon(client.closed()).await;
    assert_eq!(closure.received.as_ref().map(|frame| frame.code), Some(CloseCode::GOING_AWAY));
    until_members(&group, 0).await;
    let (_client, server) = Pair::new().pull();
    assert!(group.join(&server));
    drop(group);
    soon(server.send("goes on")).await.unwrap();
}

#[tokio::test]
async fn a_broadcast_keeps_its_place_among_what_a_sender_sends() {
    let group = Group::default();
    let (mut client, server) = Pair::new().pull();
    group.join(&server);
    for round in 0..100 {
        server.try_send(format!("before {round}")).unwrap();
        group.broadcast(&PreparedMessage::new(format!("cast {round}")));
        group.broadcast(&PreparedMessage::new(format!("again {round}")));
        server.try_send(format!("after {round}")).unwrap();
        if round % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for round in 0..100 {
        for expected in ["before", "cast", "again", "after"] {
            let message = soon(client.recv()).await.unwrap();
            assert_eq!(message.as_text(), Some(&format!("{expected} {round}")[..]));
        }
    }
}

/// Whatever is sent in between, and whoever is left out.
#[tokio::test]
async fn every_member_receives_what_is_sent_to_it_in_order() {
    for seed in 0..30u64 {
        let mut state = seed * 2 + 1;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let (one, other) = (Group::default(), Group::default());
        let mut ends: Vec<_> = (0..4).map(|_| Pair::new().capacity(1 << 20).pull()).collect();
        let mut expected = vec![Vec::new(); 4];
        for (_, server) in &ends {
            assert!(one.join(server) && other.join(server));
        }
        for step in 0..200 {
            let text = format!("{step}");
            let who = below(4) as usize;
            let to: Vec<usize> = match below(10) {
                0 => {
                    ends[who].1.try_send(&text[..]).unwrap();
                    vec![who]
                }
                1 => {
                    let mut writer = ends[who].1.stream_message(MessageKind::Text).await.unwrap();
                    let (a, b) = text.split_at(1);
                    writer.write(a).await.unwrap();
                    // It waits for the end of that.
                    let cast = PreparedMessage::new(format!("{step} to all"));
                    one.broadcast(&cast);
                    writer.write(b).await.unwrap();
                    writer.finish().await.unwrap();
                    expected[who].push(text);
                    expected.iter_mut().for_each(|all| all.push(format!("{step} to all")));
                    vec![]
                }
                2..4 => {
                    one.broadcast_except(ends[who].1.id(), &PreparedMessage::new(&text[..]));
                    (0..4).filter(|to| *to != who).collect()
                }
                4 => {
                    other.broadcast(&PreparedMessage::new(&text[..]));
                    (0..4).collect()
                }
                5 => {
                    tokio::task::yield_now().await;
                    vec![]
                }
                _ => {
                    one.broadcast(&PreparedMessage::new(&text[..]));
                    (0..4).collect()
                }
            };
            to.into_iter().for_each(|to| expected[to].push(format!("{step}")));
        }
        for ((client, _), expected) in ends.iter_mut().zip(expected) {
            for text in expected {
                let message = soon(client.recv()).await.unwrap();
                assert_eq!(message.as_text(), Some(&text[..]), "seed {seed}");
            }
        }
    }
}

#[tokio::test]
async fn a_broadcast_waits_for_the_end_of_a_message_in_pieces() {
    let group = Group::default();
    let (mut client, server) = Pair::new().pull();
    group.join(&server);
    group.broadcast(&PreparedMessage::new("first"));
    let mut writer = server.stream_message(MessageKind::Text).await.unwrap();
    group.broadcast(&PreparedMessage::new("third"));
    writer.write("sec").await.unwrap();
    group.broadcast(&PreparedMessage::new("fourth"));
    writer.write("ond").await.unwrap();
    writer.finish().await.unwrap();
    for expected in ["first", "second", "third", "fourth"] {
        assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some(expected));
    }
}

#[tokio::test]
async fn broadcasts_of_one_tick_share_a_write() {
    let group = Group::default();
    let (near, far) = duplex(64 << 10);
    let (probe, watch) = Probe::new(far);
    let sender = Attach::server().push(probe, Deaf);
    group.join(&sender);
    let mut near = Raw(near);
    group.broadcast(&PreparedMessage::new("warm"));
    near.read().await.unwrap();
    let before = watch.writes.load(Ordering::Relaxed);
    for i in 0..10 {
        group.broadcast(&PreparedMessage::new(format!("{i}")));
    }
    for i in 0..10 {
        assert_eq!(near.read().await.unwrap(), (0x81, format!("{i}").into_bytes()));
    }
    assert_eq!(watch.writes.load(Ordering::Relaxed), before + 1);
}

struct Deaf;

impl Handler for Deaf {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

/// A member whose peer reads only when the test does, and takes little before it is full.
fn slow_member(group: &Group) -> (Raw<DuplexStream>, everwire::Sender) {
    let mut config = Config::default();
    config.limits.send_queue = 8 << 10;
    config.limits.send_queue_low = 2 << 10;
    let (near, far) = duplex(4 << 10);
    let sender = Attach::server().config(config).push(far, Deaf);
    assert!(group.join(&sender));
    (Raw(near), sender)
}

fn numbered(i: usize) -> PreparedMessage {
    PreparedMessage::new(format!("{i:0>500}"))
}

async fn read_number(near: &mut Raw<DuplexStream>) -> usize {
    let (first, payload) = near.read().await.unwrap();
    assert_eq!((first, payload.len()), (0x81, 500));
    String::from_utf8(payload).unwrap().parse().unwrap()
}

/// Broadcasts numbers until the slow member has no room; returns how many it was sent before.
async fn fill(group: &Group) -> usize {
    for i in 0.. {
        let done = group.broadcast(&numbered(i));
        if done.slow > 0 {
            assert_eq!((done.queued, done.slow), (0, 1));
            return i;
        }
        // The driver has its turn: what it has encoded counts as well.
        tokio::task::yield_now().await;
    }
    unreachable!()
}

#[tokio::test]
async fn a_slow_member_is_disconnected_by_default() {
    let group = Group::default();
    let (mut near, sender) = slow_member(&group);
    let sent = fill(&group).await;
    assert!(((8 << 10) / 500..=(12 << 10) / 500 + 2).contains(&sent), "{sent}");
    assert!(group.is_empty());
    for i in 0..sent {
        assert_eq!(read_number(&mut near).await, i);
    }
    assert_eq!(near.read_close().await, (1013, "too slow".into()));
    near.write(&close(1013)).await;
    assert_eq!(soon(sender.closed()).await.cause, Cause::SlowConsumer);
    assert_eq!(group.dropped(), 1);
}

#[tokio::test]
async fn a_slow_member_may_be_told_something_else() {
    let frame = CloseFrame::new(CloseCode::new(4413).unwrap(), "keep up").unwrap();
    let group = Group::new(SlowPolicy::Disconnect(frame));
    let (mut near, _sender) = slow_member(&group);
    fill(&group).await;
    assert_eq!(near.read_close().await, (4413, "keep up".into()));
}

#[tokio::test]
async fn a_slow_member_may_miss_what_it_has_no_room_for() {
    let group = Group::new(SlowPolicy::Skip);
    let (mut near, _sender) = slow_member(&group);
    let sent = fill(&group).await;
    for i in sent + 1..sent + 50 {
        assert_eq!(group.broadcast(&numbered(i)).slow, 1);
    }
    for i in 0..sent {
        assert_eq!(read_number(&mut near).await, i);
    }
    assert_eq!(group.broadcast(&numbered(777)).queued, 1);
    assert_eq!(read_number(&mut near).await, 777);
    assert_eq!((group.len(), group.dropped()), (1, 50));
}

#[tokio::test]
async fn a_slow_member_may_be_sent_the_latest_when_it_has_room() {
    for most in [1, 3] {
        let group = Group::new(SlowPolicy::KeepLatest(most));
        let (mut near, sender) = slow_member(&group);
        let sent = fill(&group).await;
        for i in sent + 1..sent + 50 {
            assert_eq!(group.broadcast(&numbered(i)).slow, 1);
        }
        let expected = (0..sent).chain(sent + 50 - most..sent + 50);
        for i in expected {
            assert_eq!(read_number(&mut near).await, i, "{most}");
        }
        assert_eq!(group.broadcast(&numbered(777)).queued, 1);
        // It waits for room no more, so others need not wait behind it.
        sender.try_send("behind").unwrap();
        assert_eq!(read_number(&mut near).await, 777);
        assert_eq!(near.read().await.unwrap(), (0x81, b"behind".to_vec()));
        assert_eq!(group.dropped(), 50 - most as u64);
    }
}

#[tokio::test]
async fn a_backlog_larger_than_the_queue_comes_whole() {
    let group = Group::new(SlowPolicy::KeepLatest(100));
    let (mut near, _sender) = slow_member(&group);
    let sent = fill(&group).await;
    for i in sent + 1..sent + 100 {
        group.broadcast(&numbered(i));
    }
    for i in 0..sent + 100 {
        assert_eq!(read_number(&mut near).await, i);
    }
    assert_eq!(group.dropped(), 0);
}

#[tokio::test]
async fn who_leaves_or_ends_with_a_backlog_leaves_nothing_behind() {
    let group = Group::new(SlowPolicy::KeepLatest(10));
    let (mut near, sender) = slow_member(&group);
    let sent = fill(&group).await;
    let kept = numbered(1000);
    group.broadcast(&kept);
    assert!(group.leave(sender.id()));
    assert_eq!(group.dropped(), 2);
    for i in 0..sent {
        assert_eq!(read_number(&mut near).await, i);
    }
    sender.try_send("alone").unwrap();
    assert_eq!(near.read().await.unwrap(), (0x81, b"alone".to_vec()));
    // The same for one that ends.
    let (near, sender) = slow_member(&group);
    fill(&group).await;
    drop(near);
    soon(sender.closed()).await;
    until_members(&group, 0).await;
    assert_eq!(group.dropped(), 3);
}

#[tokio::test]
async fn a_slow_member_delays_nobody() {
    let group = Group::new(SlowPolicy::Skip);
    let (_never_read, _sender) = slow_member(&group);
    let (mut client, quick) = Pair::new().pull();
    group.join(&quick);
    for i in 0..500 {
        group.broadcast(&numbered(i));
        let message = soon(client.recv()).await.unwrap();
        assert_eq!(message.as_text(), Some(&format!("{i:0>500}")[..]));
    }
    assert!(group.dropped() > 400);
}

/// Joins and leaves while others broadcast.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_after_leaving() {
    let group = Group::default();
    let stop = Arc::new(AtomicBool::new(false));
    let publishers = (0..2).map(|_| {
        let (group, stop) = (group.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                group.broadcast(&PreparedMessage::new("cast"));
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let members = (0..8).map(|_| {
        let group = group.clone();
        tokio::spawn(async move {
            let (mut client, server) = Pair::new().pull();
            for round in 0..50 {
                assert!(group.join(&server));
                assert_eq!(soon(client.recv()).await.unwrap().as_text(), Some("cast"));
                assert!(group.leave(server.id()));
                server.send(format!("left {round}")).await.unwrap();
                tokio::task::yield_now().await;
                server.send(format!("still {round}")).await.unwrap();
                let mut casts = 0;
                loop {
                    let message = soon(client.recv()).await.unwrap();
                    match message.as_text() {
                        Some("cast") => casts += 1,
                        other => break assert_eq!(other, Some(&format!("left {round}")[..])),
                    }
                }
                let next = soon(client.recv()).await.unwrap();
                assert_eq!(next.as_text(), Some(&format!("still {round}")[..]), "{casts}");
            }
        })
    });
    for member in members.collect::<Vec<_>>() {
        soon(member).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for publisher in publishers {
        soon(publisher).await.unwrap();
    }
    assert!(group.is_empty());
}

/// Each server has a thread and a runtime of its own.
#[tokio::test]
async fn members_may_live_in_several_runtimes() {
    let group = Group::default();
    let mut runtimes = Vec::new();
    let mut members = Vec::new();
    for _ in 0..3 {
        let (tell, addr) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let group = group.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (_server, addr) = start(room(&group)).await;
                tell.send(addr).unwrap();
                ended.await.ok();
            });
        });
        let addr = soon(addr).await.unwrap();
        runtimes.push((end, thread));
        for path in ["/push", "/pull", "/push"] {
            members.push(connect(addr, path).await);
        }
    }
    until_members(&group, 9).await;
    assert_eq!(group.broadcast(&PreparedMessage::new("from outside")).queued, 9);
    members[4].write(&text("from one of them")).await;
    for member in &mut members {
        assert_eq!(member.read().await.unwrap().1, b"from outside");
        assert_eq!(member.read().await.unwrap().1, b"from one of them");
    }
    // A runtime that goes takes its members along, and nobody else.
    let (end, thread) = runtimes.remove(0);
    end.send(()).unwrap();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    until_members(&group, 6).await;
    assert_eq!(group.broadcast(&PreparedMessage::new("still here")).queued, 6);
    for member in &mut members[3..] {
        assert_eq!(member.read().await.unwrap().1, b"still here");
    }
    for (end, thread) in runtimes {
        drop(end);
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    }
    assert!(group.is_empty());
}

async fn join_compressed(server: &Server, path: &str, offer: &str) -> Raw<tokio::net::TcpStream> {
    let mut io = soon(tokio::net::TcpStream::connect(server.local_addr().unwrap())).await.unwrap();
    let field = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    io.write_all(common::head(path, &field).as_bytes()).await.unwrap();
    let head = common::read_head(&mut io).await;
    assert_eq!(head.contains("permessage-deflate"), offer.contains("permessage-deflate"), "{head}");
    Raw(io)
}

fn inflate(payload: &[u8], bits: u8) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    let mut inflate = zlib_rs::Inflate::new(false, bits);
    let input = [payload, &[0, 0, 0xFF, 0xFF]].concat();
    inflate.decompress(&input, &mut out, zlib_rs::InflateFlush::SyncFlush).unwrap();
    out.truncate(inflate.total_out() as usize);
    out
}

#[tokio::test]
async fn members_with_the_same_parameters_receive_the_same_bytes() {
    let group = Group::default();
    for mode in [DeflateMode::Shared, DeflateMode::Dedicated] {
        let (server, _) = start(room(&group).deflate(DeflateConfig::new(mode))).await;
        let offers = [
            ("none", 0),
            ("permessage-deflate", 15),
            ("permessage-deflate; server_max_window_bits=10", 10),
            ("permessage-deflate; server_no_context_takeover", 15),
        ];
        let mut members = Vec::new();
        for (offer, bits) in offers.into_iter().flat_map(|offer| [offer; 3]) {
            members.push((join_compressed(&server, "/push", offer).await, bits));
        }
        until_members(&group, members.len()).await;
        let said: String = (0..400).map(|i| format!("line {i} of what is said to all, ")).collect();
        for _ in 0..3 {
            group.broadcast(&PreparedMessage::new(&said[..]));
            group.broadcast(&PreparedMessage::uncompressed(&said[..]));
            group.broadcast(&PreparedMessage::new("short"));
            let mut forms = std::collections::HashMap::new();
            for (member, bits) in &mut members {
                let (first, payload) = member.read().await.unwrap();
                assert_eq!(first, if *bits == 0 { 0x81 } else { 0xC1 });
                let form = forms.entry(*bits).or_insert_with(|| payload.clone());
                assert_eq!(*form, payload, "{mode:?} {bits}");
                assert_eq!(member.read().await.unwrap(), (0x81, said.clone().into_bytes()));
                assert_eq!(member.read().await.unwrap(), (0x81, b"short".to_vec()));
            }
            assert_eq!(forms.len(), 3);
            assert_eq!(forms[&0], said.as_bytes());
            assert_eq!(inflate(&forms[&15], 15), said.as_bytes());
            assert_eq!(inflate(&forms[&10], 10), said.as_bytes());
        }
        drop(members);
        until_members(&group, 0).await;
    }
}

/// What a waker runs when a group wakes it may use the group.
#[tokio::test]
async fn handlers_may_use_the_group_from_everywhere() {
    struct Everywhere(Group, Notes, Arc<AtomicUsize>);
    impl Handler for Everywhere {
        fn on_open(&mut self, conn: &mut Conn<'_>) {
            self.0.join(&conn.sender());
            self.0.broadcast(&PreparedMessage::new("opened"));
        }
        fn on_message(&mut self, conn: &mut Conn<'_>, _: Message<'_>) {
            self.0.leave(conn.id());
            self.0.broadcast(&PreparedMessage::new("left"));
            self.0.join(&conn.sender());
        }
        fn on_close(&mut self, _: &everwire::Closure) {
            let done = self.0.broadcast(&PreparedMessage::new("closed"));
            self.2.fetch_add(done.queued, Ordering::Relaxed);
            self.1.add("closed");
        }
    }
    let (group, notes, heard) = (Group::default(), Notes::default(), Arc::new(AtomicUsize::new(0)));
    let parts = (group.clone(), notes.clone(), heard.clone());
    let handler = move |_: &_| Everywhere(parts.0.clone(), parts.1.clone(), parts.2.clone());
    let (_server, addr) = start(Server::builder().push("/", handler)).await;
    let mut first = connect(addr, "/").await;
    assert_eq!(first.read().await.unwrap().1, b"opened");
    let mut second = connect(addr, "/").await;
    for member in [&mut first, &mut second] {
        assert_eq!(member.read().await.unwrap().1, b"opened");
    }
    first.write(&frame(0x82, b"go")).await;
    assert_eq!(second.read().await.unwrap().1, b"left");
    first.write(&close(1000)).await;
    assert_eq!(second.read().await.unwrap().1, b"closed");
    assert_eq!(notes.until(1).await, ["closed"]);
    assert_eq!(heard.load(Ordering::Relaxed), 1);
    until_members(&group, 1).await;
}
