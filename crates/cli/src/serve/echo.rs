//! `/echo`: every message comes back.

use std::collections::VecDeque;

use everwire::{
    Conn, Handler, Message,
    session::{
        Acks, Code, SessionConfig, SessionHandler, SessionMessage, SessionMessageRef,
        SessionSendError, SessionSender,
    },
};

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

/// After how many bytes credit is given back: an eighth of the window, which never keeps a client
/// waiting.
const CREDIT: u32 = 1 << 15;
/// What each message costs of the window, beside its payload.
const MESSAGE_COST: u32 = 32;

/// Sends every message of a session back. Its client gets its credit back when its messages are on
/// the way to it, so that what waits here is bounded by the window.
#[derive(Debug, Default)]
pub(super) struct SessionEcho {
    /// Nothing, nearly always.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 32, in every session")]
    waiting: Option<Box<VecDeque<SessionMessage>>>,
    /// What went back and was not credited.
    owed: u32,
    is_detached: bool,
}

impl SessionEcho {
    /// Returns what sessions that echo need.
    pub(super) fn config() -> SessionConfig {
        let mut config = SessionConfig::server();
        config.acks = Acks::Released;
        config
    }

    /// Sends what there is room for. Without a connection nothing: old messages would give way.
    fn send(&mut self, session: &SessionSender) {
        while !self.is_detached
            && let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop_front())
        {
            let sent = match session.send_message(&message) {
                Err(SessionSendError::TooBig { .. }) => session.send_message_or_gap(&message),
                sent => sent,
            };
            match sent {
                Ok(()) | Err(SessionSendError::Closed) => {}
                Err(SessionSendError::Full { .. }) => {
                    return self.waiting.get_or_insert_default().push_front(message);
                }
                Err(error) => session.end(Code::ENDED, &error.to_string()),
            }
            self.give_credit(session, &message.lend());
        }
        self.waiting.take_if(|waiting| waiting.is_empty());
    }

    /// Gives credit back for a message that is on the way, and those before it, if that is worth it.
    #[inline]
    fn give_credit(&mut self, session: &SessionSender, message: &SessionMessageRef<'_>) {
        let size = u32::try_from(message.payload.len()).unwrap_or(CREDIT);
        self.owed += size.min(CREDIT) + MESSAGE_COST;
        if let (Some(number), CREDIT..) = (message.number, self.owed) {
            session.release(number);
            self.owed = 0;
        }
    }
}

impl SessionHandler for SessionEcho {
    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        if message.number.is_none() {
            session.send_volatile(message.kind, &message.payload);
            return;
        }
        self.waiting.get_or_insert_default().push_back(message);
        self.send(session);
    }

    /// Nearly all goes back at once, and is not copied.
    #[inline]
    fn on_message_lent(&mut self, session: &SessionSender, message: SessionMessageRef<'_>) {
        let is_next = message.number.is_some() && self.waiting.is_none() && !self.is_detached;
        if is_next && session.send_message_ref(&message).is_ok() {
            return self.give_credit(session, &message);
        }
        self.on_message(session, message.to_message());
    }

    fn on_detached(&mut self, _: &SessionSender) {
        self.is_detached = true;
    }

    fn on_resumed(&mut self, session: &SessionSender) {
        self.is_detached = false;
        self.send(session);
    }

    fn on_writable(&mut self, session: &SessionSender) {
        self.send(session);
    }
}
