//! From input to events. See RFC 6455 §5 and §6.2.

use std::time::Instant;

use super::{Connection, Hold, State};
use crate::{
    Cause, CloseFrame, Delivery, Direction, Event, FrameHeader, Message, MessageKind, Opcode,
    Payload, Piece,
    inbound::{Chunk, SimpleFrame, Source},
    mask::apply_mask,
    utf8,
};

impl Connection {
    /// Returns the next event, from input that was kept or from `input`, if there is any.
    pub(crate) fn next_event<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Instant,
    ) -> Option<Event<'b>> {
        if let Some(message) = self.next_middling(input, now) {
            Some(Event::Message(message))
        } else if self.inbound.has_unread() {
            self.next_unread(input, now)
        } else {
            self.advance(input, now)
        }
    }

    /// Returns whether something has arrived in part.
    #[inline]
    pub(crate) fn is_partial(&self) -> bool {
        self.inbound.is_partial()
    }

    /// Takes a small message that is whole and comes next, as most do. Everything else, and
    /// everything illegal, is `None` and takes the long way.
    #[inline(always)] // As its only caller is.
    pub(crate) fn next_small<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Instant,
    ) -> Option<Message<'b>> {
        if !self.simple.takes() {
            return None;
        }
        let frame = self.inbound.simple_frame(input)?;
        self.take_simple(frame, SimpleFrame::HEADER, input, now)
    }

    /// Takes a message of middling size as [`next_small`](Self::next_small) takes a small one: its
    /// header is two bytes longer.
    #[inline]
    fn next_middling<'b>(&mut self, input: &mut &'b mut [u8], now: Instant) -> Option<Message<'b>> {
        if !self.simple.takes() {
            return None;
        }
        let limits = &self.config.limits;
        let frame = self.inbound.middling_frame(input, limits.frame().min(limits.message))?;
        self.take_simple(frame, SimpleFrame::MIDDLING_HEADER, input, now)
    }

    #[inline(always)] // As its callers are, each with a header of its own.
    fn take_simple<'b>(
        &mut self,
        frame: SimpleFrame,
        header: usize,
        input: &mut &'b mut [u8],
        now: Instant,
    ) -> Option<Message<'b>> {
        let SimpleFrame { kind, key, len } = frame;
        let end = header + len;
        let payload = &mut input[header..end];
        apply_mask(payload, key, 0);
        if kind == MessageKind::Text && !utf8::is_valid(payload) {
            // As if nobody had looked: the long way finds the same, and says so.
            apply_mask(payload, key, 0);
            return None;
        }
        let (front, rest) = std::mem::take(input).split_at_mut(end);
        *input = rest;
        let payload = Payload::Borrowed(&front[header..]);
        let message = Message::from_validated(kind, payload);
        self.count_received(now, Some(&message));
        Some(message)
    }

    /// Appends `input` to what was kept, and takes the next event from there.
    fn next_unread<'b>(&mut self, input: &mut &'b mut [u8], now: Instant) -> Option<Event<'b>> {
        if !input.is_empty() {
            let rest: &mut [u8] = std::mem::take(input);
            self.inbound.keep(rest);
        }
        let mut unread = std::mem::take(&mut self.inbound.partial_mut()?.unread);
        let event = self.advance(&mut unread, now);
        if !unread.is_empty()
            && let Some(partial) = self.inbound.partial_mut()
        {
            partial.unread = unread;
        } else if !unread.is_empty() {
            self.inbound.keep(&unread);
        }
        event
    }

    /// Keeps the rest of the input when the events were not all taken.
    #[inline]
    pub(crate) fn end_input(&mut self, input: &[u8]) {
        if !input.is_empty() && matches!(self.state, State::Open | State::Closing) {
            self.inbound.keep(input);
        }
        self.inbound.tidy();
    }

    /// Takes frames from `source` until there is an event or no more input.
    fn advance<'b, S: Source<'b>>(&mut self, source: &mut S, now: Instant) -> Option<Event<'b>> {
        loop {
            if !matches!(self.state, State::Open | State::Closing) {
                // §7.1.7: "An endpoint MUST NOT continue to attempt to process data".
                source.skip(source.bytes().len());
                self.inbound.clear();
                return None;
            }
            let step = if self.inbound.partial().is_some_and(|partial| partial.frame.is_some()) {
                self.continue_frame(source, now)
            } else if self.hold != Hold::No && self.is_end(source.bytes()) {
                self.hold = Hold::Held;
                return None;
            } else {
                match self.inbound.take_header(source) {
                    Ok(None) => return None,
                    Ok(Some(header)) => self.start_frame(header, source, now),
                    Err(error) => Err(Cause::Protocol(error)),
                }
            };
            match step {
                Ok(Step::Event(event)) => return Some(event),
                Ok(Step::Next) => {}
                Ok(Step::Wait) => return None,
                Err(cause) => self.fail(now, cause),
            }
        }
    }

    /// Returns whether the frame at the start of `input` ends the connection, as far as its header
    /// tells.
    fn is_end(&self, input: &[u8]) -> bool {
        match FrameHeader::parse(input) {
            Ok(Some((header, _))) => {
                header.opcode == Opcode::Close || self.check_header(&header).is_err()
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    #[inline]
    fn check_header(&self, header: &FrameHeader) -> Result<(), Cause> {
        self.inbound.check(header, self.role, &self.config.limits, self.codecs.is_some())
    }

    #[inline]
    fn start_frame<'b, S: Source<'b>>(
        &mut self,
        header: FrameHeader,
        source: &mut S,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        self.check_header(&header)?;
        // A Close is the last frame, so it is never one too many.
        if header.opcode.is_control()
            && header.opcode != Opcode::Close
            && let Some(rate) = self.config.limits.control_rate
            && !self.control_rate.take(rate, self.opened, now)
        {
            return Err(Cause::RateLimited);
        }
        let whole = source.bytes().len() as u64 >= header.payload_len;
        if whole && header.opcode.is_control() {
            let mut payload = source.take(header.payload_len as usize);
            payload.unmask(header.mask, 0);
            return self.handle_control(header, payload.into_payload(), now);
        }
        if whole
            && header.fin
            && header.opcode != Opcode::Continuation
            && !header.rsv1
            && self.config.delivery == Delivery::Whole
        {
            let chunk = source.take(header.payload_len as usize);
            return self.handle_whole(header, chunk, now);
        }
        self.inbound.begin_frame(header, now);
        Ok(Step::Next)
    }

    /// Hands out a message that arrived in one frame and in one piece.
    #[inline]
    fn handle_whole<'b>(
        &mut self,
        header: FrameHeader,
        mut chunk: Chunk<'b>,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        chunk.unmask(header.mask, 0);
        let kind = if header.opcode == Opcode::Text {
            if !utf8::is_valid(chunk.bytes()) {
                return Err(Cause::InvalidUtf8);
            }
            MessageKind::Text
        } else {
            MessageKind::Binary
        };
        if self.is_observed() {
            self.show(Direction::Received, &header, chunk.bytes());
        }
        let message = Message::from_validated(kind, chunk.into_payload());
        self.count_received(now, Some(&message));
        Ok(Step::Event(Event::Message(message)))
    }

    /// Takes more of a frame whose payload did not arrive whole, or that is a fragment.
    fn continue_frame<'b, S: Source<'b>>(
        &mut self,
        source: &mut S,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        let pieces = self.config.delivery == Delivery::Pieces;
        let Some(partial) = self.inbound.partial_mut() else { return Ok(Step::Next) };
        // What was read straight into the message comes first.
        partial.clean_assembly()?;
        let Some(frame) = &partial.frame else { return Ok(Step::Next) };
        let header = frame.header;
        let is_data = !header.opcode.is_control();
        if is_data && partial.message.as_ref().is_some_and(|message| message.is_deflated) {
            return self.inflate_frame(source, now);
        }
        let n = frame.remaining.min(source.bytes().len() as u64) as usize;
        if n == 0 && frame.remaining > 0 {
            return Ok(Step::Wait);
        }
        if header.opcode.is_control() {
            return match partial.take_control(source.take(n)) {
                Some((_, payload)) => self.handle_control(header, payload.into(), now),
                None => Ok(Step::Next),
            };
        }
        let mut chunk = source.take(n);
        if pieces {
            partial.clean_piece(&mut chunk)?;
        } else if n > 0 {
            partial.assemble(chunk.bytes())?;
        }
        let complete = partial.frame.as_ref().is_some_and(|frame| frame.remaining == 0);
        if complete && self.is_observed() {
            self.show(Direction::Received, &header, if pieces { chunk.bytes() } else { &[] });
        }
        if pieces {
            self.hand_out_payload(chunk.into_payload(), complete, now)
        } else {
            self.hand_out(complete, now)
        }
    }

    /// Ends a frame in the assembly, and hands out the message if that was its last.
    pub(super) fn hand_out<'b>(&mut self, complete: bool, now: Instant) -> Result<Step<'b>, Cause> {
        let Some(partial) = self.inbound.partial_mut().filter(|_| complete) else {
            return Ok(Step::Next);
        };
        let Some(message) = partial.finish_frame()? else { return Ok(Step::Next) };
        let message = Message::from_validated(message.kind, message.into_payload());
        self.count_received(now, Some(&message));
        Ok(Step::Event(Event::Message(message)))
    }

    /// Hands out a piece, and ends the frame if it is complete.
    pub(super) fn hand_out_payload<'b>(
        &mut self,
        payload: Payload<'b>,
        complete: bool,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        let Some(partial) = self.inbound.partial_mut() else { return Ok(Step::Next) };
        let Some((kind, first)) =
            partial.message.as_ref().map(|message| (message.kind, !message.piece_given))
        else {
            return Ok(Step::Next);
        };
        let last = complete && partial.finish_frame()?.is_some();
        if let Some(message) = &mut partial.message {
            if payload.is_empty() {
                return Ok(Step::Next);
            }
            message.piece_given = true;
        }
        if last {
            self.count_received(now, None);
        }
        Ok(Step::Event(Event::Piece(Piece { kind, first, last, payload })))
    }

    #[inline]
    fn count_received(&mut self, now: Instant, message: Option<&Message<'_>>) {
        self.counters.messages_received += 1;
        if let Some(rare) = &mut self.rare {
            rare.handle_message(now, message);
        }
    }

    fn handle_control<'b>(
        &mut self,
        header: FrameHeader,
        payload: Payload<'b>,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        if self.is_observed() {
            self.show(Direction::Received, &header, &payload);
        }
        Ok(Step::Event(match header.opcode {
            Opcode::Ping => {
                self.answer_ping(&payload);
                Event::Ping(payload)
            }
            Opcode::Pong => {
                self.liveness.handle_pong(&payload, now);
                Event::Pong(payload)
            }
            _ => {
                let close = CloseFrame::parse(&payload).map_err(Cause::Protocol)?;
                self.handle_close(now, close);
                Event::Close
            }
        }))
    }
}

/// What came of taking some input.
pub(super) enum Step<'b> {
    Event(Event<'b>),
    /// There may be more in the input.
    Next,
    /// More input is needed.
    Wait,
}
