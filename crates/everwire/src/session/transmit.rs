//! What a session has to say, put on a connection.

use std::time::Instant;

use everwire_proto::{CloseCode, Compress, Message, Payload, SendError};
use everwire_session::{Code, Lent, ServerSession, Transmit, Welcome};

use crate::Conn;

/// Transmits what there is on the connection of this epoch.
pub(super) fn transmit(session: &mut ServerSession, conn: &mut Conn<'_>, epoch: u64) {
    loop {
        while let Some(frame) = session.poll_message(conn.now, epoch) {
            let payload = match frame {
                Lent::Small(frame) => Payload::Borrowed(frame),
                Lent::Large(frame) => Payload::Shared(frame.clone()),
            };
            let sent = conn.send(Message::Binary(payload));
            mind_room(session, conn.now, sent);
        }
        match session.poll_transmit(conn.now, epoch) {
            Some(Transmit::Frame(frame)) => {
                // A secret must not be compressed together with what others chose.
                let compress = if is_data(&frame) { Compress::default() } else { Compress::Never };
                let sent = conn.send_with(Message::Binary(Payload::Shared(frame)), compress);
                mind_room(session, conn.now, sent);
            }
            Some(Transmit::Close(code)) => return close(conn, code),
            None => return,
        }
    }
}

/// Detaches a connection that has no room: what it was not sent is kept, and comes on the next.
fn mind_room(session: &mut ServerSession, now: Instant, sent: Result<(), SendError>) {
    if let Err(SendError::Full { .. }) = sent {
        session.detach(now, Code::SLOW_CONSUMER);
    }
}

/// Returns whether a frame is DATA.
fn is_data(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first >> 4 == 1)
}

/// Closes a connection with a code of the protocol.
pub(super) fn close(conn: &mut Conn<'_>, code: Code) {
    if let Some(code) = CloseCode::new(code.number()) {
        conn.close(code, "").ok();
    }
}

/// Answers a HELLO that was not accepted, and closes with this code.
pub(super) fn refuse(conn: &mut Conn<'_>, welcome: Welcome, code: Code) {
    let frame = everwire_session::Frame::Welcome(welcome).encode();
    conn.send_with(Message::Binary(Payload::Shared(frame)), Compress::Never).ok();
    close(conn, code);
}
