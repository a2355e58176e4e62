//! Which end of a session one is.

/// Which end of a session one is: that of the WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens sockets and attaches them.
    Client,
    /// Keeps sessions and answers.
    Server,
}
