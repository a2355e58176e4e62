//! Sessions that survive their connections: the protocol `everwire.v1` as a pure state machine.
//!
//! A session joins two applications by two streams of messages and outlives the WebSockets that
//! carry it: nothing is lost, nothing comes twice or out of order, and where that cannot be kept,
//! both are told before the next message. `docs/protocol.md` is its specification; the sections
//! cited here are of that.
//!
//! This crate has all rules of the protocol, for both ends. It leaves to others what touches the
//! world: there is no socket, no clock, no thread, no lock and no randomness in it.
//!
//! `handle_*` tells an end what happened, plain verbs say what you want, `poll_*` asks what comes
//! next. After any call, do what [`poll_transmit`](ClientSession::poll_transmit) says until it says
//! nothing, take [`poll_event`](ClientSession::poll_event), and arm
//! [`poll_timeout`](ClientSession::poll_timeout). What is handed in and out is whole binary
//! WebSocket messages. A client names its sockets by the number of the attempt, a server by the
//! epoch: whatever comes from one that is not the newest has no effect.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use everwire_session::{
//!     ClientSession, Config, Event, Hello, Prepared, Principal, ServerSession, Transmit,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now(); // Time is an argument; so is randomness, which must be unpredictable.
//! let mut random = |bytes: &mut [u8]| bytes.fill(7);
//! let mut client = ClientSession::new(now, Arc::new(Config::client()));
//!
//! // A socket has been opened. The client's first message on it is HELLO.
//! let attempt = client.hello(now).ok_or("the session has ended")?;
//! let hello = Hello::parse(&attempt.hello)?;
//! // The server finds out who it is, and that it has no session yet (see `Store`).
//! let config = Arc::new(Config::server());
//! let who = Principal::new("alice");
//! let (mut server, _) = ServerSession::accept(now, config, &hello, who.clone(), true, &mut random);
//! let epoch = server.epoch();
//!
//! // Both say what they have to say, until nothing is left.
//! server.send(now, Prepared::text("hello"))?;
//! while let Some(Transmit::Frame(frame)) = server.poll_transmit(now, epoch) {
//!     client.handle_message(now, attempt.number, &frame); // WELCOME, then the message.
//! }
//! assert!(matches!(client.poll_event(now), Some(Event::Opened { .. })));
//! let Some(Event::Message(message)) = client.poll_event(now) else { panic!() };
//! assert_eq!(message.as_text(), Some("hello"));
//!
//! // The path dies, with the client's acknowledgement. Another socket, another HELLO.
//! client.send(now, Prepared::text("still here?"))?;
//! let attempt = client.hello(now).ok_or("the session has ended")?;
//! let hello = Hello::parse(&attempt.hello)?;
//! server.attach(now, &hello, Some(&who), &mut random); // It had not noticed.
//! let epoch = server.epoch();
//! while let Some(Transmit::Frame(frame)) = server.poll_transmit(now, epoch) {
//!     client.handle_message(now, attempt.number, &frame);
//! }
//! while let Some(Transmit::Frame(frame)) = client.poll_transmit(now, attempt.number) {
//!     server.handle_message(now, epoch, &frame); // ACK, then the message.
//! }
//! let events = std::iter::from_fn(|| server.poll_event(now));
//! let texts: Vec<_> = events
//!     .filter_map(|event| match event {
//!         Event::Message(message) => message.as_text().map(str::to_owned),
//!         _ => None,
//!     })
//!     .collect();
//! assert_eq!(texts, ["still here?"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Driving a client
//!
//! 1. Open a WebSocket that offers [`SUBPROTOCOL`]; when it is open, or for the upgrade request,
//!    call [`ClientSession::hello`], and send what it returns.
//! 2. Hand in messages with [`handle_message`](ClientSession::handle_message), the end of the
//!    socket with [`handle_closed`](ClientSession::handle_closed).
//! 3. On [`Event::Detached`], [`Event::Refused`] or the end of a socket that was never attached:
//!    again from 1, with back-off. On [`Event::Suspected`] and [`Event::Goaway`]: again from 1
//!    beside the old socket, which goes on until `hello`; do not call it if the suspicion is over
//!    by then ([`is_suspected`](ClientSession::is_suspected)). So it is on [`Event::Detached`] while
//!    the old socket is still [attached](ClientSession::is_attached), silent.
//! 4. [`Event::Ended`] is the end; [`Code::may_come_back`] says whether a new session makes sense.
//!
//! # Driving a server
//!
//! 1. Parse the first message on a socket, or the header, with [`Hello`]; wait for it as long as
//!    [`Config::attach_timeout`] says. Check [`Hello::is_known_version`], and find out who it is.
//! 2. Ask [`Store::find`], then [`ServerSession::attach`] of what it found, or [`Store::admit`] and
//!    [`ServerSession::accept`]. Poll the socket of the epoch before: it is to be closed.
//! 3. Hand in messages and ends under the epoch. Tell the store of sessions that attach, detach and
//!    end, and give way under [`Store::pressure`].

mod at;
mod client;
mod code;
mod config;
mod endpoint;
mod error;
mod event;
mod frame;
mod incoming;
mod message;
mod outgoing;
mod oversize;
mod random;
mod rare;
mod rate;
mod replay;
mod role;
mod rtt;
mod server;
mod socket;
mod store;
mod token;
mod varint;

use self::at::At;
#[doc(hidden)]
pub use self::config::Mutation;
pub use self::{
    client::{Attempt, ClientSession, Snapshot, SnapshotChange},
    code::Code,
    config::{Acks, Buffer, Config, Overflow, Reauthentication, Terms},
    error::{Malformed, SendError, Violation},
    event::{Direction, End, EndedBy, Event, Lent, Transmit},
    frame::{
        Accepted, Counts, Frame, GapRange, GapReason, Goaway, HEADER_NAME, Hello, Kind,
        SUBPROTOCOL, SUBPROTOCOL_HELLO_PREFIX, Status, Ticket, Welcome,
    },
    message::{Message, MessageRef, Meter, Prepared},
    oversize::Oversize,
    random::Random,
    role::Role,
    server::{Attach, Principal, ServerSession, Tombstone},
    store::{Admission, Found, Handle, Identified, Pressure, Store, StoreConfig},
    token::SessionId,
    varint::MAX_NUMBER,
};
