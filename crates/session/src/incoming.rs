//! The stream from the peer: what was received, what the application has taken, and when to say so
//! (protocol §3, §4, §6).

use std::time::Duration;

use crate::{Acks, At, Config, GapRange, MAX_NUMBER, Violation, rare::Rare};

/// What a session has received, and the credit it grants.
#[derive(Debug)]
pub(crate) struct Incoming {
    recv: u64,
    done: u64,
    /// The cost of messages that were received and not credited.
    held: u64,
    /// The cost of messages since the last counts that we sent on this socket.
    since: u64,
    /// The window in these counts.
    granted: u64,
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
            done: recv,
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
        self.since += cost;
        self.unacked += 1;
        match config.acks {
            Acks::Automatic => self.done = self.recv,
            Acks::Released => {
                self.done = self.recv;
                self.unreleased.push_back((self.recv, cost));
            }
            Acks::Manual => self.unreleased.push_back((self.recv, cost)),
        }
        let is_due = self.unacked >= config.ack_after || self.since >= config.window / 2;
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
        if self.unreleased.is_empty() || config.acks == Acks::Released {
            self.done = self.recv;
        }
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
        let gained = window - window.min(self.granted.saturating_sub(self.since));
        if gained >= config.window / 2 && gained > 0 {
            self.ack_in(now, Duration::ZERO);
        } else if self.since >= self.granted && gained > 0 {
            self.ack_in(now, config.ack_delay);
        }
    }

    /// Releases all messages up to `number`.
    pub(crate) fn release(&mut self, now: At, number: u64, config: &Config) {
        let number = number.min(self.recv);
        while let Some(&(first, cost)) = self.unreleased.front()
            && first <= number
        {
            self.unreleased.take_front();
            self.credit(now, cost, config);
        }
        let done = self.unreleased.front().map_or(self.recv, |(first, _)| first - 1);
        if done > self.done {
            self.done = done;
            self.ack_in(now, config.ack_delay);
        }
    }

    /// Returns the credit to state, and counts it as granted.
    pub(crate) fn grant(&mut self, config: &Config) -> u64 {
        self.granted = self.window(config);
        self.since = 0;
        self.unacked = 0;
        self.ack_at = None;
        self.ack_due = false;
        self.granted
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

    pub(crate) const fn done(&self) -> u64 {
        self.done
    }

    const fn window(&self, config: &Config) -> u64 {
        config.window.saturating_sub(self.held)
    }
}

/// Returns a number of messages as far as it can be kept.
fn counted(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
