//! Sessions that are members of groups.

use std::{sync::Arc, time::Duration};

use everwire::{
    Broadcast, Conn, Group, Handler, Message, PreparedMessage, Server, SlowPolicy,
    session::{
        Code, Direction, End, GapRange, Overflow, SessionConfig, SessionHandler, SessionMessage,
        SessionSender, Sessions,
    },
};

use crate::{
    common::{Notes, Raw, connect, soon, start, text, until},
    visitor::{Form, Visitor, close_code},
};

/// A member of a room, as a session.
struct Member(Group, Notes);

impl SessionHandler for Member {
    fn on_session(&mut self, session: &SessionSender) {
        assert!(self.0.join_session(session));
    }

    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        let text = message.as_text().unwrap();
        if text.starts_with("others:") {
            self.0.broadcast_except(session.id(), &PreparedMessage::new(text));
        } else {
            self.0.broadcast(&PreparedMessage::new(text));
        }
    }

    fn on_gap(&mut self, _: &SessionSender, direction: Direction, gap: GapRange) {
        self.1.add(format!("gap {direction:?} {}-{}", gap.from, gap.to));
    }

    fn on_detached(&mut self, _: &SessionSender) {
        self.1.add("detached");
    }

    fn on_end(&mut self, end: &End) {
        // It has a place in the group until all is said, and may use it.
        self.0.broadcast(&PreparedMessage::new("somebody left"));
        self.1.add(format!("ended {}", end.code));
    }
}

/// A member of a room, as a connection.
struct Plain(Group);

impl Handler for Plain {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        assert!(self.0.join(&conn.sender()));
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.0.broadcast(&PreparedMessage::new(message));
    }
}

struct Room {
    _server: Server,
    url: String,
    addr: std::net::SocketAddr,
    group: Group,
    sessions: Sessions,
    notes: Notes,
}

async fn room(slow: SlowPolicy, config: SessionConfig) -> Room {
    let (group, notes) = (Group::new(slow), Notes::default());
    let (plain, member, log) = (group.clone(), group.clone(), notes.clone());
    let sessions =
        Sessions::builder().config(config).push(move |_| Member(member.clone(), log.clone()));
    let server = Server::builder().push("/", move |_| Plain(plain.clone())).sessions(&sessions);
    let (server, addr) = start(server).await;
    Room { _server: server, url: format!("ws://{addr}/"), addr, group, sessions, notes }
}

impl Room {
    async fn enter(&self) -> Visitor {
        self.enter_taking(1 << 20).await
    }

    async fn enter_taking(&self, max_message: u64) -> Visitor {
        let mut visitor = Visitor::taking(&self.url, max_message);
        visitor.connect(Form::Header).await;
        assert_eq!(visitor.hear().await, "opened");
        // It is heard, so that its token is confirmed.
        visitor.transmit().await;
        visitor
    }

    async fn until_detached(&self, n: usize) {
        until(|| self.sessions.stats().detached == n).await;
    }

    fn say(&self, text: &str) -> Broadcast {
        self.group.broadcast(&PreparedMessage::new(text))
    }
}

