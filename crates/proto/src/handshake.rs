//! The opening handshake of RFC 6455 §4, for both ends, as pure functions.
//!
//! Bytes and heads go in, heads and errors come out; the 16 random bytes of the key are an argument. What is read and
//! written, when to give up, and what follows the head belong to the caller. Requests and responses are those of the
//! `http` crate, so that it does not matter who parsed them: [`HeadReader`], hyper or a test.
//!
//! | step | client | server |
//! |---|---|---|
//! | ask | [`ClientRequest`], [`ClientHandshake::new`], [`ClientHandshake::encode`] | [`HeadReader::request`], [`is_upgrade`], [`ServerHandshake::verify`] |
//! | judge | | [`ServerHandshake::is_same_origin`], [`BearerToken`], [`ServerHandshake::select_subprotocol`] |
//! | answer | [`HeadReader::response`], [`ClientHandshake::verify`], [`Agreed`] | [`ServerHandshake::accept`], [`encode_response_head`] |
//! | refuse | [`ClientHandshakeError::Refused`] | [`HandshakeError::response`], [`Rejection`], [`encode_response`] |
//!
//! # Examples
//! ```
//! use everwire_proto::handshake::*;
//!
//! // The client asks.
//! let request = ClientRequest::new("ws://example.com/chat")?.subprotocol("chat.v1").subprotocol("chat.v2");
//! let client = ClientHandshake::new(&request, *b"16 random bytes!")?;
//! let mut wire = Vec::new();
//! client.encode(&mut wire);
//!
//! // The server verifies, chooses and accepts.
//! let (request, length) = parse_request(&wire, &HeadLimits::default())?.expect("the head is complete");
//! assert_eq!(length, wire.len());
//! let server = ServerHandshake::verify(&request)?;
//! assert!(server.is_same_origin());
//! let subprotocol = server.select_subprotocol(&["chat.v2", "chat.v1"]).map(str::to_owned);
//! let response = server.accept(AcceptOptions { subprotocol, ..AcceptOptions::default() })?;
//! wire.clear();
//! encode_response_head(&response, &mut wire);
//!
//! // The client verifies the answer; what lies behind `length` are frames.
//! let (response, length) = parse_response(&wire, &HeadLimits::default())?.expect("the head is complete");
//! assert_eq!(length, wire.len());
//! assert_eq!(client.verify(&response)?.subprotocol.as_deref(), Some("chat.v2"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bearer;
mod client;
mod client_error;
mod client_request;
mod deflate;
mod error;
mod extension;
mod field;
mod head;
mod key;
mod origin;
mod rejection;
mod request;
mod response;
mod server;
mod subprotocol;

pub use bearer::{BearerError, BearerToken};
pub use client::{Agreed, ClientHandshake};
pub use client_error::ClientHandshakeError;
pub use client_request::{ClientRequest, RequestError};
pub use error::HandshakeError;
pub use extension::{Extension, ExtensionError, Param};
pub use field::FieldError;
pub use head::{HeadError, HeadLimits, HeadReader};
pub use key::accept_key;
pub use origin::is_same_origin;
pub use rejection::Rejection;
pub use request::{encode_request, parse_request};
pub use response::{encode_response, encode_response_head, parse_response};
pub use server::{AcceptOptions, ResponseError, ServerHandshake, is_upgrade};
