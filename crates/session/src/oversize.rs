//! Messages that never came to a session.

/// A message that the WebSocket beneath did not take because of its size or its fragments, and closed
/// for with 1009 (protocol §6).
///
/// Coming back would bring it again, so the session ends with
/// [`Code::TOO_BIG`](crate::Code::TOO_BIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// A WebSocket message of the peer, of so many bytes, that our WebSocket refused.
    Theirs(u64),
    /// A WebSocket message of the peer, in more than so many fragments, that our WebSocket refused.
    Fragments(u32),
    /// A message of ours that the peer's WebSocket refused.
    Ours,
}
