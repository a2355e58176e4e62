//! What comes on a session's connection.

use std::time::Instant;

use everwire_proto::{Message, Payload};
use everwire_session::MessageRef;

use super::{Live, State};
use crate::{
    Conn,
    session::{SessionHandler, SessionSender},
};

/// The application, as long as the driver of its session's connection has it: from the first message
/// of what was read until all of that is [settled](Live::transmit).
pub(in crate::session) type Held = Option<Box<dyn SessionHandler>>;

/// Larger payloads are handed out in the memory that they came in, if they can be.
const SHARED_FROM: usize = 4 << 10;

impl Live {
    /// Handles a message that arrived on the connection of this epoch. Its driver calls
    /// [`transmit`](Self::transmit) when it has no more.
    #[inline]
    pub(in crate::session) fn receive(
        sender: &SessionSender,
        now: Instant,
        epoch: u64,
        message: Message<'_>,
        held: &mut Held,
    ) {
        let live = &sender.0;
        let mut state = live.lock();
        state.drive(epoch);
        let lent = match &message {
            Message::Binary(frame) if state.is_app_here(held) && !is_worth_sharing(frame) => {
                state.session.handle_lent(now, epoch, frame)
            }
            Message::Binary(Payload::Borrowed(frame)) => {
                state.session.handle_borrowed(now, epoch, frame);
                None
            }
            Message::Binary(Payload::Shared(frame)) => {
                state.session.handle_message(now, epoch, frame);
                None
            }
            Message::Text(_) => {
                state.session.handle_text(now, epoch);
                None
            }
        };
        if let Some(message) = lent {
            let app = held.take().or_else(|| state.app.take());
            drop(state);
            live.hand_out(sender, app, message, held);
        } else if state.session.has_events() {
            state.put_back(held);
            drop(live.call(state, now));
        }
    }

    /// Gives a message to the application, under no lock.
    #[inline]
    fn hand_out(
        &self,
        sender: &SessionSender,
        app: Held,
        message: MessageRef<'_>,
        held: &mut Held,
    ) {
        let Some(app) = app else { return };
        *held = self.guarded(app, |app| app.on_message_lent(sender, message));
        if held.is_none() {
            self.lock().fail();
        }
    }

    /// Does all that follows from what was received, and transmits what there is on the connection of
    /// this epoch.
    pub(in crate::session) fn transmit(
        sender: &SessionSender,
        conn: &mut Conn<'_>,
        epoch: u64,
        held: &mut Held,
    ) {
        let now = conn.now;
        let mut state = sender.0.lock();
        state.put_back(held);
        state.drive(epoch);
        sender.0.settle(state, now, Some((conn, epoch)));
    }
}

/// Returns whether a frame shares memory that it would be a waste to copy.
#[inline]
fn is_worth_sharing(frame: &Payload<'_>) -> bool {
    matches!(frame, Payload::Shared(frame) if frame.len() > SHARED_FROM)
}

impl State {
    /// Returns whether the driver that asks can call the application.
    #[inline]
    fn is_app_here(&self, held: &Held) -> bool {
        held.is_some() || self.app.is_some()
    }

    /// Takes the application back from a driver, if that has it.
    #[inline]
    fn put_back(&mut self, held: &mut Held) {
        if let Some(app) = held.take() {
            self.app = Some(app);
        }
    }
}
