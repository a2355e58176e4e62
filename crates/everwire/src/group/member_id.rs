//! The name of a member of a group.

use crate::{ConnectionId, session::SessionId};

/// Names a member of a [`Group`](crate::Group): a connection, or a session, whatever connection that
/// has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberId {
    /// A connection.
    Connection(ConnectionId),
    /// A session.
    Session(SessionId),
}

impl From<ConnectionId> for MemberId {
    fn from(id: ConnectionId) -> Self {
        Self::Connection(id)
    }
}

impl From<SessionId> for MemberId {
    fn from(id: SessionId) -> Self {
        Self::Session(id)
    }
}
