//! `/chat`: every message goes to everybody who is connected there.

use everwire::{CloseCode, CloseFrame, Conn, Group, Handler, Message, PreparedMessage, SlowPolicy};

/// What a slow member is told: of the application's own codes, because 1008 would tell clients never
/// to come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// Everybody who is connected. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Chat(Group);

impl Chat {
    /// Returns the handler of one connection.
    pub(super) fn member(&self) -> Member {
        Member(self.0.clone())
    }
}

impl Default for Chat {
    fn default() -> Self {
        // Whoever does not keep up leaves, and delays nobody.
        let too_slow = CloseFrame::new(TOO_SLOW, "too slow").expect("the code may be sent");
        Self(Group::new(SlowPolicy::Disconnect(too_slow)))
    }
}

/// One connection to the chat.
#[derive(Debug)]
pub(super) struct Member(Group);

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.0.broadcast(&PreparedMessage::new(message));
    }
}