async fn read_text(raw: &mut Raw<tokio::net::TcpStream>) -> String {
    String::from_utf8(raw.read().await.unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn connections_and_sessions_receive_all_in_one_order_on_several_cores() {
    const ROUNDS: usize = 30;
    let room = room(SlowPolicy::default(), SessionConfig::server()).await;
    let mut plain = Vec::new();
    let mut visitors = Vec::new();
    for _ in 0..4 {
        plain.push(connect(room.addr, "/").await);
        visitors.push(room.enter().await);
    }
    until(|| room.group.len() == 8).await;
    for round in 0..ROUNDS {
        for (i, (plain, visitor)) in plain.iter_mut().zip(&mut visitors).enumerate() {
            plain.write(&text(&format!("plain {i} {round}"))).await;
            visitor.say(&format!("session {i} {round}")).await;
        }
    }
    let mut orders = Vec::new();
    for raw in &mut plain {
        let mut order = Vec::new();
        for _ in 0..8 * ROUNDS {
            order.push(read_text(raw).await);
        }
        orders.push(order);
    }
    for visitor in &mut visitors {
        let mut order = Vec::new();
        for _ in 0..8 * ROUNDS {
            order.push(visitor.hear().await);
        }
        orders.push(order);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    assert_eq!(room.group.dropped(), 0);
}

#[tokio::test]
async fn a_member_without_a_connection_misses_nothing_and_all_share_one_copy() {
    let room = room(SlowPolicy::default(), SessionConfig::server()).await;
    let mut visitors = [room.enter().await, room.enter().await, room.enter().await];
    visitors[0].cut();
    visitors[1].cut();
    room.until_detached(2).await;
    assert_eq!(room.group.len(), 3);
    for n in 0..10 {
        let done = room.say(&format!("{n:0>100}"));
        assert_eq!((done.queued, done.slow), (3, 0));
    }
    // One more byte each says what it is.
    assert_eq!(room.sessions.stats().bytes, 10 * 101);
    for visitor in &mut visitors[..2] {
        visitor.connect(Form::Header).await;
        assert_eq!(visitor.hear().await, "resumed");
    }
    for visitor in &mut visitors {
        for n in 0..10 {
            assert_eq!(visitor.hear().await, format!("{n:0>100}"));
        }
    }
}

#[tokio::test]
async fn members_come_once_may_be_left_out_and_leave_when_they_want_or_end() {
    let room = room(SlowPolicy::default(), SessionConfig::server()).await;
    let (mut first, mut second) = (room.enter().await, room.enter().await);
    let mut plain = connect(room.addr, "/").await;
    until(|| room.group.len() == 3).await;
    let senders = room.sessions.all();
    assert!(!room.group.join_session(&senders[0]), "it is a member already");
    assert!(senders.iter().all(|session| room.group.contains(session.id())));
    first.say("others: hello").await;
    assert_eq!(second.hear().await, "others: hello");
    assert_eq!(read_text(&mut plain).await, "others: hello");
    room.say("all");
    for visitor in [&mut first, &mut second] {
        assert_eq!(visitor.hear().await, "all");
    }
    assert_eq!(read_text(&mut plain).await, "all");
    // One ends by a goodbye of its own, one is thrown out while it has no connection.
    second.session.close(Code::NORMAL, "", None);
    assert_eq!(second.hear().await, "ended 1000 by Us");
    until(|| room.group.len() == 2).await;
    first.cut();
    room.until_detached(1).await;
    let last = room.sessions.all().pop().unwrap();
    last.end(Code::ENDED, "out");
    until(|| room.group.len() == 1).await;
    assert!(!room.group.join_session(&last), "it has ended");
    assert!(!room.group.leave(last.id()));
    // Who left hears no more.
    let mut third = room.enter().await;
    until(|| room.group.len() == 2).await;
    let session = room.sessions.all().pop().unwrap();
    assert!(room.group.leave(session.id()));
    assert_eq!(room.say("not for it").queued, 1);
    session.send_text("alone").unwrap();
    assert_eq!(third.hear().await, "alone");
}

#[tokio::test]
async fn a_session_that_expires_leaves_by_itself() {
    let mut config = SessionConfig::server();
    config.terms.ttl_limit = Duration::from_millis(50);
    let room = room(SlowPolicy::default(), config).await;
    let mut visitor = room.enter().await;
    visitor.cut();
    until(|| room.group.is_empty()).await;
    assert_eq!(room.notes.until(2).await, ["detached", "ended 4408"]);
}

#[tokio::test]
async fn who_does_not_take_a_message_is_told_that_it_is_missing() {
    for attached in [true, false] {
        let room = room(SlowPolicy::Skip, SessionConfig::server()).await;
        let mut visitor = room.enter_taking(4).await;
        until(|| room.group.len() == 1).await;
        if !attached {
            visitor.cut();
            room.until_detached(1).await;
        }
        for text in ["1", "too long", "3"] {
            assert_eq!(room.say(text).queued, 1);
        }
        if !attached {
            visitor.connect(Form::Header).await;
            assert_eq!(visitor.hear().await, "resumed");
        }
        for expected in ["1", "gap In 2-2", "3"] {
            assert_eq!(visitor.hear().await, expected, "{attached}");
        }
        until(|| room.notes.all().iter().any(|note| note == "gap Out 2-2")).await;
        assert_eq!(room.group.dropped(), 0);
    }
}

/// A server's session that keeps ten messages.
fn ten() -> SessionConfig {
    let mut config = SessionConfig::server();
    config.buffer.entries = 10;
    config
}

/// Has a member that acknowledges nothing, and whose buffer is full with "0" to "9".
async fn slow_member(room: &Room) -> Visitor {
    let visitor = room.enter().await;
    until(|| room.group.len() == 1).await;
    for n in 0..10 {
        assert_eq!(room.say(&n.to_string()).queued, 1);
    }
    visitor
}

#[tokio::test]
async fn a_slow_session_loses_its_connection_and_is_told_what_it_misses() {
    let room = room(SlowPolicy::default(), ten()).await;
    let mut visitor = slow_member(&room).await;
    for n in 10..13 {
        // Once its connection is gone it is not slow.
        let done = room.say(&n.to_string());
        assert_eq!((done.queued, done.slow), if n == 10 { (0, 1) } else { (1, 0) });
    }
    assert_eq!(room.notes.until(1).await, ["detached"]);
    // It had seen nothing when it was cut off.
    let (attempt, socket) = visitor.socket.take().unwrap();
    assert_eq!(close_code(socket).await, Some(4413));
    visitor.session.handle_closed(attempt, Some(4413));
    assert_eq!(room.group.len(), 1);
    while visitor.session.poll_event(std::time::Instant::now()).is_some() {}
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "resumed");
    assert_eq!(visitor.hear().await, "gap In 1-3");
    for n in 3..13 {
        assert_eq!(visitor.hear().await, n.to_string());
    }
    assert_eq!(room.notes.all(), ["detached", "gap Out 1-3"]);
}

#[tokio::test]
async fn a_slow_session_whose_buffer_never_gives_way_ends() {
    let mut config = ten();
    config.buffer.overflow = Overflow::Refuse;
    let room = room(SlowPolicy::default(), config).await;
    let visitor = slow_member(&room).await;
    assert_eq!(room.say("10").slow, 1);
    assert_eq!(room.notes.until(1).await, ["ended 4413"]);
    until(|| room.group.is_empty()).await;
    assert_eq!(close_code(visitor.socket.unwrap().1).await, Some(4413));
}

#[tokio::test]
async fn a_slow_session_may_miss_what_it_has_no_room_for() {
    let room = room(SlowPolicy::Skip, ten()).await;
    let mut visitor = slow_member(&room).await;
    for n in 10..20 {
        assert_eq!(room.say(&n.to_string()).slow, 1);
    }
    for n in 0..10 {
        assert_eq!(visitor.hear().await, n.to_string());
    }
    let session = room.sessions.all().pop().unwrap();
    acknowledged(&mut visitor, &session).await;
    assert_eq!(room.say("20").queued, 1);
    assert_eq!(visitor.hear().await, "20");
    assert_eq!((room.group.len(), room.group.dropped()), (1, 10));
}

/// Waits until the server knows that the visitor has all that was sent.
async fn acknowledged(visitor: &mut Visitor, session: &SessionSender) {
    // What a client says carries no counts: its acknowledgement comes when it is due. Its session knows
    // no time but what it is told.
    let due = visitor.session.poll_timeout().expect("it owes an acknowledgement");
    visitor.session.handle_timeout(due);
    soon(visitor.transmit()).await;
    until(|| session.buffered().1 == 0).await;
}

#[tokio::test]
async fn a_slow_session_may_be_sent_the_latest_when_it_has_room() {
    for most in [1, 3] {
        let room = room(SlowPolicy::KeepLatest(most), ten()).await;
        let mut visitor = slow_member(&room).await;
        for n in 10..20 {
            assert_eq!(room.say(&n.to_string()).slow, 1);
        }
        for n in (0..10).chain(20 - most..20) {
            // Acknowledgements go out as it listens.
            assert_eq!(visitor.hear().await, n.to_string(), "{most}");
        }
        assert_eq!(room.say("20").queued, 1);
        assert_eq!(visitor.hear().await, "20");
        assert_eq!(room.group.dropped(), 10 - most as u64);
    }
}

#[tokio::test]
async fn what_is_kept_for_a_slow_session_waits_with_the_rest_when_its_connection_goes() {
    let room = room(SlowPolicy::KeepLatest(2), ten()).await;
    let mut visitor = slow_member(&room).await;
    for n in 10..15 {
        room.say(&n.to_string());
    }
    visitor.cut();
    room.until_detached(1).await;
    assert_eq!(room.say("15").queued, 1);
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "resumed");
    // It may have received some before it was cut.
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "15") {
        heard.push(visitor.hear().await);
    }
    assert_eq!(heard[heard.len() - 4..], ["9", "13", "14", "15"]);
    assert_eq!(room.group.dropped(), 3);
}

/// A group outlives its members' applications, and keeps nothing of them.
#[tokio::test]
async fn a_session_that_ended_is_kept_by_no_group() {
    let (group, kept) = (Group::default(), Arc::new(()));
    let (member, mark) = (group.clone(), Arc::downgrade(&kept));
    struct Keeps(Group, #[allow(dead_code)] Arc<()>);
    impl SessionHandler for Keeps {
        fn on_session(&mut self, session: &SessionSender) {
            self.0.join_session(session);
        }
        fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {
            panic!("as asked for");
        }
    }
    let sessions = Sessions::builder()
        .push(move |_| Keeps(member.clone(), mark.upgrade().expect("it is there")));
    let server = Server::builder().push("/", |_| Plain(Group::default())).sessions(&sessions);
    let (_server, addr) = start(server).await;
    let mut visitor = Visitor::new(&format!("ws://{addr}/"));
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    until(|| group.len() == 1).await;
    visitor.say("panic").await;
    assert_eq!(visitor.hear().await, "ended 4503 by Peer");
    until(|| group.is_empty() && Arc::strong_count(&kept) == 1).await;
}
