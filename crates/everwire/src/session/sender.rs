//! A session, as everybody but its handler sees it.

use std::{fmt, sync::Arc, time::Duration};

use everwire_session::{
    Code, Kind, Message, MessageRef, Prepared, Principal, SendError, ServerSession, SessionId,
};

use super::live::Live;

/// A handle of a session, for sending to it and ending it from anywhere. Cheap to clone; it does not
/// keep the session alive.
///
/// What is sent is kept until the client has it, whether or not a connection is there.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use everwire::session::{Code, Principal, Sessions};
///
/// /// Tells everybody, who is away too.
/// fn announce(sessions: &Sessions, news: &str) {
///     let message = sessions.text(news); // Kept once, however many have not read it.
///     for session in sessions.all() {
///         if let Err(error) = session.send(message.clone()) {
///             eprintln!("not told to {:?}: {error}", session.principal());
///         }
///     }
/// }
///
/// /// Ends all sessions of somebody: they cannot be resumed.
/// fn throw_out(sessions: &Sessions, who: &Principal) {
///     sessions.all().iter().filter(|session| session.principal() == *who).for_each(|session| {
///         session.end(Code::ENDED, "account closed");
///     });
/// }
///
/// /// Sends the clients to another server that knows their sessions, over half a minute.
/// fn move_away(sessions: &Sessions, url: &str) {
///     for session in sessions.all() {
///         session.go_away(Duration::ZERO, Duration::from_secs(30), url);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct SessionSender(pub(super) Arc<Live>);

impl SessionSender {
    /// Sends a text message.
    ///
    /// # Errors
    /// [`SendError`]: the buffer is full (while there is a connection; without one
    /// [`Overflow`](super::Overflow) decides), the message is larger than the client takes, or the session is
    /// over. What is refused was not sent, and nobody is told of it.
    pub fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.send_payload(Kind::Text, text.as_bytes())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_binary(&self, payload: &[u8]) -> Result<(), SendError> {
        self.send_payload(Kind::Binary, payload)
    }

    /// Sends what was received, here or elsewhere.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send_payload(message.kind, &message.payload)
    }

    /// Sends what was received, here or elsewhere, and is only lent: it is copied once, into the buffer.
    ///
    /// ```
    /// use everwire::session::{SessionHandler, SessionMessage, SessionMessageRef, SessionSender};
    ///
    /// struct Echo;
    ///
    /// impl SessionHandler for Echo {
    ///     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
    ///         self.on_message_lent(session, message.lend());
    ///     }
    ///
    ///     fn on_message_lent(&mut self, session: &SessionSender, message: SessionMessageRef<'_>) {
    ///         if let Err(error) = session.send_message_ref(&message) {
    ///             eprintln!("not sent: {error}");
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_message_ref(&self, message: &MessageRef<'_>) -> Result<(), SendError> {
        self.send_payload(message.kind, message.payload)
    }

    /// Sends a message that was encoded before, such as for many sessions: they share it.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send(&self, message: Prepared) -> Result<(), SendError> {
        self.0.act(|session, now| session.send(now, message)).map(drop)
    }

    /// Sends a message of which only the newest is wanted, such as the state of something that changes
    /// often: it takes the place of the one with the same `key` that has not left yet. So who was away
    /// for long finds one message for each key, and not all that it has missed.
    ///
    /// It leaves behind what was accepted by [`send`](Self::send) and its like, when there is a
    /// connection and credit; from then on it is kept until the client has it, as all messages are. Until
    /// then it does not grow too old. Of what gave way nobody is told.
    ///
    /// A message of [`Sessions::text`](super::Sessions::text) or [`binary`](super::Sessions::binary)
    /// counts as memory of these sessions, once for all that keep it.
    ///
    /// ```
    /// use everwire::session::{SessionSendError, SessionSender, Sessions};
    ///
    /// fn price(
    ///     sessions: &Sessions,
    ///     session: &SessionSender,
    ///     share: u64,
    ///     cents: u64,
    /// ) -> Result<(), SessionSendError> {
    ///     session.send_latest(share, sessions.text(&format!("{share} {cents}")))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text). While nobody is there, older messages give way to it by
    /// default; it gives way to none, so many keys can fill the buffer for all others.
    pub fn send_latest(&self, key: u64, message: Prepared) -> Result<(), SendError> {
        self.0.act(|session, now| session.send_latest(now, key, message))
    }

    /// Sends what was received, here or elsewhere; to a client that does not take a message of its size
    /// it is a gap ([`GapReason::Oversize`](super::GapReason)), and
    /// [`on_gap`](super::SessionHandler::on_gap) is told.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text), but never [`TooBig`](SendError::TooBig).
    pub fn send_message_or_gap(&self, message: &Message) -> Result<(), SendError> {
        let message = Prepared::metered(message.kind, &message.payload, self.0.meter());
        self.0.act(|session, now| session.send_or_gap(now, message)).map(drop)
    }

    #[inline]
    fn send_payload(&self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        let meter = self.0.meter();
        self.0.act(|session, now| session.send_payload(now, kind, payload, meter)).map(drop)
    }

    /// Sends a message that may be dropped, such as a position that the next one replaces; returns
    /// whether it was queued. Without a connection it is not.
    pub fn send_volatile(&self, kind: Kind, payload: &[u8]) -> bool {
        self.0.act(|session, _| session.send_volatile(kind, payload))
    }

    /// Says goodbye once all that was accepted has been sent, and waits for the answer;
    /// [`SessionHandler::on_end`](super::SessionHandler::on_end) tells how it went. A session without
    /// a connection waits for its client to come back, as long as it would be kept.
    pub fn close(&self, code: Code, reason: &str) {
        self.0.act(|session, _| session.close(code, reason, None));
    }

    /// Ends the session now: throws the client out.
    pub fn end(&self, code: Code, reason: &str) {
        self.0.act(|session, _| session.end(code, reason));
    }

    /// Lets go of the connection; the session stays, and its client comes back.
    pub fn detach(&self) {
        self.0.act(|session, now| session.detach(now, Code::BUSY));
    }

    /// Advises the client to come on another connection, after a time and at random over another.
    /// `url` says where, if it is not empty.
    pub fn go_away(&self, after: Duration, spread: Duration, url: &str) {
        self.0.act(|session, _| session.goaway(after, spread, url));
    }

    /// Gives back the credit of all messages up to this number; for
    /// [`Acks::Released`](super::Acks::Released) and [`Acks::Manual`](super::Acks::Manual).
    pub fn release(&self, number: u64) {
        self.0.act(|session, now| session.release(now, number));
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.0
    }

    /// Returns the session's name. It is not secret.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id()
    }

    /// Returns whose session it is.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.0.look(|session| session.principal().clone())
    }

    /// Returns whether there is a connection at this moment.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.0.look(ServerSession::is_attached)
    }

    /// Returns whether the session is over.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.look(ServerSession::is_ended)
    }

    /// Returns how many connections the session has had.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.look(ServerSession::epoch)
    }

    /// Returns the smoothed round trip between the two ends.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.0.look(ServerSession::rtt)
    }

    /// Returns the bytes and the messages that are kept for a replay.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize) {
        self.0.look(ServerSession::buffered)
    }
}

impl fmt::Debug for SessionSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionSender").field(&self.id()).finish()
    }
}
