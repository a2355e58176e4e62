//! Clients that are not let in, or do not keep to the protocol.

use std::time::Duration;

use everwire::{
    Client, Config, Message, MessageKind, Server, WebSocket,
    dial::ProxyConfig,
    session::{
        Code, Identity, Principal, SessionConfig, SessionHandler, SessionMessage, SessionSender,
        Sessions, StoreConfig,
    },
};

use crate::{
    Echo, Form, Plain, Visitor,
    common::{Notes, soon, start, until},
    echo,
    visitor::close_code,
};

async fn open(url: &str) -> WebSocket {
    let client = Client::new(url).unwrap().proxy(ProxyConfig::Direct);
    client.subprotocols(["everwire.v1"]).connect().await.unwrap()
}

#[tokio::test]
async fn a_first_message_that_is_no_hello_is_malformed() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let first = [Message::text("hello"), Message::binary(&[0x20, 0, 0, 0, 0][..])];
    for first in first.into_iter().chain([Message::binary(&[0xff; 3000][..])]) {
        let ws = open(&url).await;
        ws.send(first).await.unwrap();
        assert_eq!(close_code(ws).await, Some(4500));
    }
    let client = Client::new(&url).unwrap().proxy(ProxyConfig::Direct);
    let client = client.subprotocols(["everwire.v1"]).header("everwire-hello", "no!");
    assert_eq!(close_code(client.connect().await.unwrap()).await, Some(4500));
}

#[tokio::test]
async fn a_request_with_two_hellos_is_malformed() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let hello = "UAEBAAEBgIAQgIBA4NQDAAZ0aWNrZXQ"; // docs/protocol.md §17
    let offers =
        ["everwire.v1".to_owned(), format!("everwire-h.{hello}"), format!("everwire-h.{hello}x")];
    let client = Client::new(&url).unwrap().proxy(ProxyConfig::Direct);
    let twice = client.clone().subprotocols(offers);
    assert_eq!(close_code(twice.connect().await.unwrap()).await, Some(4500));
    let client = client.subprotocols(["everwire.v1"]).header("everwire-hello", hello);
    let twice = client.header("everwire-hello", hello);
    assert_eq!(close_code(twice.connect().await.unwrap()).await, Some(4500));
    assert_eq!(sessions.stats().opened, 0);
}

#[tokio::test]
async fn a_hello_that_never_comes_is_not_waited_for() {
    let mut config = SessionConfig::server();
    config.attach_timeout = Duration::from_millis(50);
    let (_server, url, ..) = echo(Sessions::builder().config(config)).await;
    assert_eq!(close_code(open(&url).await).await, Some(4408));
}

#[tokio::test]
async fn a_message_before_its_turn_ends_the_session() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let (_, ws) = visitor.socket.as_ref().unwrap();
    // It has acknowledged what was never sent.
    ws.send(Message::binary(&[0x20, 9, 9, 0, 0][..])).await.unwrap();
    assert_eq!(visitor.hear().await, "ended 4410 by Peer");
    let notes = notes.until(2).await;
    assert!(notes[1].starts_with("ended 4410 by Violation"), "{notes:?}");
}

#[tokio::test]
async fn a_message_above_the_default_limit_ends_the_session_however_far_above_it_is() {
    for size in [(1 << 20) + 1, 2 << 20] {
        let (_server, url, notes, _) = echo(Sessions::builder()).await;
        let mut visitor = Visitor::new(&url);
        visitor.connect(Form::Inline).await;
        assert_eq!(visitor.hear().await, "opened");
        visitor.transmit().await;
        let (_, ws) = visitor.socket.as_ref().unwrap();
        ws.send(Message::from([&[0x10][..], &vec![7; size]].concat())).await.unwrap();
        if size == 2 << 20 {
            // The connection refuses it, and the next is told.
            assert_eq!(visitor.hear().await, "detached");
            notes.until(2).await;
            visitor.connect(Form::Header).await;
        }
        assert_eq!(visitor.hear().await, "ended 4502 by Peer");
        let notes = notes.until(2).await;
        assert!(notes[1].starts_with("ended 4502 by Violation(TooBig"), "{notes:?}");
    }
}

