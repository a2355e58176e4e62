//! Sessions over real sockets: the server's side with a client that is driven by hand, and the
//! client.

mod adapted;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod latest;
mod lent;
mod oversize;
mod pulled;
mod refusals;
mod scripted;
mod visitor;

use std::time::Duration;

use common::{Notes, connect, soon, start, text, until};
use everwire::{
    Client, Conn, Drain, Handler, Message, Server,
    dial::ProxyConfig,
    session::{
        Code, Direction, End, GapRange, SessionConfig, SessionHandler, SessionMessage,
        SessionSender, Sessions, SessionsBuilder,
    },
};
use everwire_session::{Event, Goaway};
use visitor::{Form, Visitor, close_code};

/// Echoes, and takes notes.
struct Echo(Notes);

impl SessionHandler for Echo {
    fn on_session(&mut self, _: &SessionSender) {
        self.0.add("session");
    }

    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        self.0.add(message.as_text().unwrap_or_default());
        if message.as_text() == Some("panic") {
            panic!("as asked for");
        }
        session.send_message(&message).ok();
    }

    fn on_detached(&mut self, _: &SessionSender) {
        self.0.add("detached");
    }

    fn on_resumed(&mut self, _: &SessionSender) {
        self.0.add("resumed");
    }

    fn on_gap(&mut self, _: &SessionSender, direction: Direction, gap: GapRange) {
        self.0.add(format!("gap {direction:?} {}-{}", gap.from, gap.to));
    }

    fn on_end(&mut self, end: &End) {
        self.0.add(format!("ended {} by {:?}", end.code, end.by));
    }
}

/// Echoes to clients that know no sessions.
struct Plain;

impl Handler for Plain {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

/// A server whose sessions echo.
async fn echo(builder: SessionsBuilder) -> (Server, String, Notes, Sessions) {
    let notes = Notes::default();
    let handler = notes.clone();
    let sessions = builder.push(move |_| Echo(handler.clone()));
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (server, addr) = start(server.bind("127.0.0.1:0")).await;
    (server, format!("ws://{addr}/"), notes, sessions)
}

#[tokio::test]
async fn a_session_begins_whichever_way_its_hello_travels() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    for (n, form) in [Form::Inline, Form::Header, Form::Subprotocol].into_iter().enumerate() {
        let mut visitor = Visitor::new(&url);
        visitor.connect(form).await;
        assert_eq!(visitor.hear().await, "opened", "{form:?}");
        visitor.say("hello").await;
        assert_eq!(visitor.hear().await, "hello", "{form:?}");
        assert_eq!(sessions.stats().opened, n as u64 + 1);
    }
}

#[tokio::test]
async fn who_speaks_no_sessions_is_served_on_the_same_path() {
    let (server, url, ..) = echo(Sessions::builder()).await;
    let mut peer = connect(server.local_addr().unwrap(), "/").await;
    peer.write(&text("plain")).await;
    assert_eq!(peer.read().await, Some((0x81, b"plain".to_vec())));
    let other = Client::new(&url).unwrap().proxy(ProxyConfig::Direct).subprotocols(["chat"]);
    assert_eq!(other.connect().await.unwrap().subprotocol(), None);
}

#[tokio::test]
async fn a_cut_connection_costs_no_message() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.say("one").await;
    assert_eq!(visitor.hear().await, "one");
    visitor.cut();
    notes.until(3).await;
    assert_eq!((sessions.stats().sessions, sessions.stats().detached), (1, 1));
    // Both say something meanwhile.
    sessions.all()[0].send_text("while you were out").unwrap();
    visitor.say("two").await;
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "resumed");
    assert_eq!(visitor.hear().await, "while you were out");
    assert_eq!(visitor.hear().await, "two");
    assert_eq!(notes.all(), ["session", "one", "detached", "resumed", "two"]);
    assert_eq!((sessions.stats().detached, sessions.stats().resumed), (0, 1));
}

#[tokio::test]
async fn a_socket_that_still_looks_alive_is_taken_over() {
    let (_server, url, notes, _) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let old = visitor.connect(Form::Inline).await.unwrap();
    assert_eq!(visitor.hear().await, "resumed");
    assert_eq!(close_code(old).await, Some(4509));
    visitor.say("on the new one").await;
    assert_eq!(visitor.hear().await, "on the new one");
    assert_eq!(notes.all(), ["session", "resumed", "on the new one"]);
}

#[tokio::test]
async fn a_goodbye_ends_the_session_at_both_ends() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.session.close(Code::NORMAL, "done", None);
    assert_eq!(visitor.hear().await, "ended 1000 by Us");
    assert_eq!(notes.until(2).await, ["session", "ended 1000 by Peer"]);
    assert_eq!((sessions.stats().sessions, sessions.stats().ended), (0, 1));
}

