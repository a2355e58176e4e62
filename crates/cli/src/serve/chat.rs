//! `/chat`: every message goes to everybody who is connected there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use everwire::{
    Because, CloseCode, Conn, ConnectionId, Handler, Message, PreparedMessage, SendError, Sender,
};

/// What a slow member is told: of the application's own codes, because 1008 would tell clients never
/// to come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// Everybody who is connected. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Chat(Arc<Mutex<HashMap<ConnectionId, Sender>>>);

impl Chat {
    /// Returns the handler of one connection.
    pub(super) fn member(&self) -> Member {
        Member { chat: self.clone(), id: None }
    }

    /// Sends a message to everybody, waiting for nobody.
    ///
    /// It is encoded once. One lock over all members gives the messages one order, the same for
    /// everybody.
    fn publish(&self, message: Message<'_>) {
        let message = PreparedMessage::new(message);
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for member in members.values() {
            if let Err(SendError::Full { .. }) = member.try_send_prepared(&message) {
                // Whoever does not keep up leaves, and delays nobody.
                member.close_because(Because::SlowConsumer, TOO_SLOW, "too slow").ok();
            }
        }
    }
}

/// One connection to the chat.
#[derive(Debug)]
pub(super) struct Member {
    chat: Chat,
    id: Option<ConnectionId>,
}

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.id = Some(conn.id());
        let mut members = self.chat.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.insert(conn.id(), conn.sender());
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.chat.publish(message);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.chat.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }
}
