//! What comes on a session's connection.

use std::{sync::Arc, time::Instant};

use everwire_proto::{Message, Payload};
use everwire_session::MessageRef;

use super::{Held, Live, State};
use crate::{Conn, session::SessionSender};

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
    ) {
        let live = &sender.0;
        let held = Held::take(live);
        let mut state = live.lock();
        state.drive(epoch);
        let lent = match &message {
            Message::Binary(frame)
                if (held.is_some() || state.app.is_some()) && !is_worth_sharing(frame) =>
            {
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
            let held = held.or_else(|| state.take_app(live));
            drop(state);
            held.into_iter().for_each(|held| Self::hand_out(sender, held, message));
        } else if state.session.has_events() {
            state.put_back(held);
            drop(live.call(state, now));
        } else if let Some(held) = held {
            held.keep();
        }
    }

    /// Gives a message to the application, under no lock.
    #[inline]
    fn hand_out(sender: &SessionSender, held: Held, message: MessageRef<'_>) {
        let Held { live, app } = held;
        match live.guarded(app, |app| app.on_message_lent(sender, message)) {
            Some(app) => Held { live, app }.keep(),
            None => live.lock().fail(),
        }
    }

    /// Does all that follows from what was received, and transmits what there is on the connection of
    /// this epoch.
    pub(in crate::session) fn transmit(sender: &SessionSender, conn: &mut Conn<'_>, epoch: u64) {
        let now = conn.now;
        let held = Held::take(&sender.0);
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
    /// Takes the application to call it.
    #[inline]
    fn take_app(&mut self, live: &Arc<Live>) -> Option<Held> {
        self.app.take().map(|app| Held { live: live.clone(), app })
    }

    /// Takes the application back from a driver, if that has it.
    #[inline]
    fn put_back(&mut self, held: Option<Held>) {
        if let Some(held) = held {
            self.app = Some(held.app);
        }
    }
}
