//! WebSocket connections that stay alive and end with one honest explanation.
//!
//! everwire is a server and a client. It owns what everybody otherwise writes by hand: heartbeats,
//! the detection of a peer that vanished, the closing handshake, limits, connecting again. It
//! leaves to others what a message means: there are no rooms or channels in it.
//!
//! | to | begin with |
//! |---|---|
//! | serve | [`Server::builder`] with a [`Handler`] (pushed) or a future over a [`WebSocket`] (pulled) |
//! | connect | [`connect`], or [`Client`] with choices |
//! | stay connected | [`ReconnectingClient`], and [`reconnect`] |
//! | send from elsewhere | [`Sender`], to many [`PreparedMessage`], in pieces [`MessageWriter`] |
//! | know how it ended | [`Closure`]: exactly one per connection, with its [`Cause`] |
//! | set limits and deadlines | [`Config`] |
//! | list and end connections | [`Registry`] |
//! | live in another HTTP server | [`adapt`], and `axum` with that feature |
//! | test without a network | [`mod@test`] |
//!
//! # Examples
//! ```
//! use everwire::{CloseCode, Server, WebSocket};
//!
//! async fn echo(mut ws: WebSocket) {
//!     while let Some(message) = ws.recv().await {
//!         ws.send(message).await.ok();
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().bind("127.0.0.1:0").pull("/echo", echo).start().await?;
//!
//! let mut ws = everwire::connect(&format!("ws://{}/echo", server.addrs()[0])).await?;
//! ws.send("hello").await?;
//! assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"));
//! let closure = ws.close(CloseCode::NORMAL_CLOSURE, "bye")?.await;
//! assert!(closure.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! They only add. `json` and `tls` are on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `json` | `send_json` and `recv_json` |
//! | `tls` | `wss`, [`tls`]: rustls with ring, and the platform's trust store |
//! | `axum` | an extractor for axum 0.8 |

pub mod adapt;
#[cfg(feature = "axum")]
pub mod axum;
mod client;
mod clock;
mod codecs;
pub mod dial;
mod driver;
#[cfg(target_os = "linux")]
mod event_loop;
#[cfg(not(target_os = "linux"))]
#[path = "event_loop_absent.rs"]
mod event_loop;
mod group;
mod handler;
mod io;
mod json;
mod message_writer;
mod path;
mod peers;
mod pool;
mod random;
pub mod reconnect;
mod registry;
mod sender;
mod server;
pub mod session;
mod shared;
mod signal;
mod sync;
pub mod test;
pub mod tls;
pub mod trust;
mod websocket;

pub use everwire_proto::handshake::HeadLimits;
pub use everwire_proto::{
    Advice, Answer, Cause, CloseCode, CloseFrame, Closure, Compress, Config, ControlRate, Counters,
    DeflateConfig, DeflateMode, DeflateParams, Delivery, Direction, FrameHeader, FrameLine,
    Heartbeat, Keepalive, Limits, MaxAge, Message, MessageKind, Opcode, Payload, Piece,
    PreparedMessage, ProtocolError, Retry, SendError, Text, Tolerance,
};

#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::{
    client::{Client, ClientObserver, ConnectError, CookieJar, CookieStore, Refused, connect},
    group::{Broadcast, Group, MemberId, SlowPolicy},
    handler::{Conn, Handler},
    message_writer::MessageWriter,
    reconnect::ReconnectingClient,
    registry::{ConnectionInfo, Ended, Registry, Totals, Watched, Watcher},
    sender::{Because, Closing, Permit, Sender},
    server::{
        Accept, BoundAddr, Decision, Drain, Drained, Listener, OriginPolicy, Reject, RequestAddrs,
        Respond, Server, ServerBuilder, StartError, UpgradeRequest,
    },
    shared::ConnectionId,
    websocket::{Receiver, WebSocket},
};