/// The connection refuses it, and it would only come again.
#[tokio::test]
async fn a_message_in_too_many_fragments_ends_the_session() {
    let notes = Notes::default();
    let handler = notes.clone();
    let sessions = Sessions::builder().push(move |_| Echo(handler.clone()));
    let mut config = Config::default();
    config.limits.fragments = 4;
    let server = Server::builder().config(config).push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server.bind("127.0.0.1:0")).await;
    let mut visitor = Visitor::new(&format!("ws://{addr}/"));
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.transmit().await;
    let (_, ws) = visitor.socket.as_ref().unwrap();
    let mut writer = ws.stream_message(MessageKind::Binary).await.unwrap();
    for piece in [&b"\x10a"[..], b"b", b"c", b"d", b"e"] {
        writer.write(piece).await.ok();
    }
    writer.finish().await.ok();
    assert_eq!(visitor.hear().await, "detached");
    let told = notes.until(2).await;
    let expected = "ended 4502 by Violation(TooManyFragments { limit: 4 })";
    assert_eq!(told[1], expected);
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "ended 4502 by Peer");
}

#[tokio::test]
async fn a_client_without_a_good_ticket_is_refused() {
    let tickets =
        |ticket: &[u8]| (ticket == b"alice").then(|| Identity::new(Principal::new("alice")));
    let (_server, url, _, sessions) = echo(Sessions::builder().tickets(tickets)).await;
    for ticket in ["", "bob"] {
        let mut visitor = Visitor::new(&url);
        visitor.session.set_ticket(ticket);
        visitor.connect(Form::Inline).await;
        assert!(visitor.hear().await.starts_with("Refused(Auth"), "{ticket:?}");
    }
    let mut visitor = Visitor::new(&url);
    visitor.session.set_ticket("alice");
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    assert_eq!(sessions.all()[0].principal(), Principal::new("alice"));
}

#[tokio::test]
async fn a_server_that_asks_for_no_tickets_takes_any() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.session.set_ticket("mine");
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.session.authenticate("a fresh one");
    assert_eq!(visitor.hear().await, "TicketAccepted(None)");
}

#[tokio::test]
async fn a_principal_has_so_many_sessions() {
    let mut store = StoreConfig::default();
    store.per_principal = 2;
    let tickets = |_: &[u8]| Some(Identity::new(Principal::new("alice")));
    let (_server, url, ..) = echo(Sessions::builder().store(store).tickets(tickets)).await;
    let mut visitors = Vec::new();
    for n in 0..3 {
        let mut visitor = Visitor::new(&url);
        visitor.session.set_ticket("t");
        visitor.connect(Form::Inline).await;
        let heard = visitor.hear().await;
        assert_eq!(heard.starts_with("Refused(Busy"), n == 2, "{heard}");
        visitors.push(visitor);
    }
    let (_, refused) = visitors[2].socket.take().unwrap();
    assert_eq!(close_code(refused).await, Some(4400));
}

#[tokio::test]
async fn a_thousand_attaches_disturb_nobody_else() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let mut other = Visitor::new(&url);
    other.connect(Form::Header).await;
    assert_eq!(other.hear().await, "opened");
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "opened");
    let mut busy = 0;
    for _ in 0..50 {
        visitor.connect(Form::Header).await;
        let heard = soon(visitor.hear()).await;
        if heard.starts_with("Refused(Busy") {
            busy += 1;
            let (_, refused) = visitor.socket.take().unwrap();
            assert_eq!(close_code(refused).await, Some(4429));
        }
    }
    assert!(busy >= 40, "{busy}");
    other.say("undisturbed").await;
    assert_eq!(other.hear().await, "undisturbed");
}

/// Its application has ended it before anybody knew of it.
struct Stillborn;

impl SessionHandler for Stillborn {
    fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {}
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_made_takes_up_no_place() {
    let mut store = StoreConfig::default();
    store.per_principal = 1;
    let tickets = |_: &[u8]| Some(Identity::new(Principal::new("alice")));
    let sessions = Sessions::builder().store(store).tickets(tickets).push(|session| {
        session.end(Code::new(4700).unwrap(), "not today");
        Stillborn
    });
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server.bind("127.0.0.1:0")).await;
    for _ in 0..3 {
        let mut visitor = Visitor::new(&format!("ws://{addr}/"));
        visitor.session.set_ticket("t");
        visitor.connect(Form::Header).await;
        let heard = visitor.hear().await;
        assert!(!heard.starts_with("Refused"), "{heard}");
        until(|| sessions.stats().sessions == 0).await;
    }
}
