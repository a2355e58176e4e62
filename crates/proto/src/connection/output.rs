//! What the engine asks and tells of writing.

use std::{io::IoSlice, time::Instant};

use super::{Connection, Shutdown, State};

impl Connection {
    /// Fills `slices` with what is to be written next and returns how many it filled.
    #[inline]
    pub fn transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.transmit.slices(slices)
    }

    /// Returns what is to be written next if it lies in one piece, as it mostly does.
    #[must_use]
    #[inline]
    pub fn transmit_slice(&self) -> Option<&[u8]> {
        self.transmit.as_slice()
    }

    /// Takes everything that is to be written, as if it had been.
    pub fn transmit_to_vec(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.transmit.len());
        while !self.transmit.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = self.transmit.slices(&mut slices);
            let from = out.len();
            slices[..n].iter().for_each(|slice| out.extend_from_slice(slice));
            let taken = out.len() - from;
            self.handle_transmitted(now, taken);
        }
        out
    }

    /// Returns how many bytes wait to be written.
    #[must_use]
    #[inline]
    pub fn transmit_len(&self) -> usize {
        self.transmit.len()
    }

    /// Tells that the socket took `n` bytes of what was to be transmitted.
    #[inline]
    pub fn handle_transmitted(&mut self, now: Instant, n: usize) {
        if self.rare.is_none() && self.state == State::Open && self.transmit.take_all(n) {
            self.counters.bytes_sent += n as u64;
            return;
        }
        self.handle_transmitted_part(now, n);
    }

    /// The same, whatever waits.
    fn handle_transmitted_part(&mut self, now: Instant, n: usize) {
        // Nothing waits any more if the connection was cut between the write and this call.
        let n = n.min(self.transmit.len());
        if n == 0 {
            return;
        }
        if self.transmit.blocked_since().is_some() {
            self.liveness.handle_progress(now);
        }
        self.counters.bytes_sent += self.transmit.advance(n) as u64;
        if let Some(rare) = &mut self.rare {
            rare.handle_written(now, self.counters.messages_sent);
        }
        if self.has_pong_room()
            && let Some(ping) = self.transmit.take_unanswered()
        {
            self.answer_ping(&ping);
        }
        if self.transmit.is_empty() && self.state == State::Finishing {
            self.finish(now);
        }
    }

    /// Tells that the socket is full; the write timeout runs until it takes something.
    pub fn handle_blocked(&mut self, now: Instant) {
        if !self.transmit.is_empty() {
            self.transmit.block(now);
        }
    }

    /// Puts the head that ends the opening handshake in front of the first frame, so that both
    /// leave in one write. It does not count as sent by the connection.
    pub fn transmit_head(&mut self, head: Vec<u8>) {
        self.transmit.set_head(head);
    }

    /// Lends a buffer for output, so that an idle connection need not own one; returns it if the
    /// connection has one.
    #[inline]
    pub fn lend_buffer(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        self.transmit.lend(buffer)
    }

    /// Returns whether there is a buffer for output already.
    #[must_use]
    #[inline]
    pub fn has_buffer(&self) -> bool {
        self.transmit.has_buffer()
    }

    /// Gives the output buffer away if all of it was written.
    #[inline]
    pub fn reclaim_buffer(&mut self) -> Option<Vec<u8>> {
        self.transmit.reclaim()
    }

    /// Tells that the writing side was shut down, as [`wants_shutdown`](Self::wants_shutdown)
    /// asked.
    pub fn handle_shutdown(&mut self, _now: Instant) {
        self.shutdown = Shutdown::Done;
    }

    /// Returns whether the writing side of the socket is to be shut down now.
    #[must_use]
    #[inline]
    pub fn wants_shutdown(&self) -> bool {
        self.shutdown == Shutdown::Wanted
    }
}
