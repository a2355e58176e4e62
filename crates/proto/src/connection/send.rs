//! From messages to frames. See RFC 6455 §6.1.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Role, State};
use crate::{
    Compress, Direction, FrameHeader, Message, MessageKind, Opcode, Payload, PreparedMessage,
    SendError, frame::MAX_CONTROL, mask::apply_mask, transmit::SHARE_FROM, utf8::Utf8Validator,
};

/// Pongs are queued one by one while less than this waits to be written.
const PONG_ROOM: usize = 16 << 10;

impl Connection {
    /// Queues a message as one frame, whole or not at all.
    ///
    /// A small payload is copied; a large one with memory of its own is shared.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::Full`], [`SendError::MessageOpen`].
    #[inline]
    pub fn send<'a>(&mut self, message: impl Into<Message<'a>>) -> Result<(), SendError> {
        let message = message.into();
        self.check_send()?;
        self.counters.messages_sent += 1;
        let opcode = Opcode::from(message.kind());
        let payload = message.into_payload();
        if payload.len() <= MAX_CONTROL && self.simple.writes() {
            self.transmit.push_small(opcode, true, &payload);
        } else {
            self.write_long(opcode, payload);
        }
        Ok(())
    }

    /// Queues a message as [`send`](Self::send) does, and says whether it is compressed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with<'a>(
        &mut self,
        message: impl Into<Message<'a>>,
        compress: Compress,
    ) -> Result<(), SendError> {
        let message = message.into();
        if compress == Compress::ByThreshold {
            return self.send(message);
        }
        self.check_send()?;
        self.counters.messages_sent += 1;
        let opcode = Opcode::from(message.kind());
        self.write_message(opcode, message.into_payload(), compress);
        Ok(())
    }

    /// Queues a message that was encoded before.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.check_send()?;
        self.counters.messages_sent += 1;
        if self.codecs.is_some() && self.write_prepared(message) {
            return Ok(());
        }
        if self.role == Role::Client || self.is_observed() {
            // §5.3: a client's masking key is fresh for every frame.
            let payload = message.payload();
            self.write_data(message.kind().into(), true, Payload::Shared(payload));
        } else {
            self.transmit.push_prepared(message.frame());
        }
        Ok(())
    }

    /// Starts a message that is sent in pieces. Control frames may go between them.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn start_message(&mut self, kind: MessageKind) -> Result<(), SendError> {
        self.start_message_with(kind, Compress::default())
    }

    /// Starts a message that is sent in pieces, and says whether it is compressed.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn start_message_with(
        &mut self,
        kind: MessageKind,
        compress: Compress,
    ) -> Result<(), SendError> {
        self.check_send()?;
        self.simple.set_plain_pieces(compress == Compress::Never);
        self.open_message = Some(kind.into());
        self.sent_text = (kind == MessageKind::Text).then(Utf8Validator::default);
        Ok(())
    }

    /// Queues a piece of the message that was started, as a frame that is not its last.
    ///
    /// The pieces of a text message must be UTF-8 together; a character may be cut between two.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::Full`], [`SendError::NoMessageOpen`];
    /// [`SendError::InvalidUtf8`] if the text so far is not UTF-8 (§5.6).
    pub fn send_piece<'a>(&mut self, piece: impl Into<Payload<'a>>) -> Result<(), SendError> {
        let opcode = self.check_piece()?;
        let piece = piece.into();
        self.sent_text = self.check_text(&piece, false)?;
        self.open_message = Some(Opcode::Continuation);
        self.write_piece(opcode, false, piece);
        Ok(())
    }

    /// Ends the message that was started, with its last frame, which may be empty.
    ///
    /// # Errors
    /// As [`send_piece`](Self::send_piece).
    pub fn finish_message<'a>(&mut self, last: impl Into<Payload<'a>>) -> Result<(), SendError> {
        let opcode = self.check_piece()?;
        let last = last.into();
        self.check_text(&last, true)?;
        self.open_message = None;
        self.sent_text = None;
        self.counters.messages_sent += 1;
        self.write_piece(opcode, true, last);
        Ok(())
    }

    /// Queues a Ping with a payload of the caller's.
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`], [`SendError::Full`], and [`SendError::Closed`] once closing
    /// has begun.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.simple.end_no_more();
        self.send_control(Opcode::Ping, payload)
    }

    /// Queues an unsolicited Pong (§5.5.3): life without a question.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.send_control(Opcode::Pong, payload)
    }

    /// Queues a numbered Ping and returns its number, for [`is_answered`](Self::is_answered).
    ///
    /// Nothing happens if it is never answered; to ask whether the peer lives, use
    /// [`probe`](Self::probe).
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn ping_numbered(&mut self, now: Instant) -> Result<u32, SendError> {
        self.check_room()?;
        self.write_numbered_ping(now);
        Ok(self.liveness.last_ping())
    }

    /// Asks the peer for life at once, whatever the keepalive's policy: queues a numbered Ping and
    /// returns its number.
    ///
    /// Any received byte is an answer. If none comes for as long as the path's round-trip time lets
    /// expect, at least 1 s and at most 5 s (3 s while it is not known), the connection fails with
    /// [`Cause::KeepaliveTimeout`](crate::Cause::KeepaliveTimeout). For a network that changed, or
    /// a machine that woke up.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    pub fn probe(&mut self, now: Instant) -> Result<u32, SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        self.liveness.probe(now);
        // Behind a full queue a Ping would only wait; there, any progress is life.
        if !self.is_full() {
            self.write_numbered_ping(now);
        }
        Ok(self.liveness.last_ping())
    }

    /// Returns whether the numbered Ping, or a later one, was answered: the peer has read
    /// everything that was sent before it.
    #[must_use]
    pub fn is_answered(&self, probe: u32) -> bool {
        self.liveness.is_answered(probe)
    }

    /// Returns the number of the last numbered Ping that was answered; 0 before the first.
    #[must_use]
    pub fn answered(&self) -> u32 {
        self.liveness.answered()
    }

    /// Says whether what is sent from now on was counted against
    /// [`Limits::send_queue`](crate::Limits::send_queue) by the caller already: then it is never
    /// refused as [`SendError::Full`].
    pub fn admit(&mut self, admitting: bool) {
        self.admitting = admitting;
    }

    /// Returns whether so much waits to be written that sending is refused.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.transmit.len() >= self.config.limits.send_queue_high()
    }

    /// Returns whether a message is being sent in pieces.
    #[must_use]
    pub fn has_open_message(&self) -> bool {
        self.open_message.is_some()
    }

    #[inline]
    fn check_send(&self) -> Result<(), SendError> {
        if self.open_message.is_some() {
            return Err(SendError::MessageOpen);
        }
        self.check_room()
    }

    fn check_piece(&self) -> Result<Opcode, SendError> {
        self.check_room()?;
        self.open_message.ok_or(SendError::NoMessageOpen)
    }

    /// Checks the next piece of a text and returns what is known of it then.
    fn check_text(&self, piece: &[u8], is_last: bool) -> Result<Option<Utf8Validator>, SendError> {
        let Some(mut text) = self.sent_text else { return Ok(None) };
        let checked = text.push(piece).and_then(|()| if is_last { text.finish() } else { Ok(()) });
        checked.map_err(|_| SendError::InvalidUtf8)?;
        Ok(Some(text))
    }

    #[inline]
    fn check_room(&self) -> Result<(), SendError> {
        // §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let (queued, limit) = (self.transmit.len(), self.config.limits.send_queue_high());
        if queued >= limit && !self.admitting {
            return Err(SendError::Full { queued, limit });
        }
        Ok(())
    }

    fn send_control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL {
            return Err(SendError::ControlTooLong(payload.len()));
        }
        self.check_room()?;
        self.write_control(opcode, payload);
        Ok(())
    }

    /// Answers a ping; when the socket is full, only the latest is answered, later.
    ///
    /// §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response
    /// to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most
    /// recently processed Ping frame."
    pub(super) fn answer_ping(&mut self, payload: &[u8]) {
        // §5.5.2: a Pong is due "unless it already received a Close frame"; having sent one is no
        // excuse.
        if !matches!(self.state, State::Open | State::Closing) || self.has_write_error() {
            return;
        }
        if self.has_pong_room() {
            self.write_control(Opcode::Pong, payload);
        } else {
            self.transmit.set_unanswered(payload);
        }
    }

    pub(super) fn has_pong_room(&self) -> bool {
        self.transmit.len() < PONG_ROOM
    }

    pub(super) fn write_numbered_ping(&mut self, now: Instant) {
        let payload = self.liveness.next_ping(now);
        self.write_control(Opcode::Ping, &payload);
        let ends_at = self.counters.bytes_sent + self.transmit.frames_len() as u64;
        self.liveness.handle_ping_queued(ends_at);
    }

    pub(super) fn write_control(&mut self, opcode: Opcode, payload: &[u8]) {
        self.write_data(opcode, true, Payload::Borrowed(payload));
    }

    #[inline]
    pub(super) fn write_data(&mut self, opcode: Opcode, fin: bool, payload: Payload<'_>) {
        if payload.len() <= MAX_CONTROL && self.simple.writes() {
            return self.transmit.push_small(opcode, fin, &payload);
        }
        self.write_frame(FrameHeader::new(opcode, fin, payload.len() as u64), payload);
    }

    #[inline]
    pub(super) fn write_frame(&mut self, mut header: FrameHeader, payload: Payload<'_>) {
        if self.is_observed() {
            let shown = if header.rsv1 { &[] } else { &*payload };
            self.show(Direction::Sent, &header, shown);
        }
        if let Some(random) = self.lent.as_mut().and_then(|lent| lent.random.as_mut()) {
            let mut key = [0; 4];
            random.fill(&mut key);
            header.mask = Some(key);
            self.write_masked(&header, key, payload);
            return;
        }
        match payload {
            Payload::Shared(bytes) if bytes.len() >= SHARE_FROM => {
                header.encode(self.transmit.buf());
                self.transmit.push_bytes(bytes);
            }
            payload => self.transmit.push(&header, &payload),
        }
    }

    fn write_masked(&mut self, header: &FrameHeader, key: [u8; 4], payload: Payload<'_>) {
        header.encode(self.transmit.buf());
        // A large payload that nobody else holds is masked where it lies.
        let payload = match payload {
            Payload::Shared(bytes) if bytes.len() >= SHARE_FROM => match bytes.try_into_mut() {
                Ok(mut bytes) => {
                    apply_mask(&mut bytes, key, 0);
                    self.transmit.push_bytes(bytes.freeze());
                    return;
                }
                Err(bytes) => Payload::Shared(bytes),
            },
            payload => payload,
        };
        if payload.len() >= SHARE_FROM {
            let mut masked = payload.to_vec();
            apply_mask(&mut masked, key, 0);
            self.transmit.push_bytes(Bytes::from(masked));
        } else {
            let buf = self.transmit.buf();
            let from = buf.len();
            buf.extend_from_slice(&payload);
            apply_mask(&mut buf[from..], key, 0);
        }
    }
}
