//! Why a response does not open a connection.

use std::fmt;

use http::{StatusCode, Version};

use super::extension::ExtensionError;
use super::field::FieldError;
use super::head::HeadError;

/// Says why the server's answer does not open a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientHandshakeError {
    /// The bytes are no acceptable head of a response (RFC 9112 §4).
    Head(HeadError),
    /// The server answers with another status than 101 (RFC 6455 §4.1 item 1). Its headers and body say more.
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// The response is not HTTP/1.1 (RFC 6455 §4.2.2 item 5.1).
    HttpVersion(Version),
    /// `Upgrade` is not `websocket` (RFC 6455 §4.1 item 2).
    Upgrade {
        /// What it is, shortened.
        found: String,
    },
    /// `Connection` does not name `upgrade` (RFC 6455 §4.1 item 3).
    NoConnectionUpgrade,
    /// `Sec-WebSocket-Accept` does not answer our key (RFC 6455 §4.1 item 4): a cache, or no WebSocket server.
    Accept,
    /// A header field is missing, repeated or malformed (RFC 6455 §4.1 items 2, 4 and 6).
    Field(FieldError),
    /// The server chose a subprotocol we have not offered (RFC 6455 §4.1 item 6).
    SubprotocolNotOffered {
        /// Its name, shortened.
        found: String,
    },
    /// The server chose an extension we have not offered (RFC 6455 §4.1 item 5).
    ExtensionNotOffered {
        /// Its name, shortened.
        found: String,
    },
    /// The server chose an extension twice (RFC 6455 §9.1).
    RepeatedExtension {
        /// Its name, shortened.
        found: String,
    },
    /// The server answers the offer of compression with parameters that make no sense, or leaves out what the offer
    /// asks for (RFC 7692 §7.1).
    Deflate {
        /// The answer, shortened.
        found: String,
    },
    /// The chosen extensions are malformed (RFC 6455 §9.1).
    Extensions(ExtensionError),
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Refused { status } => write!(f, "server answers with {status} and not with 101"),
            Self::HttpVersion(version) => write!(f, "response is {version:?} and not HTTP/1.1"),
            Self::Upgrade { found } => write!(f, "header upgrade is {found:?} and not websocket"),
            Self::NoConnectionUpgrade => f.write_str("header connection does not name upgrade"),
            Self::Accept => f.write_str("header sec-websocket-accept does not answer the key"),
            Self::Field(error) => error.fmt(f),
            Self::SubprotocolNotOffered { found } => {
                write!(f, "server chose subprotocol {found:?}, which was not offered")
            }
            Self::ExtensionNotOffered { found } => {
                write!(f, "server chose extension {found:?}, which was not offered")
            }
            Self::RepeatedExtension { found } => {
                write!(f, "server chose extension {found:?} twice")
            }
            Self::Deflate { found } => {
                write!(f, "server chose {found:?}, which does not answer what was offered")
            }
            Self::Extensions(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientHandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            Self::Field(error) => Some(error),
            Self::Extensions(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HeadError> for ClientHandshakeError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<FieldError> for ClientHandshakeError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<ExtensionError> for ClientHandshakeError {
    fn from(error: ExtensionError) -> Self {
        Self::Extensions(error)
    }
}
