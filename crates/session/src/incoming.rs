//! The stream from the peer: what was received, what the application has taken, and when to say so
//! (protocol §3, §4, §6).

use std::time::Duration;

use crate::{Acks, At, Config, GapRange, MAX_NUMBER, Violation, rare::Rare};

/// What a session has received, and the credit it grants.
#[derive(Debug)]
pub(crate) struct Incoming {
    recv: u64,
    /// The cost of messages that were received and not credited.
    held: u64,
    /// The cost of messages since the last counts that we sent on this socket.
    since: u32,
    /// The window in these counts: 4 GiB at most.
    granted: u32,
    /// Messages, and their cost, since the last counts that we sent.
    unacked: u32,
    ack_at: Option<At>,
    ack_due: bool,
    /// How many messages will not come, as the peer's HELLO told, that no gap has told of; or as many as
    /// can be counted here.
    hole: u16,
    /// Numbers and costs of messages that the application has not released.
    unreleased: Rare<(u64, u64)>,
}

impl Incoming {
    pub(crate) const fn new() -> Self {
        Self::restarted(0)
    }

    /// Returns the stream of an end that comes back having stored all up to `recv`.
    pub(crate) const fn restarted(recv: u64) -> Self {
        Self {
            recv,
            held: 0,
            since: 0,
            granted: 0,
            unacked: 0,
            ack_at: None,
            ack_due: false,
            hole: 0,
            unreleased: Rare::new(),
        }
    }

    /// Receives a reliable message of this cost and returns its number.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        now: At,
        cost: u64,
        config: &Config,
    ) -> Result<u64, Violation> {
        if self.since >= self.granted {
            return Err(Violation::Window);
        }
        if self.hole > 0 {
            // It counts as one that went before it: the application would not hear of those between.
            let (stated, received) = (self.recv + u64::from(self.hole), self.recv);
            return Err(Violation::Sent { stated, received });
        }
        if self.recv >= MAX_NUMBER {
            return Err(Violation::Exhausted);
        }
        self.recv += 1;
        self.held += cost;
        self.since = self.since.saturating_add(saturated(cost));
        self.unacked += 1;
        if config.acks != Acks::Automatic {
            self.unreleased.push_back((self.recv, cost));
        }
        let is_due = self.unacked >= config.ack_after || u64::from(self.since) >= most(config) / 2;
        if is_due {
            self.ack_in(now, Duration::ZERO);
        } else if self.ack_at.is_none() {
            self.ack_in(now, config.ack_delay);
        }
        Ok(self.recv)
    }

    pub(crate) fn skip(
        &mut self,
        now: At,
        gap: &GapRange,
        config: &Config,
    ) -> Result<(), Violation> {
        let expected = self.recv + 1;
        if gap.from != expected {
            return Err(Violation::Gap { from: gap.from, expected });
        }
        self.recv = gap.to;
        self.hole = self.hole.saturating_sub(counted(gap.to - gap.from + 1));
        self.ack_in(now, config.ack_delay);
        Ok(())
    }

    /// Notes the oldest message that the peer can still send, when a socket begins.
    pub(crate) fn begin_at(&mut self, lo: u64) {
        self.hole = counted(lo.saturating_sub(self.recv + 1));
    }

    /// Gives back the credit of a message.
    pub(crate) fn credit(&mut self, now: At, cost: u64, config: &Config) {
        self.held -= cost;
        let window = self.window(config);
        let gained = window - window.min(self.granted.saturating_sub(self.since).into());
        if gained >= most(config) / 2 && gained > 0 {
            self.ack_in(now, Duration::ZERO);
        } else if self.since >= self.granted && gained > 0 {
            self.ack_in(now, config.ack_delay);
        }
    }

    /// Releases all messages up to `number`.
    pub(crate) fn release(&mut self, now: At, number: u64, config: &Config) {
        let (number, done) = (number.min(self.recv), self.done(config));
        while let Some(&(first, cost)) = self.unreleased.front()
            && first <= number
        {
            self.unreleased.take_front();
            self.credit(now, cost, config);
        }
        if self.done(config) > done {
            self.ack_in(now, config.ack_delay);
        }
    }

    /// Returns the credit to state, and counts it as granted.
    pub(crate) fn grant(&mut self, config: &Config) -> u64 {
        self.granted = saturated(self.window(config));
        self.since = 0;
        self.unacked = 0;
        self.ack_at = None;
        self.ack_due = false;
        self.granted.into()
    }

    /// Gives back memory that is not used.
    pub(crate) fn shrink(&mut self) {
        self.unreleased.shrink();
    }

    /// Asks for an acknowledgement soon, at the latest after `delay`.
    #[inline]
    pub(crate) fn ack_in(&mut self, now: At, delay: Duration) {
        self.ack_due |= delay.is_zero();
        let at = now + delay;
        self.ack_at = Some(self.ack_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) fn handle_timeout(&mut self, now: At) {
        self.ack_due |= self.ack_at.is_some_and(|at| at <= now);
    }

    /// Returns whether there is something to acknowledge, due or not.
    pub(crate) const fn has_news(&self) -> bool {
        self.ack_at.is_some()
    }

    pub(crate) const fn is_ack_due(&self) -> bool {
        self.ack_due
    }

    /// Returns when an acknowledgement becomes due.
    pub(crate) fn ack_at(&self) -> Option<At> {
        self.ack_at.filter(|_| !self.ack_due)
    }

    pub(crate) const fn recv(&self) -> u64 {
        self.recv
    }

    /// Returns up to where the peer may forget its messages.
    pub(crate) fn done(&self, config: &Config) -> u64 {
        let unreleased = self.unreleased.front().filter(|_| config.acks == Acks::Manual);
        unreleased.map_or(self.recv, |(first, _)| first - 1)
    }

    const fn window(&self, config: &Config) -> u64 {
        most(config).saturating_sub(self.held)
    }
}

/// Returns the largest window.
#[inline]
const fn most(config: &Config) -> u64 {
    if config.window < u32::MAX as u64 { config.window } else { u32::MAX as u64 }
}

/// Returns a cost, or 4 GiB if it is higher.
#[inline]
fn saturated(cost: u64) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX)
}

/// Returns a number of messages as far as it can be kept.
fn counted(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