#[tokio::test]
async fn who_have_both_said_goodbye_do_not_wait_for_each_other_to_close() {
    let mut config = SessionConfig::server();
    config.bye_timeout = Duration::from_secs(3600);
    let (_server, url, _, sessions) = echo(Sessions::builder().config(config)).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    sessions.all()[0].close(Code::NORMAL, "");
    let (attempt, ws) = visitor.socket.as_mut().unwrap();
    let (attempt, theirs) = (*attempt, soon(ws.recv()).await.unwrap().into_payload().into_bytes());
    // It says its own before it looks at the other's.
    visitor.session.close(Code::NORMAL, "", None);
    visitor.transmit().await;
    visitor.session.handle_message(std::time::Instant::now(), attempt, &theirs);
    assert_eq!(visitor.hear().await, "ended 1000 by Peer");
    let (_, ws) = visitor.socket.take().unwrap();
    assert_eq!(close_code(ws).await, Some(1000));
}

#[tokio::test]
async fn what_was_said_before_a_goodbye_is_answered_before_it() {
    let (_server, url, _notes, _sessions) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let now = std::time::Instant::now();
    visitor.session.send(now, everwire_session::Prepared::text("last words")).unwrap();
    visitor.session.close(Code::NORMAL, "", None);
    assert_eq!(visitor.hear().await, "last words");
    assert_eq!(visitor.hear().await, "ended 1000 by Us");
}

#[tokio::test]
async fn the_server_ends_a_session_from_anywhere() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    sessions.all()[0].end(Code::ENDED, "kicked");
    assert_eq!(visitor.hear().await, "ended 4503 by Peer");
    assert_eq!(notes.until(2).await, ["session", "ended 4503 by Us"]);
    let socket = visitor.socket.take().unwrap();
    assert_eq!(close_code(socket.1).await, Some(4503));
}

#[tokio::test]
async fn a_session_whose_client_stays_away_expires() {
    let mut config = SessionConfig::server();
    config.terms.ttl_limit = Duration::from_millis(50);
    let (_server, url, notes, sessions) = echo(Sessions::builder().config(config)).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.cut();
    assert_eq!(notes.until(3).await, ["session", "detached", "ended 4408 by Expiry"]);
    assert_eq!((sessions.stats().sessions, sessions.stats().expired), (0, 1));
    visitor.connect(Form::Inline).await;
    assert!(visitor.hear().await.starts_with("Lost"));
    assert_eq!(visitor.hear().await, "opened");
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_session_and_no_other() {
    let (_server, url, ..) = echo(Sessions::builder()).await;
    let (mut victim, mut other) = (Visitor::new(&url), Visitor::new(&url));
    for visitor in [&mut victim, &mut other] {
        visitor.connect(Form::Inline).await;
        assert_eq!(visitor.hear().await, "opened");
    }
    victim.say("panic").await;
    assert_eq!(victim.hear().await, "ended 4503 by Peer");
    other.say("still here").await;
    assert_eq!(other.hear().await, "still here");
}

#[tokio::test]
async fn many_sessions_share_what_is_sent_to_all() {
    let (_server, url, _, sessions) = echo(Sessions::builder()).await;
    let mut visitors = Vec::new();
    for _ in 0..20 {
        let mut visitor = Visitor::new(&url);
        visitor.connect(Form::Header).await;
        assert_eq!(visitor.hear().await, "opened");
        visitors.push(visitor);
    }
    visitors.iter_mut().take(10).for_each(Visitor::cut);
    until(|| sessions.stats().detached >= 10).await;
    let message = sessions.text(&"x".repeat(1000));
    for session in sessions.all() {
        session.send(message.clone()).unwrap();
    }
    assert_eq!(sessions.stats().bytes, 1001);
    for visitor in &mut visitors[..10] {
        visitor.connect(Form::Header).await;
        assert_eq!(visitor.hear().await, "resumed");
    }
    for visitor in &mut visitors {
        assert_eq!(visitor.hear().await.len(), 1000);
    }
}

/// Returns what a client is advised by GOAWAY and then by the Close, in milliseconds.
async fn advice_of(drain: Drain) -> (u64, u64, String) {
    let (server, url, ..) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let drain = drain.grace(Duration::from_secs(1));
    let shutdown = tokio::spawn(async move { server.shutdown(drain).await });
    let Event::Goaway(Goaway { after, spread, .. }) = visitor.event().await else {
        panic!("no advice")
    };
    let (_, ws) = visitor.socket.take().unwrap();
    let closure = soon(ws.closed()).await;
    let close = closure.received.as_ref().map(|frame| frame.reason.to_string());
    soon(shutdown).await.unwrap().unwrap();
    (after, spread, close.unwrap_or_default())
}

#[tokio::test]
async fn a_server_that_leaves_gives_the_advice_of_its_close_before() {
    let drain = Drain::restart().spread(Duration::from_secs(20)).retry(Duration::from_millis(1500));
    assert_eq!(advice_of(drain).await, (1500, 20_000, "retry=1500;spread=20000".to_owned()));
    // Without any, clients come back as they do after a loss.
    assert_eq!(advice_of(Drain::leaving()).await, (0, 1000, String::new()));
}
