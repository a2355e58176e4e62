//! What only some configurations need of a connection.

use std::time::{Duration, Instant};

use crate::{Config, Message, deadline::after, deflate::Contexts, heartbeat::Beating};

/// The clockworks of what is off by default; a connection without them has no memory for them.
#[derive(Debug)]
pub(crate) struct Rare {
    last_message: Instant,
    /// How many messages had been sent when `last_message` was last moved by one.
    noted_sent: u64,
    /// When the connection is too old.
    too_old: Option<Instant>,
    pub(crate) beating: Option<Beating>,
    /// The history of compression, where one is kept.
    pub(crate) contexts: Option<Box<Contexts>>,
}

impl Rare {
    pub(crate) fn new(config: &Config, now: Instant, seed: u8) -> Option<Box<Self>> {
        let rare = Self::of(config, now, seed);
        let is_needed =
            config.idle_timeout.is_some() || rare.too_old.is_some() || rare.beating.is_some();
        is_needed.then(|| Box::new(rare))
    }

    /// Returns them for any configuration.
    pub(crate) fn of(config: &Config, now: Instant, seed: u8) -> Self {
        Self {
            last_message: now,
            noted_sent: 0,
            too_old: config.max_age.as_ref().map(|max_age| after(now, max_age.of(seed))),
            beating: config.heartbeat.as_ref().map(|heartbeat| Beating::new(heartbeat, now)),
            contexts: None,
        }
    }

    /// Notes that a message was received; `None` for one in pieces.
    pub(crate) fn handle_message(&mut self, now: Instant, message: Option<&Message<'_>>) {
        let is_answer = self.beating.as_mut().is_some_and(|it| it.handle_message(message));
        if !is_answer {
            self.last_message = now;
        }
    }

    /// Notes that output was written, when so many messages had been sent.
    pub(crate) fn handle_written(&mut self, now: Instant, messages_sent: u64) {
        if self.noted_sent != messages_sent {
            self.noted_sent = messages_sent;
            self.last_message = now;
        }
    }

    /// Notes that a beat was queued: it is not what keeps a connection from being idle.
    pub(crate) fn handle_beat_sent(&mut self) {
        self.noted_sent += 1;
    }

    /// Leaves out a time in which we did not read.
    pub(crate) fn postpone(&mut self, now: Instant, pause: Duration) {
        self.last_message = (self.last_message + pause).min(now);
        if let Some(beating) = &mut self.beating {
            beating.postpone(pause);
        }
    }

    /// Returns when the last message went either way.
    pub(crate) fn last_message(&self) -> Instant {
        self.last_message
    }

    /// Returns when the connection is too old.
    pub(crate) fn too_old(&self) -> Option<Instant> {
        self.too_old
    }
}
