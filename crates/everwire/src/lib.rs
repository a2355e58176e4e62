//! WebSocket connections that stay alive, end with one honest explanation, and come back.
//!
//! everwire is a server and a client. It owns what everybody otherwise writes by hand: heartbeats,
//! the detection of a peer that vanished, the closing handshake, limits.
//! It leaves to others what a message means: there are no rooms or channels in it.

pub mod adapt;
#[cfg(feature = "axum")]
pub mod axum;
mod client;
mod clock;
pub mod dial;
mod driver;
mod handler;
mod io;
mod json;
mod message_writer;
mod pool;
mod random;
mod registry;
mod sender;
mod server;
mod shared;
pub mod test;
pub mod tls;
pub mod trust;
mod websocket;

pub use everwire_proto::{
    Cause, CloseCode, CloseFrame, Closure, Config, ControlRate, Counters, Delivery, Direction,
    FrameHeader, FrameLine, Keepalive, Limits, Message, MessageKind, Opcode, Payload, Piece,
    PreparedMessage, ProtocolError, SendError, Text,
};

#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::{
    client::{Client, ClientObserver, ConnectError, CookieJar, CookieStore, Refused, connect},
    handler::{Conn, Handler},
    message_writer::MessageWriter,
    registry::{ConnectionInfo, Registry, Totals},
    sender::{Closing, Permit, Sender},
    server::{
        Accept, BoundAddr, Decision, Drained, Listener, OriginPolicy, Reject, Respond, Server,
        ServerBuilder, StartError, UpgradeRequest,
    },
    shared::ConnectionId,
    websocket::{Receiver, WebSocket},
};
