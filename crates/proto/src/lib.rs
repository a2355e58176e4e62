//! RFC 6455 as a pure state machine: bytes and time go in, events and bytes come out.
//!
//! This crate has the rules: frames and masks, fragments, UTF-8, the closing
//! handshake, keepalive, limits and every deadline. It leaves to others what touches the world:
//! there is no socket, no clock, no thread, no lock and no randomness in it. The `everwire` crate
//! drives it on tokio; the example `by_hand` drives it on `std::net`.
//!
//! [`Connection`] is the heart. `handle_*` tells it what happened, plain verbs say what you want,
//! `poll_*` asks what comes next.

mod close_code;
mod close_frame;
mod closure;
mod config;
mod connection;
mod deadline;
mod error;
mod event;
mod frame;
pub mod handshake;
mod heartbeat;
mod inbound;
mod mask;
mod message;
mod opcode;
mod prepared;
mod random;
mod rate;
mod text;
mod transmit;
mod utf8;

pub use self::{
    close_code::CloseCode,
    close_frame::CloseFrame,
    closure::{Cause, Closure, Counters},
    config::{Config, ControlRate, Delivery, Keepalive, Limits},
    connection::{Connection, Observer, Role, State},
    error::{ProtocolError, SendError},
    event::{Event, Events, Piece},
    frame::{Direction, FrameHeader, FrameLine},
    mask::apply_mask,
    message::{Message, MessageKind, Payload},
    opcode::Opcode,
    prepared::PreparedMessage,
    random::Random,
    text::Text,
};
