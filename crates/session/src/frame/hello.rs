//! The client's first frame (protocol §5.1).

use std::fmt;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;

use super::{Frame, HELLO};
use crate::{
    Malformed, Role,
    varint::{Reader, Writer},
};

/// The subprotocol that is offered and selected.
pub const SUBPROTOCOL: &str = "everwire.v1";
/// The request header that may carry a HELLO.
pub const HEADER_NAME: &str = "Everwire-Hello";
/// What a second offered subprotocol begins with if it carries a HELLO.
pub const SUBPROTOCOL_HELLO_PREFIX: &str = "everwire-h.";

const VERSION: u8 = 1;
const FRAME_LIMIT: usize = 2048;
pub(super) const TOKEN_LIMIT: usize = 255;

/// What a client says first on each socket. It holds secrets, which its `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
    /// The version of the protocol: 1.
    pub version: u8,
    /// Grows with every HELLO of a client.
    pub attempt: u64,
    /// The number of the last message that the client received.
    pub recv: u64,
    /// The number of the oldest message that the client can replay.
    pub lo: u64,
    /// The number that the client's next message gets.
    pub next: u64,
    /// The cost of messages after `recv` that the client takes.
    pub window: u64,
    /// The largest message that the client takes, in bytes.
    pub max_message: u64,
    /// Milliseconds for which the client wants its detached session kept; 0 for the default.
    pub ttl: u64,
    /// What resumes a session; empty for a new one.
    pub token: Bytes,
    /// Says who the client is.
    pub auth: Bytes,
}

impl Hello {
    /// Parses a HELLO frame: the first message on a socket. Of one whose version is
    /// [not known](Self::is_known_version) nothing but the version is looked at.
    ///
    /// # Errors
    /// What is wrong with it: close the socket with [`Code::MALFORMED`](crate::Code::MALFORMED).
    pub fn parse(frame: &Bytes) -> Result<Self, Malformed> {
        if let [HELLO, version, ..] = frame[..]
            && version != VERSION
            && frame.len() <= FRAME_LIMIT
        {
            return Ok(Self { version, ..Self::first(1, 0, 1) });
        }
        match Frame::parse(Role::Client, frame)? {
            Frame::Hello(hello) => Ok(hello),
            _ => Err(Malformed::NotNow("a frame before HELLO")),
        }
    }

    /// Returns the HELLO of an upgrade request, from all values of its header [`HEADER_NAME`] and the
    /// subprotocols that it offers; `None` if it has none, and the first message is to be it. The header
    /// goes first. More than one is malformed: none of them is more the client's than the others.
    ///
    /// # Errors
    /// As [`parse_base64`](Self::parse_base64).
    ///
    /// # Examples
    ///
    /// ```
    /// use everwire_session::{Frame, Hello, Malformed, SUBPROTOCOL, SUBPROTOCOL_HELLO_PREFIX};
    ///
    /// // What a browser offers, for it cannot send a header.
    /// let hello = Frame::Hello(Hello::first(1, 1 << 18, 1 << 20)).encode();
    /// let offer = format!("{SUBPROTOCOL_HELLO_PREFIX}{}", Hello::base64(&hello));
    ///
    /// let found = Hello::in_request([], [SUBPROTOCOL, &offer]).transpose()?;
    /// assert_eq!(found.map(|hello| hello.attempt), Some(1));
    /// // No HELLO: the first message is to be it.
    /// assert_eq!(Hello::in_request([], [SUBPROTOCOL]), None);
    /// # Ok::<(), Malformed>(())
    /// ```
    pub fn in_request<'r>(
        headers: impl IntoIterator<Item = &'r [u8]>,
        offers: impl IntoIterator<Item = &'r str>,
    ) -> Option<Result<Self, Malformed>> {
        let mut offers =
            offers.into_iter().filter_map(|it| it.strip_prefix(SUBPROTOCOL_HELLO_PREFIX));
        let mut headers = headers.into_iter();
        let (value, is_alone) = match headers.next() {
            Some(value) => (str::from_utf8(value).ok(), headers.next().is_none()),
            None => (Some(offers.next()?), offers.next().is_none()),
        };
        Some(match value.filter(|_| is_alone) {
            Some(value) => Self::parse_base64(value),
            None => Err(Malformed::OutOfRange("base64url")),
        })
    }

    /// Parses the value of the header [`HEADER_NAME`], or what stands behind
    /// [`SUBPROTOCOL_HELLO_PREFIX`] in an offered subprotocol.
    ///
    /// # Errors
    /// What is wrong with it: answer the upgrade, then close the socket with
    /// [`Code::MALFORMED`](crate::Code::MALFORMED).
    pub fn parse_base64(value: &str) -> Result<Self, Malformed> {
        if value.len() > FRAME_LIMIT.div_ceil(3) * 4 {
            return Err(Malformed::TooLong("hello"));
        }
        let frame = BASE64URL_NOPAD.decode(value.as_bytes());
        Self::parse(&frame.map_err(|_| Malformed::OutOfRange("base64url"))?.into())
    }

    /// Returns the first HELLO of a client, for a new session.
    #[must_use]
    pub const fn first(attempt: u64, window: u64, max_message: u64) -> Self {
        Self {
            version: VERSION,
            attempt,
            recv: 0,
            lo: 1,
            next: 1,
            window,
            max_message,
            ttl: 0,
            token: Bytes::new(),
            auth: Bytes::new(),
        }
    }

    /// Returns whether the version is one that this crate speaks.
    #[must_use]
    pub const fn is_known_version(&self) -> bool {
        self.version == VERSION
    }

    /// Returns the frame in base64url without padding, for the header or a subprotocol.
    #[must_use]
    pub fn base64(frame: &[u8]) -> String {
        BASE64URL_NOPAD.encode(frame)
    }

    pub(super) fn read(reader: &mut Reader<'_>, len: usize) -> Result<Self, Malformed> {
        if len > FRAME_LIMIT {
            return Err(Malformed::TooLong("hello"));
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Malformed::OutOfRange("version"));
        }
        let hello = Self {
            version,
            attempt: reader.positive("attempt")?,
            recv: reader.number()?,
            lo: reader.positive("lo")?,
            next: reader.positive("next")?,
            window: reader.number()?,
            max_message: reader.positive("max_message")?,
            ttl: reader.number()?,
            token: reader.bytes("token", TOKEN_LIMIT)?,
            auth: reader.bytes("auth", FRAME_LIMIT)?,
        };
        if hello.lo > hello.next {
            return Err(Malformed::OutOfRange("lo"));
        }
        if hello.token.is_empty() && hello.recv != 0 {
            return Err(Malformed::OutOfRange("recv of a new session"));
        }
        Ok(hello)
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        writer
            .u8(self.version)
            .number(self.attempt)
            .number(self.recv)
            .number(self.lo)
            .number(self.next)
            .number(self.window)
            .number(self.max_message)
            .number(self.ttl)
            .bytes(&self.token)
            .bytes(&self.auth)
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("attempt", &self.attempt)
            .field("recv", &self.recv)
            .field("lo", &self.lo)
            .field("next", &self.next)
            .field("window", &self.window)
            .field("max_message", &self.max_message)
            .field("ttl", &self.ttl)
            .field("resumes", &!self.token.is_empty())
            .finish_non_exhaustive()
    }
}
