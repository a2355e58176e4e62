//! What only some configurations need of a connection.

use std::time::{Duration, Instant};

use crate::Config;

/// The clockworks of what is off by default; a connection without them has no memory for them.
#[derive(Debug)]
pub(crate) struct Rare {
    last_message: Instant,
    /// How many messages had been sent when `last_message` was last moved by one.
    noted_sent: u64,
}

impl Rare {
    pub(crate) fn new(config: &Config, now: Instant, _seed: u8) -> Option<Box<Self>> {
        let is_needed = config.idle_timeout.is_some();
        is_needed.then(|| Box::new(Self { last_message: now, noted_sent: 0 }))
    }

    /// Notes that a message was received.
    pub(crate) fn handle_message(&mut self, now: Instant) {
        self.last_message = now;
    }

    /// Notes that output was written, when so many messages had been sent.
    pub(crate) fn handle_written(&mut self, now: Instant, messages_sent: u64) {
        if self.noted_sent != messages_sent {
            self.noted_sent = messages_sent;
            self.last_message = now;
        }
    }

    /// Leaves out a time in which we did not read.
    pub(crate) fn postpone(&mut self, now: Instant, pause: Duration) {
        self.last_message = (self.last_message + pause).min(now);
    }

    /// Returns when the last message went either way.
    pub(crate) fn last_message(&self) -> Instant {
        self.last_message
    }
}
