//! What an application does with a session.

use everwire_session::{Direction, End, Event, GapRange, Message, MessageRef};

use super::SessionSender;

/// What a server does with one session. One value per session; it outlives the session's
/// connections.
///
/// The methods are called one after the other, by whoever drives the session at that moment, and
/// must not block. The sender can be used inside of them. A panic ends the session with
/// [`Code::ENDED`](super::Code::ENDED); no method is called afterwards.
///
/// # Examples
/// ```
/// use everwire::session::{Direction, End, GapRange, SessionHandler, SessionMessage, SessionSender};
///
/// /// What is typed into a form, field by field.
/// #[derive(Default)]
/// struct Form {
///     fields: Vec<String>,
/// }
///
/// impl SessionHandler for Form {
///     fn on_session(&mut self, session: &SessionSender) {
///         session.send_text("ready").ok();
///     }
///
///     fn on_message(&mut self, _: &SessionSender, message: SessionMessage) {
///         self.fields.extend(message.as_text().map(str::to_owned));
///     }
///
///     fn on_gap(&mut self, session: &SessionSender, direction: Direction, gap: GapRange) {
///         if direction == Direction::In {
///             // The client gave up these while it was away, and has been told as well.
///             session.send_text(&format!("again, please: {} to {}", gap.from, gap.to)).ok();
///         }
///     }
///
///     fn on_end(&mut self, end: &End) {
///         println!("{} after {} fields, {} unread", end.code, self.fields.len(), end.unacknowledged.len());
///     }
/// }
/// ```
pub trait SessionHandler: Send + 'static {
    /// Is called once, first.
    fn on_session(&mut self, session: &SessionSender) {
        let _ = session;
    }

    /// Is called for each message, in order, each once.
    fn on_message(&mut self, session: &SessionSender, message: Message);

    /// Is called instead of [`on_message`](Self::on_message), which it calls with a copy, for each message
    /// whose memory can be lent: nearly all small ones. What copies nothing can do without that.
    ///
    /// # Examples
    /// ```
    /// use everwire::session::{SessionHandler, SessionMessage, SessionMessageRef, SessionSender};
    ///
    /// /// Counts bytes.
    /// struct Total(u64);
    ///
    /// impl SessionHandler for Total {
    ///     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
    ///         self.on_message_lent(session, message.lend());
    ///     }
    ///
    ///     fn on_message_lent(&mut self, _: &SessionSender, message: SessionMessageRef<'_>) {
    ///         self.0 += message.payload.len() as u64;
    ///     }
    /// }
    /// ```
    fn on_message_lent(&mut self, session: &SessionSender, message: MessageRef<'_>) {
        self.on_message(session, message.to_message());
    }

    /// Is called when the connection is gone. What is sent now is kept for the client's return.
    fn on_detached(&mut self, session: &SessionSender) {
        let _ = session;
    }

    /// Is called when the client is back, on another connection. It may not have been seen to leave.
    fn on_resumed(&mut self, session: &SessionSender) {
        let _ = session;
    }

    /// Is called before the next message when messages are missing: the client's
    /// ([`Direction::In`]) or ours ([`Direction::Out`]).
    fn on_gap(&mut self, session: &SessionSender, direction: Direction, gap: GapRange) {
        let _ = (session, direction, gap);
    }

    /// Is called when there is room again, after a message was refused because the buffer was full.
    fn on_writable(&mut self, session: &SessionSender) {
        let _ = session;
    }

    /// Is called exactly once, last, with how the session ended and what the client did not
    /// acknowledge.
    fn on_end(&mut self, end: &End) {
        let _ = end;
    }
}

/// Calls the method for an event.
pub(super) fn dispatch(handler: &mut dyn SessionHandler, session: &SessionSender, event: Event) {
    match event {
        Event::Opened { .. } => handler.on_session(session),
        Event::Message(message) => handler.on_message(session, message),
        Event::Detached => handler.on_detached(session),
        Event::Resumed { .. } => handler.on_resumed(session),
        Event::Gap(direction, gap) => handler.on_gap(session, direction, gap),
        Event::Writable => handler.on_writable(session),
        Event::Ended(end) => handler.on_end(&end),
        _ => {}
    }
}
