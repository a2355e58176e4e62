//! What a connection allows and how long it waits.

use std::time::Duration;

use crate::{DeflateConfig, Heartbeat, Keepalive, MaxAge};

/// Limits, deadlines and the keepalive policy of a connection. Plain data; shared by `Arc`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// What the peer may send and how much may wait to be sent.
    pub limits: Limits,
    /// When to ask a silent peer for life; `None` never asks.
    pub keepalive: Option<Keepalive>,
    /// How long to wait for the peer's Close after ours. Default: 5 s, for a client 3 s.
    pub close_timeout: Option<Duration>,
    /// How long reading may pause, while our Close waits for the peer's, for an application that does
    /// not take what it is given; what still arrives is then discarded. Default: 1 s.
    pub close_patience: Duration,
    /// How long to wait for the peer's end of stream once all is said. Default: 1 s, for a client,
    /// which lets the server close TCP first (§7.1.1), 3 s;
    /// [nothing](crate::Connection::close_at_once) for a server on plain TCP that has both Closes.
    pub linger: Option<Duration>,
    /// How long output may wait without a single byte being taken. Default: 30 s.
    pub write_timeout: Duration,
    /// How long a connection may go without a message in either direction. Default: off.
    pub idle_timeout: Option<Duration>,
    /// How old a connection may become. Default: as old as it likes.
    pub max_age: Option<MaxAge>,
    /// A heartbeat of the application's own messages. Default: off.
    pub heartbeat: Option<Heartbeat>,
    /// Whether messages come whole or in pieces. Default: whole.
    pub delivery: Delivery,
    /// Whether to compress messages where the peer wants it too. Default: off.
    pub deflate: Option<DeflateConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            keepalive: Some(Keepalive::default()),
            close_timeout: None,
            close_patience: Duration::from_secs(1),
            linger: None,
            write_timeout: Duration::from_secs(30),
            idle_timeout: None,
            max_age: None,
            heartbeat: None,
            delivery: Delivery::Whole,
            deflate: None,
        }
    }
}

/// Bounds on what a peer may send and on what may wait to be sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Payload bytes of one message. Default: 1 MiB.
    pub message: u64,
    /// Payload bytes of one frame. Default: as many as a message.
    pub frame: Option<u64>,
    /// Frames that may follow the first of a message. Default: 65,536.
    pub fragments: u32,
    /// Time for a message to finish, beside its size at [`message_rate`](Self::message_rate).
    /// Default: 60 s.
    pub message_time: Duration,
    /// The slowest pace, in bytes per second, at which a message may arrive after
    /// [`message_time`](Self::message_time). Default: 1,024.
    pub message_rate: u32,
    /// Control frames per second; `None` for no limit. Default: 100/s after a burst of 200.
    pub control_rate: Option<ControlRate>,
    /// Bytes that may wait to be sent before sending is refused. Default: 1 MiB.
    pub send_queue: usize,
    /// Bytes that may still wait when sending is welcome again. Default: 256 KiB.
    pub send_queue_low: usize,
    /// Bytes of received messages that may wait for the application, where they wait at all, before
    /// reading stops; one message may exceed it. Default: 64 KiB.
    pub receive_queue: usize,
}

impl Limits {
    /// Returns the limit on one frame.
    #[must_use]
    pub fn frame(&self) -> u64 {
        self.frame.unwrap_or(self.message).min(self.message)
    }

    /// Returns the bytes from which on the send queue is full: at least 1.
    #[must_use]
    #[inline]
    pub fn send_queue_high(&self) -> usize {
        self.send_queue.max(1)
    }

    /// Returns the bytes down to which a full send queue has to drain: less than what fills it.
    #[must_use]
    #[inline]
    pub fn send_queue_low(&self) -> usize {
        self.send_queue_low.min(self.send_queue_high() - 1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            frame: None,
            fragments: 65_536,
            message_time: Duration::from_secs(60),
            message_rate: 1024,
            control_rate: Some(ControlRate::new(100, 200)),
            send_queue: 1 << 20,
            send_queue_low: 256 << 10,
            receive_queue: 64 << 10,
        }
    }
}

/// How many control frames a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlRate {
    /// Frames per second in the long run.
    pub per_second: u32,
    /// Frames at once.
    pub burst: u32,
}

impl ControlRate {
    /// Returns a rate of so many frames per second in the long run, and so many at once.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// How a message is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// As one [`Event::Message`](crate::Event::Message).
    #[default]
    Whole,
    /// As [`Event::Piece`](crate::Event::Piece)s while it arrives, never held whole.
    Pieces,
}
