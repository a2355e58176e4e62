//! `/chat`: every message goes to everybody who is there.

use everwire::{
    CloseCode, CloseFrame, Conn, Group, Handler, Message, Payload, PreparedMessage, SlowPolicy,
    session::{SessionHandler, SessionMessage, SessionSender},
};

/// What a slow member is told: of the application's own codes, because 1008 would tell clients never
/// to come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// Returns a group whose members leave when they do not keep up, and delay nobody. A session only
/// loses its connection, and comes back.
pub(super) fn group() -> Group {
    let too_slow = CloseFrame::new(TOO_SLOW, "too slow").expect("the code may be sent");
    Group::new(SlowPolicy::Disconnect(too_slow))
}

/// One connection to the chat, or one session in it, which goes on hearing what is said while it has
/// no connection.
#[derive(Debug)]
pub(super) struct Member(pub(super) Group);

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.0.broadcast(&PreparedMessage::new(message));
    }
}

impl SessionHandler for Member {
    fn on_session(&mut self, session: &SessionSender) {
        self.0.join_session(session);
    }

    fn on_message(&mut self, _: &SessionSender, message: SessionMessage) {
        let message = match message.as_text() {
            Some(text) => PreparedMessage::new(text),
            None => PreparedMessage::new(Message::binary(Payload::Shared(message.payload))),
        };
        self.0.broadcast(&message);
    }
}
