//! What a server's application sends.

use std::time::Instant;

use super::ServerSession;
use crate::{Kind, Meter, Prepared, SendError};

impl ServerSession {
    /// Accepts a message for sending and returns its number. It is kept until the client lets it
    /// be forgotten, with or without a socket; clones of one [`Prepared`] share their memory.
    ///
    /// # Errors
    /// Why it was not accepted; see [`SendError`].
    pub fn send(&mut self, now: Instant, message: Prepared) -> Result<u64, SendError> {
        let now = self.end.at(now);
        self.end.send(now, message)
    }

    /// Sends a message as [`send`](Self::send) does. Its bytes count on `meter`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_payload(
        &mut self,
        now: Instant,
        kind: Kind,
        payload: &[u8],
        meter: &Meter,
    ) -> Result<u64, SendError> {
        let now = self.end.at(now);
        self.end.send_own(now, kind, payload, meter)
    }

    /// Accepts a message that takes the place of the one with the same key, if that has not left yet.
    /// It has a number, and is kept as others are, once it leaves: behind all that was accepted by
    /// [`send`](Self::send), when there is a socket and credit. So one message of each key waits at
    /// most.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Config, Hello, Prepared, Principal, ServerSession};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (who, config) = (Principal::new("alice"), Arc::new(Config::server()));
    /// # let hello = Hello::first(1, 1 << 18, 1 << 20);
    /// # let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
    /// // A client is away while a price changes.
    /// session.handle_closed(now, session.epoch());
    /// for price in ["100", "101", "99"] {
    ///     session.send_latest(now, 1, Prepared::text(price))?;
    /// }
    /// // Only the last is kept for it: two bytes, one message.
    /// assert_eq!(session.buffered(), (2, 1));
    /// # Ok::<(), everwire_session::SendError>(())
    /// ```
    pub fn send_latest(
        &mut self,
        now: Instant,
        key: u64,
        message: Prepared,
    ) -> Result<(), SendError> {
        let now = self.end.at(now);
        self.end.send_latest(now, key, message)
    }

    /// Accepts a message as [`send`](Self::send) does, and one that the client does not take as well:
    /// both applications are told of it as a gap ([`GapReason::Oversize`](crate::GapReason)).
    ///
    /// # Errors
    /// Why it was not accepted; never [`SendError::TooBig`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{sync::Arc, time::Instant};
    /// # use everwire_session::{Config, Hello, Prepared, Principal, ServerSession};
    /// # let (now, mut random) = (Instant::now(), |bytes: &mut [u8]| bytes.fill(7));
    /// # let (who, config) = (Principal::new("alice"), Arc::new(Config::server()));
    /// // A client has said in its HELLO that it takes four bytes.
    /// let hello = Hello::first(1, 1 << 18, 4);
    /// # let (mut session, _) = ServerSession::accept(now, config, &hello, who, true, &mut random);
    /// assert!(session.send(now, Prepared::text("too long")).is_err());
    /// // One of many may not hold up the others: it has a number, and will be told as missing.
    /// let number = session.send_or_gap(now, Prepared::text("too long"))?;
    /// assert_eq!(number, 1);
    /// # Ok::<(), everwire_session::SendError>(())
    /// ```
    pub fn send_or_gap(&mut self, now: Instant, message: Prepared) -> Result<u64, SendError> {
        let now = self.end.at(now);
        self.end.send_or_gap(now, message)
    }

    /// Sends a message that may be dropped; returns whether it was queued.
    pub fn send_volatile(&mut self, kind: Kind, payload: &[u8]) -> bool {
        self.end.send_volatile(kind, payload)
    }
}
