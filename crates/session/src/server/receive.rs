//! What a server does with a frame.

use std::time::Instant;

use bytes::Bytes;

use super::ServerSession;
use crate::{At, Event, Frame, Malformed, MessageRef, Mutation, Role, Ticket, Violation, frame};

/// Where a client stands has to be checked before anything that it says counts (protocol §5.2).
const TOO_EARLY: Malformed = Malformed::NotNow("a frame without counts as the first");

impl ServerSession {
    /// Handles a binary message that arrived on the socket of this epoch.
    pub fn handle_message(&mut self, now: Instant, epoch: u64, message: &Bytes) {
        let now = self.end.at(now);
        let fenced = !self.end.config.leaves_out(Mutation::NoServerFence);
        if !self.end.listening(epoch) && (fenced || !self.end.is_attached()) {
            return self.end.receive_late(epoch, Role::Client, message);
        }
        let handled = Frame::parse(Role::Client, message)
            .map_err(Violation::from)
            .and_then(|frame| self.handle_frame(now, frame));
        match handled {
            // The client has our WELCOME, and with it the new token.
            Ok(()) => self.tokens.confirm(),
            Err(violation) => self.violate(now, violation),
        }
    }

    /// Handles a binary message as [`handle_message`](Self::handle_message) does, but copies of it only
    /// what is handed out.
    pub fn handle_borrowed(&mut self, now: Instant, epoch: u64, message: &[u8]) {
        let data = frame::parse_data(message);
        if matches!(data, Ok(None)) || !self.end.listening(epoch) {
            return self.handle_message(now, epoch, &Bytes::copy_from_slice(message));
        }
        let now = self.end.at(now);
        let handled = data.map_err(Violation::from).and_then(|data| {
            let Some((kind, volatile, payload)) = data else { return Ok(()) };
            if !self.tokens.is_confirmed() {
                return Err(TOO_EARLY.into());
            }
            let message = MessageRef { number: None, kind, payload }.to_message();
            self.end.receive_data(now, volatile, message)
        });
        if let Err(violation) = handled {
            self.violate(now, violation);
        }
    }

    /// Handles a binary message as [`handle_borrowed`](Self::handle_borrowed) does. A message in it that
    /// the application can have at once, because no event waits before it, is handed out here, and lent;
    /// all else comes with [`poll_event`](Self::poll_event).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use everwire_session::{Event, ServerSession};
    ///
    /// /// Returns how many bytes of messages came with a frame.
    /// fn receive(session: &mut ServerSession, now: Instant, epoch: u64, frame: &[u8]) -> usize {
    ///     let lent = session.handle_lent(now, epoch, frame);
    ///     let mut n = lent.map_or(0, |message| message.payload.len());
    ///     while let Some(event) = session.poll_event(now) {
    ///         if let Event::Message(message) = event {
    ///             n += message.payload.len();
    ///         }
    ///     }
    ///     n
    /// }
    /// ```
    #[inline]
    pub fn handle_lent<'m>(
        &mut self,
        now: Instant,
        epoch: u64,
        message: &'m [u8],
    ) -> Option<MessageRef<'m>> {
        let at = self.end.at(now);
        let is_confirmed = self.tokens.is_confirmed();
        let Some(lent) = is_confirmed.then(|| self.end.lend(at, epoch, message)).flatten() else {
            self.handle_borrowed(now, epoch, message);
            return None;
        };
        lent.map_err(|violation| self.violate(at, violation)).ok()
    }

    fn handle_frame(&mut self, now: At, frame: Frame) -> Result<(), Violation> {
        let has_counts =
            !matches!(frame, Frame::Data { .. } | Frame::Gap(_) | Frame::AuthTicket(_));
        if !has_counts && !self.tokens.is_confirmed() {
            return Err(TOO_EARLY.into());
        }
        let (code, reason) = match &frame {
            Frame::AuthTicket(_) => {
                self.end.strike(now, &frame)?;
                let Frame::AuthTicket(Ticket(ticket)) = frame else { return Ok(()) };
                self.end.event(Event::Ticket(Ticket(ticket)));
                return Ok(());
            }
            Frame::Bye { reply: false, code, reason, .. } => (Some(*code), reason.clone()),
            _ => (None, String::new()),
        };
        self.end.receive(now, frame)?;
        if let Some(code) = code {
            self.set_epitaph(code, &reason);
        }
        Ok(())
    }
}
