//! What a frame does that came on an attached socket.

use bytes::Bytes;

use super::Endpoint;
use crate::{
    At, Code, Counts, Direction, EndedBy, Event, Frame, GapRange, Malformed, Message, MessageRef,
    Role, Violation, frame, message,
};

impl Endpoint {
    /// Takes in a frame that both ends may send.
    pub(crate) fn receive(&mut self, now: At, frame: Frame) -> Result<(), Violation> {
        if let Frame::Data { kind, volatile, payload } = frame {
            return self.receive_data(now, volatile, Message { number: None, kind, payload });
        }
        self.strike(now, &frame)?;
        match frame {
            Frame::Ack(counts) => self.counted(now, &counts),
            Frame::Ping { token, counts } => {
                self.counted(now, &counts)?;
                if let Some(socket) = &mut self.socket {
                    socket.owe_pong(token);
                }
                Ok(())
            }
            Frame::Pong { token, counts } => self.pong(now, token, &counts),
            Frame::Gap(gap) => self.gap(now, gap),
            Frame::Bye { reply: false, code, counts, reason } => {
                self.bye(now, code, &counts, reason);
                Ok(())
            }
            Frame::Bye { reply: true, counts, .. } => self.bye_reply(&counts),
            _ => Err(Malformed::NotNow("this frame").into()),
        }
    }

    /// Takes in a DATA frame.
    #[inline]
    pub(crate) fn receive_data(
        &mut self,
        now: At,
        volatile: bool,
        message: Message,
    ) -> Result<(), Violation> {
        if let Some(socket) = &mut self.socket {
            socket.last_received = now;
        }
        self.message(now, volatile, message)
    }

    /// Notes that bytes came on the socket of this name, last at this time: the peer lives. Returns whether
    /// that is news.
    pub(crate) fn bytes_came(&mut self, at: At, id: u64) -> bool {
        let is_attached = self.is_attached() && self.newest == id;
        let socket = self.socket.as_mut().filter(|socket| is_attached && socket.last_received < at);
        socket.map(|socket| socket.last_received = at).is_some()
    }

    /// Notes that the peer lives, and counts frames that say nothing.
    pub(crate) fn strike(&mut self, now: At, frame: &Frame) -> Result<(), Violation> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        socket.last_received = now;
        let says_nothing = match frame {
            Frame::Ping { .. } | Frame::AuthTicket(_) => true,
            Frame::Ack(counts) | Frame::Pong { counts, .. } => {
                socket.counted(self.incoming.recv()) && self.out.is_stated(counts)
            }
            _ => false,
        };
        if says_nothing && socket.strike(now) {
            return Err(Violation::Rate);
        }
        Ok(())
    }

    fn message(&mut self, now: At, volatile: bool, mut message: Message) -> Result<(), Violation> {
        message.number = self.number(now, volatile, message.payload.len())?;
        if volatile {
            if self.volatile_events as usize >= self.config.volatile_entries {
                return Ok(()); // It may be dropped, and nothing else bounds how many wait.
            }
            self.volatile_events += 1;
        }
        self.event(Event::Message(message));
        Ok(())
    }

    /// Takes in a message whose socket is this, if the application can have it at once, because no event
    /// waits before it.
    #[inline]
    pub(crate) fn lend<'m>(
        &mut self,
        now: At,
        id: u64,
        message: &'m [u8],
    ) -> Option<Result<MessageRef<'m>, Violation>> {
        if self.has_events() || !self.is_attached() || !self.listening(id) {
            return None;
        }
        let (kind, volatile, payload) = frame::parse_data(message).ok()??;
        let number = self.receive_lent(now, volatile, payload.len());
        Some(number.map(|number| MessageRef { number, kind, payload }))
    }

    /// Takes in a DATA frame whose message is handed out at once. Returns its number.
    #[inline]
    fn receive_lent(
        &mut self,
        now: At,
        volatile: bool,
        size: usize,
    ) -> Result<Option<u64>, Violation> {
        if let Some(socket) = &mut self.socket {
            socket.last_received = now;
        }
        let number = self.number(now, volatile, size)?;
        if number.is_some() {
            self.hand_out(now, message::cost(size));
        }
        Ok(number)
    }

    /// Returns the number of a message that has come, unless it may be dropped.
    #[inline]
    fn number(&mut self, now: At, volatile: bool, size: usize) -> Result<Option<u64>, Violation> {
        let limit = self.config.max_message;
        if size as u64 > limit {
            return Err(Violation::TooBig { limit, size: size as u64 });
        }
        if volatile {
            return Ok(None);
        }
        self.incoming.receive(now, message::cost(size), &self.config).map(Some)
    }

    fn counted(&mut self, now: At, counts: &Counts) -> Result<(), Violation> {
        let received = self.incoming.recv();
        if counts.sent != received {
            return Err(Violation::Sent { stated: counts.sent, received });
        }
        self.out.acknowledge(now, counts)?;
        if self.wants_room && self.out.is_half_empty(&self.config.buffer) {
            self.wants_room = false;
            self.event(Event::Writable);
        }
        Ok(())
    }

    fn pong(&mut self, now: At, token: u64, counts: &Counts) -> Result<(), Violation> {
        self.counted(now, counts)?;
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let Some(ping) = socket.answered(token) else { return Ok(()) };
        socket.shrink(self.out.waiting_since().is_some());
        self.rtt.sample(now.saturating_duration_since(ping.at));
        if counts.recv < ping.position {
            let (stated, least, most) = (counts.recv, ping.position, self.out.position());
            return Err(Violation::Acknowledged { stated, least, most });
        }
        Ok(())
    }

    fn gap(&mut self, now: At, gap: GapRange) -> Result<(), Violation> {
        self.incoming.skip(now, &gap, &self.config)?;
        self.event(Event::Gap(Direction::In, gap));
        Ok(())
    }

    fn bye(&mut self, now: At, code: Code, counts: &Counts, reason: String) {
        // Wrong counts change nothing any more: the session ends anyway, with this code.
        let _ = self.counted(now, counts);
        // What the application has answered to the messages before goes first, as far as there is credit.
        while let Some(message) = self.stream(now) {
            self.queue(message);
        }
        let counts = self.counts();
        self.queue_frame(&Frame::Bye { reply: true, code, counts, reason: String::new() });
        let ours = self.goodbye.take().filter(|_| self.has_said_bye());
        self.await_close(now);
        self.end(code, reason, EndedBy::Peer);
        // Ours was said as well: its reply is still to come.
        self.goodbye = ours;
    }

    /// Takes in what comes after the end. It has no effect, but that both may close the socket once each
    /// has answered the other's goodbye.
    #[cold]
    pub(crate) fn receive_late(&mut self, id: u64, from: Role, message: &Bytes) {
        let is_awaited = self.is_ended && self.has_socket(id) && self.goodbye.is_some();
        if is_awaited && matches!(Frame::parse(from, message), Ok(Frame::Bye { reply: true, .. })) {
            self.give_up();
        }
    }

    fn bye_reply(&mut self, counts: &Counts) -> Result<(), Violation> {
        let said_bye = self.has_said_bye();
        let Some(goodbye) = self.goodbye.take().filter(|_| said_bye) else {
            return Err(Malformed::NotNow("the reply to a BYE").into());
        };
        self.out.acknowledge_finally(counts.recv.min(self.out.position()));
        self.part(Code::NORMAL);
        self.end(goodbye.code, goodbye.reason, EndedBy::Us);
        Ok(())
    }
}
