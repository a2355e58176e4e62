//! RFC 6455 and RFC 7692 as a pure state machine: bytes and time go in, events and bytes come out.
//!
//! This crate has the rules: frames and masks, fragments, UTF-8, compression, the closing
//! handshake, keepalive, limits and every deadline. It leaves to others what touches the world:
//! there is no socket, no clock, no thread, no lock and no randomness in it. The `everwire` crate
//! drives it on tokio; the example `by_hand` drives it on `std::net`.
//!
//! [`Connection`] is the heart. `handle_*` tells it what happened, plain verbs say what you want,
//! `poll_*` asks what comes next. Two connections, and the wire between them:
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use everwire_proto::{CloseCode, Config, Connection, Event, State};
//!
//! # fn main() -> Result<(), everwire_proto::SendError> {
//! let now = Instant::now(); // Time is an argument; so are the masking keys, which must be unpredictable.
//! let config = Arc::new(Config::default());
//! let mut client = Connection::client(config.clone(), now, Box::new(|key: &mut [u8]| key.fill(7)));
//! let mut server = Connection::server(config, now, 0);
//!
//! client.send("hello")?;
//! client.close(now, CloseCode::NORMAL_CLOSURE, "bye")?;
//! let mut wire = client.transmit_to_vec(now);
//! for event in server.handle_input(now, &mut wire) {
//!     match event {
//!         Event::Message(message) => assert_eq!(message.as_text(), Some("hello")),
//!         event => assert_eq!(event, Event::Close),
//!     }
//! }
//! server.transmit_to_vec(now); // The answer to the Close: now the server ends its stream,
//! assert!(server.wants_shutdown());
//! assert_eq!(server.state(), State::Draining); // and waits for the end of the client's.
//! server.handle_eof(now);
//! assert_eq!(server.closure().unwrap().reason(), "bye");
//! # Ok(())
//! # }
//! ```
//!
//! [`handshake`] has what comes before: requests and responses, verified and answered.

mod advice;
mod cause;
mod close_code;
mod close_frame;
mod closure;
mod config;
mod connection;
mod deadline;
mod deflate;
mod error;
mod event;
mod frame;
pub mod handshake;
mod heartbeat;
mod inbound;
mod keepalive;
mod liveness;
mod mask;
mod max_age;
mod message;
mod opcode;
mod prepared;
mod random;
mod rare;
mod rate;
mod retry;
mod rtt;
mod text;
mod transmit;
mod utf8;

pub use self::{
    advice::Advice,
    cause::Cause,
    close_code::CloseCode,
    close_frame::CloseFrame,
    closure::{Closure, Counters},
    config::{Config, ControlRate, Delivery, Limits},
    connection::{Connection, Observer, Role, State},
    deflate::{Codecs, Compress, DeflateConfig, DeflateMode, DeflateParams, LendCodecs},
    error::{ProtocolError, SendError},
    event::{Event, Events, Piece},
    frame::{Direction, FrameHeader, FrameLine},
    heartbeat::{Answer, Heartbeat},
    keepalive::Keepalive,
    liveness::{PathFacts, Tolerance},
    mask::apply_mask,
    max_age::MaxAge,
    message::{Message, MessageKind, Payload},
    opcode::Opcode,
    prepared::PreparedMessage,
    random::Random,
    retry::Retry,
    text::Text,
};
