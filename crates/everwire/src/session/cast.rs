//! A message of a group on its way to sessions.

use std::{sync::Arc, time::Instant};

use everwire_proto::{MessageKind, PreparedMessage};
use everwire_session::{Kind, Prepared, SendError};

use super::{live::Live, sessions::Table};
use crate::{clock, shared::Wakes};

/// What becomes of a message for a session whose buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfFull {
    /// It is refused.
    Refuse,
    /// The session loses its connection, and its oldest messages give way; or it ends, if they never do.
    Detach,
}

/// A message that is sent to many sessions, under a lock that they know nothing of: so nobody's code
/// is called before [`finish`](Self::finish).
pub(crate) struct SessionCast<'a> {
    message: &'a PreparedMessage,
    /// When it came to the first session.
    now: Option<Instant>,
    /// As the sessions of each table keep it: once for all of them.
    kept: Vec<(Arc<Table>, Prepared)>,
    /// Sessions that have more to do than to be written to.
    unsettled: Vec<Arc<Live>>,
}

impl<'a> SessionCast<'a> {
    pub(crate) const fn new(message: &'a PreparedMessage) -> Self {
        Self { message, now: None, kept: Vec::new(), unsettled: Vec::new() }
    }

    /// Sends the message to a session; if its driver sleeps, `wakes` is to wake it.
    ///
    /// # Errors
    /// As [`SessionSender::send`](super::SessionSender::send).
    pub(crate) fn send(
        &mut self,
        live: &Arc<Live>,
        if_full: IfFull,
        wakes: &mut Wakes,
    ) -> Result<(), SendError> {
        let now = *self.now.get_or_insert_with(clock::now);
        let (sent, is_settled) = live.cast(now, self.kept_by(live), if_full, wakes);
        if !is_settled {
            self.unsettled.push(live.clone());
        }
        sent
    }

    /// Returns the message as this session keeps it.
    pub(crate) fn prepared(&mut self, live: &Live) -> Prepared {
        self.kept_by(live).clone()
    }

    fn kept_by(&mut self, live: &Live) -> &Prepared {
        let known = self.kept.iter().position(|(table, _)| Arc::ptr_eq(table, live.table()));
        let place = known.unwrap_or_else(|| {
            let kind = match self.message.kind() {
                MessageKind::Text => Kind::Text,
                MessageKind::Binary => Kind::Binary,
            };
            let table = live.table().clone();
            let kept = Prepared::metered(kind, &self.message.payload(), table.meter());
            self.kept.push((table, kept));
            self.kept.len() - 1
        });
        &self.kept[place].1
    }

    /// Does what the lock was in the way of.
    pub(crate) fn finish(self) {
        for live in self.unsettled {
            live.settle_now();
        }
        for (table, kept) in self.kept {
            drop(kept);
            table.relieve_if_over(clock::now());
        }
    }
}
