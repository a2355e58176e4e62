//! Those who are told the same: connections and sessions.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use everwire::{
    CloseCode, CloseFrame, Group, Message, MessageKind, Payload, PreparedMessage, Sender,
    SlowPolicy,
    session::{Prepared, SessionId, SessionMessage, SessionSendError, SessionSender, Sessions},
};
use tokio::sync::Notify;

/// What a slow connection is told: of the application's own codes, because 1008 would tell clients
/// never to come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// Connections and sessions that receive the same messages in the same order, whether or not a
/// session has a connection at that moment. Cheap to clone.
///
/// Nobody waits for who does not keep up. A connection is closed. A session loses its connection and
/// is then as any other that has none: it keeps what fits, and its client is told what is missing.
#[derive(Clone)]
pub(super) struct Audience(Arc<Inner>);

struct Inner {
    connections: Group,
    sessions: Mutex<HashMap<SessionId, SessionSender>>,
    /// What encodes for all sessions at once.
    encoder: OnceLock<Sessions>,
    /// Is held while everybody is told. No handler that is called meanwhile takes it.
    order: Mutex<()>,
    arrived: Notify,
}

impl Default for Audience {
    fn default() -> Self {
        let too_slow = CloseFrame::new(TOO_SLOW, "too slow").expect("the code may be sent");
        Self(Arc::new(Inner {
            connections: Group::new(SlowPolicy::Disconnect(too_slow)),
            sessions: Mutex::default(),
            encoder: OnceLock::new(),
            order: Mutex::default(),
            arrived: Notify::new(),
        }))
    }
}

impl Audience {
    /// Names the sessions from which members come.
    pub(super) fn set_sessions(&self, sessions: &Sessions) {
        self.0.encoder.set(sessions.clone()).ok();
    }

    /// Takes a connection in, until it ends.
    pub(super) fn join(&self, connection: &Sender) {
        self.0.connections.join(connection);
        self.0.arrived.notify_one();
    }

    /// Takes a session in, until it [leaves](Self::leave).
    pub(super) fn join_session(&self, session: &SessionSender) {
        self.sessions().insert(session.id(), session.clone());
        self.0.arrived.notify_one();
    }

    /// Lets a session go, because it has ended.
    pub(super) fn leave(&self, session: SessionId) {
        self.sessions().remove(&session);
    }

    /// Waits until there is somebody.
    pub(super) async fn somebody(&self) {
        while self.is_empty() {
            self.0.arrived.notified().await;
        }
    }

    /// Returns whether nobody is there, sessions without a connection included.
    pub(super) fn is_empty(&self) -> bool {
        self.0.connections.is_empty() && self.sessions().is_empty()
    }

    /// Tells everybody.
    pub(super) fn tell(&self, message: &PreparedMessage) {
        let order = self.0.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.connections.broadcast(message);
        let sessions: Vec<SessionSender> = self.sessions().values().cloned().collect();
        if let (false, Some(encoder)) = (sessions.is_empty(), self.0.encoder.get()) {
            let message = encode(encoder, message);
            sessions.iter().for_each(|session| tell_session(session, &message));
        }
        drop(order);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, SessionSender>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience").field("connections", &self.0.connections).finish_non_exhaustive()
    }
}

/// Returns what a session received, for everybody.
pub(super) fn prepare(message: &SessionMessage) -> PreparedMessage {
    match message.as_text() {
        Some(text) => PreparedMessage::new(Message::text(text)),
        None => PreparedMessage::new(Message::binary(Payload::Shared(message.payload.clone()))),
    }
}

fn encode(sessions: &Sessions, message: &PreparedMessage) -> Prepared {
    let payload = message.payload();
    match (message.kind(), str::from_utf8(&payload)) {
        (MessageKind::Text, Ok(text)) => sessions.text(text),
        _ => sessions.binary(&payload),
    }
}

fn tell_session(session: &SessionSender, message: &Prepared) {
    // Any other error: it is ending, and leaves by itself; or its client takes no message that large.
    if let Err(SessionSendError::Full { .. }) = session.send(message.clone()) {
        session.detach();
        session.send(message.clone()).ok();
    }
}
