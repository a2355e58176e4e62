use std::sync::{Arc, Weak};

use everwire_proto::{Message, Payload};
use everwire_session::{ClientSession, Config};

use super::{Group, Member, Seat, SessionMember};
use crate::{
    Conn, Handler, WebSocket, clock,
    session::{SessionHandler, SessionMessage, SessionRoute, SessionSender, Sessions},
    test::Pair,
};

struct Silent;

impl Handler for Silent {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {}
}

impl SessionHandler for Silent {
    fn on_message(&mut self, _: &SessionSender, _: SessionMessage) {}
}

/// Returns a session and the connection that keeps it attached.
async fn session() -> (SessionSender, WebSocket) {
    let sessions = Sessions::builder().push(|_| Silent);
    let (ws, _) = Pair::new().push(SessionRoute::new(&sessions).inline());
    let mut client = ClientSession::new(clock::now(), Arc::new(Config::client()));
    let hello = client.hello(clock::now()).unwrap().hello;
    ws.send(Message::Binary(Payload::Shared(hello))).await.unwrap();
    while sessions.all().is_empty() {
        tokio::task::yield_now().await;
    }
    (sessions.all().remove(0), ws)
}

/// Returns who waits for the members of a group, in their connections and sessions.
fn watchers(group: &Group) -> (Vec<Weak<Member>>, Vec<Weak<SessionMember>>) {
    let (mut connections, mut sessions) = (Vec::new(), Vec::new());
    for seat in group.lock().iter() {
        match seat {
            Seat::Connection(_, member) => connections.push(Arc::downgrade(member)),
            Seat::Session(_, member) => sessions.push(Arc::downgrade(member)),
        }
    }
    (connections, sessions)
}

#[tokio::test]
async fn a_group_that_is_dropped_leaves_nobody_behind_in_its_members() {
    let (_ws, conn) = Pair::new().push(Silent);
    let (session, _carrier) = session().await;
    let group = Group::default();
    assert!(group.join(&conn) && group.join_session(&session));
    let (connections, sessions) = watchers(&group);
    assert_eq!((connections.len(), sessions.len()), (1, 1));
    drop(group.clone());
    assert!(connections[0].upgrade().is_some() && sessions[0].upgrade().is_some());
    drop(group);
    assert!(connections[0].upgrade().is_none());
    assert!(sessions[0].upgrade().is_none());
}
