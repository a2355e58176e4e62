//! Messages whose memory is lent to the handler.

use everwire::{
    Server,
    session::{SessionHandler, SessionMessage, SessionMessageRef, SessionSender, Sessions},
};
use everwire_session::Prepared;

use crate::{
    Plain,
    common::{Notes, soon, start},
    visitor::{Form, Visitor},
};

/// Notes which message came, and whether its memory was lent; answers with the same.
struct Both(Notes);

impl Both {
    fn note(&self, how: &str, session: &SessionSender, message: SessionMessageRef<'_>) {
        self.0.add(format!("{how} {:?}: {}", message.number, message.payload.len()));
        session.send_message_ref(&message).unwrap();
    }
}

impl SessionHandler for Both {
    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        self.note("owned", session, message.lend());
    }

    fn on_message_lent(&mut self, session: &SessionSender, message: SessionMessageRef<'_>) {
        self.note("lent", session, message);
    }
}

#[tokio::test]
async fn messages_come_once_and_in_order_whether_lent_or_not() {
    let notes = Notes::default();
    let handler = notes.clone();
    let sessions = Sessions::builder().push(move |_| Both(handler.clone()));
    let server = Server::builder().push("/", |_| Plain).sessions(&sessions);
    let (_server, addr) = start(server.bind("127.0.0.1:0")).await;
    let mut visitor = Visitor::new(&format!("ws://{addr}/"));
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let sizes = [1, 124, 125, 126, 700, 180_000, 2, 0, 4_095, 3];
    for size in sizes {
        let message = Prepared::binary(&vec![7; size]);
        visitor.session.send(std::time::Instant::now(), message).unwrap();
    }
    for size in sizes {
        match visitor.event().await {
            everwire_session::Event::Message(message) => assert_eq!(message.payload.len(), size),
            other => panic!("{other:?}"),
        }
    }
    let all = soon(async { notes.all() }).await;
    let came: Vec<_> = all.iter().map(|note| note.split_once(' ').unwrap()).collect();
    let rest: Vec<_> = came.iter().map(|(_, rest)| (*rest).to_owned()).collect();
    let expected: Vec<_> =
        (1..).zip(sizes).map(|(n, size): (u64, _)| format!("{:?}: {size}", Some(n))).collect();
    assert_eq!(rest, expected);
    // What does not fit into what is read at once has memory of its own, and is handed on in it.
    let how: Vec<_> = came.iter().map(|(how, _)| *how).collect();
    let expected = sizes.map(|size| if size > 128 << 10 { "owned" } else { "lent" });
    assert_eq!(how, expected);
}
