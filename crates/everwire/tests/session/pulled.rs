//! Sessions that are pulled.

use everwire::{
    Server,
    session::{Direction, SessionEvent, Sessions},
};

use crate::{
    Form, Plain, Visitor,
    common::{Notes, start},
};

/// Serves sessions by a loop over `next`.
async fn serve() -> (Server, String, Notes) {
    let notes = Notes::default();
    let log = notes.clone();
    let sessions = Sessions::builder().pull(move |mut session| {
        let log = log.clone();
        async move {
            while let Some(event) = session.next().await {
                match event {
                    SessionEvent::Message(message) if message.as_text() == Some("bye") => break,
                    SessionEvent::Message(message) => {
                        session.send_text_when_room(message.as_text().unwrap()).await.unwrap();
                    }
                    SessionEvent::Gap(Direction::In, gap) => {
                        log.add(format!("gap {}-{}", gap.from, gap.to));
                    }
                    other => log.add(format!("{other:?}")),
                }
            }
            log.add("over");
        }
    });
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (server, addr) = start(server.bind("127.0.0.1:0")).await;
    (server, format!("ws://{addr}/"), notes)
}

#[tokio::test]
async fn a_future_serves_a_session_across_its_connections() {
    let (_server, url, notes) = serve().await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    visitor.say("one").await;
    assert_eq!(visitor.hear().await, "one");
    visitor.cut();
    visitor.say("two").await;
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "resumed");
    assert_eq!(visitor.hear().await, "two");
    assert_eq!(notes.until(2).await, ["Detached", "Resumed"]);
    visitor.say("bye").await;
    assert_eq!(visitor.hear().await, "ended 1000 by Peer");
    assert_eq!(notes.until(3).await[2], "over");
}

/// Nobody takes what comes, and the window closes.
#[tokio::test]
async fn a_future_that_takes_nothing_holds_up_its_client() {
    let sessions = Sessions::builder().pull(|session| async move {
        std::future::pending::<()>().await;
        drop(session);
    });
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server.bind("127.0.0.1:0")).await;
    let mut visitor = Visitor::new(&format!("ws://{addr}/"));
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let message = "x".repeat(10_000);
    let mut sent = 0;
    while visitor.session.buffered().0 < 1_000_000 {
        visitor.say(&message).await;
        sent += 1;
        assert!(sent < 200);
    }
    assert!(visitor.session.is_attached());
}
