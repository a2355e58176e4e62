//! What becomes of messages for a member that does not keep up.

use everwire_proto::{CloseCode, CloseFrame};

/// What a [`Group`](crate::Group) does with a message for a member whose send queue is full: that has
/// [`Limits::send_queue`](everwire_proto::Limits::send_queue) bytes waiting, 1 MiB by default. None of
/// these ways delays the other members, or whoever broadcasts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// It is closed with this frame, and the cause
    /// [`SlowConsumer`](everwire_proto::Cause::SlowConsumer). Nobody misses a message without being
    /// told. The default, with 1013, which lets clients come back after a while.
    Disconnect(CloseFrame),
    /// It misses this message, and goes on with the next for which there is room.
    Skip,
    /// It is sent the last so many messages when it has room again, and misses those before. With 1 it
    /// is sent the latest, as befits a state that replaces the one before.
    KeepLatest(usize),
}

impl Default for SlowPolicy {
    fn default() -> Self {
        let frame = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "too slow");
        Self::Disconnect(frame.expect("1013 may be sent"))
    }
}
