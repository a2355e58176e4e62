//! Which end of a connection, and where in its life.

/// Which end of the connection this is. See RFC 6455 §1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that connected; it masks what it sends.
    Client,
    /// The end that accepted.
    Server,
}

/// Where a connection is in its life. See RFC 6455 §4.1 and §7.1.
///
/// ```text
///                       close()                    peer's Close
///   ┌──────┐ ────────────────────────► ┌─────────┐ ────────────┐
///   │ Open │                           │ Closing │             │
///   └──────┘ ──────────┐               └─────────┘             ▼
///       │    peer's Close, failure, end of stream  └─► ┌───────────┐  all written
///       │              └─────────────────────────────► │ Finishing │ ─────────────┐
///       │                                              └───────────┘              ▼
///       │ reset, abort                                       │ deadline    ┌──────────┐
///       ▼                                                    ▼             │ Draining │
///   ┌────────┐ ◄───────────────────────────────────────────────────────── └──────────┘
///   │ Closed │          end of stream, deadline
///   └────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Messages go both ways.
    Open,
    /// We sent Close; the peer's is awaited and its messages are still delivered.
    Closing,
    /// How it ends is decided; what is queued is being written, input is discarded.
    Finishing,
    /// All is written; the peer's end of stream is awaited so that no reset destroys what we sent. It is
    /// left out after [`close_at_once`](crate::Connection::close_at_once).
    Draining,
    /// It is over; drop the socket. [`Connection::closure`](crate::Connection::closure) says how it ended.
    Closed,
}
