//! `/echo`: every message comes back.

use everwire::{Conn, Handler, Message};

/// Sends every message back.
#[derive(Debug)]
pub(super) struct Echo;

impl Handler for Echo {
    #[inline]
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        // It cannot be full: a driver whose output waits stops handing out messages.
        conn.send(message).ok();
    }
}
