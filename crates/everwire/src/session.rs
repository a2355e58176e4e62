//! Sessions that survive their connections: both sides of `everwire.v1`.
//!
//! A [`SessionClient`] is for a session what a [`WebSocket`](crate::WebSocket) is for a connection. On
//! a server, a [`SessionHandler`] is for a session what a [`Handler`](crate::Handler) is for a connection, but
//! it lives on when the connection drops: the client comes back on another one, and neither side has
//! lost a message or got one twice. Where that cannot be kept, both are told before the next
//! message. `docs/protocol.md` says how.
//!
//! # Examples
//! An echo that survives, on a path that serves ordinary WebSocket clients as well:
//! ```
//! use everwire::{
//!     Conn, Handler, Message, Server,
//!     session::{SessionHandler, SessionMessage, SessionSender, Sessions},
//! };
//!
//! struct Echo;
//!
//! impl SessionHandler for Echo {
//!     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
//!         session.send_message(&message).ok();
//!     }
//! }
//!
//! impl Handler for Echo {
//!     fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
//!         conn.send(message).ok();
//!     }
//! }
//!
//! let sessions = Sessions::builder().push(|_| Echo);
//! Server::builder().push("/echo", |_| Echo).sessions(&sessions);
//! ```

mod alarm;
mod builder;
mod cast;
mod client;
mod handler;
mod live;
mod oversize;
mod pull;
mod sender;
mod sessions;
mod socket;
mod stats;
mod transmit;

pub use everwire_session::{
    Acks, Buffer, Code, Config as SessionConfig, Direction, End, EndedBy, GapRange, GapReason,
    Kind, Message as SessionMessage, MessageRef as SessionMessageRef, Overflow, Prepared,
    Principal, Reauthentication, SUBPROTOCOL, SendError as SessionSendError, SessionId,
    StoreConfig, Terms,
};

#[cfg(feature = "json")]
pub use self::client::SessionFile;
pub use self::{
    builder::{Identity, SessionsBuilder},
    client::{
        ClientEnd, ClientEvent, ClientReceiver, ClientSender, ClientState, ClientStates,
        ClientStop, Missing, Receipt, SessionClient, SessionClientBuilder, SessionEnd,
        SessionStore, Snapshot, SnapshotChange, StoreError,
    },
    handler::SessionHandler,
    pull::{Session, SessionEvent},
    sender::SessionSender,
    sessions::Sessions,
    stats::SessionStats,
};
pub(crate) use self::{
    cast::{IfFull, SessionCast},
    live::Live,
    socket::SessionRoute,
};
