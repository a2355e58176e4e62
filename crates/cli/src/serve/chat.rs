//! `/chat`: every message goes to everybody who is there.

use everwire::{
    Conn, Handler, Message, PreparedMessage,
    session::{End, SessionHandler, SessionId, SessionMessage, SessionSender},
};

use super::audience::{Audience, prepare};

/// One connection to the chat.
#[derive(Debug)]
pub(super) struct Member(pub(super) Audience);

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.0.tell(&PreparedMessage::new(message));
    }
}

/// One session in the chat. While it has no connection it goes on hearing what is said.
#[derive(Debug)]
pub(super) struct SessionMember {
    id: SessionId,
    chat: Audience,
}

impl SessionMember {
    pub(super) fn new(session: &SessionSender, chat: &Audience) -> Self {
        Self { id: session.id(), chat: chat.clone() }
    }
}

impl SessionHandler for SessionMember {
    fn on_session(&mut self, session: &SessionSender) {
        self.chat.join_session(session);
    }

    fn on_message(&mut self, _: &SessionSender, message: SessionMessage) {
        self.chat.tell(&prepare(&message));
    }

    fn on_end(&mut self, _: &End) {
        self.chat.leave(self.id);
    }
}
