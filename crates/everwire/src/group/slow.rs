//! What becomes of messages for a member that does not keep up.

use everwire_proto::{CloseCode, CloseFrame};

/// What a [`Group`](crate::Group) does with a message for a member whose send queue is full: that has
/// [`Limits::send_queue`](everwire_proto::Limits::send_queue) bytes waiting, 1 MiB by default. None of
/// these ways delays the other members, or whoever broadcasts.
///
/// A session is full when its client has not acknowledged
/// [`Buffer::bytes`](crate::session::Buffer) or `entries`, 256 KiB or 4,096 messages by default. Without
/// a connection it is not slow: there its own [`Overflow`](crate::session::Overflow) decides, by default
/// the oldest messages give way, and both applications are told of the gap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// It is closed with this frame, and the cause
    /// [`SlowConsumer`](everwire_proto::Cause::SlowConsumer). Nobody misses a message without being
    /// told. The default, with 1013, which lets clients come back after a while.
    ///
    /// A session loses its connection with 4413 and stays a member: its client comes back to the
    /// messages that are kept, and to a gap where they had to give way. If they never do, because its
    /// overflow is another than [`Evict`](crate::session::Overflow::Evict), the session ends with 4413.
    Disconnect(CloseFrame),
    /// It misses this message, and goes on with the next for which there is room. For a session the
    /// message was never sent, so there is no gap.
    Skip,
    /// It is sent the last so many messages when it has room again, and misses those before. With 1 it
    /// is sent the latest, as befits a state that replaces the one before. A session has room when half
    /// of its buffer was acknowledged, or its connection is gone. What it misses was never sent, so
    /// there is no gap.
    KeepLatest(usize),
}

impl Default for SlowPolicy {
    fn default() -> Self {
        let frame = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "too slow");
        Self::Disconnect(frame.expect("1013 may be sent"))
    }
}
