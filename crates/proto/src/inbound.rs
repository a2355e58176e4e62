//! The receiving half: what has arrived of a frame, and what a message is put together from.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    Cause, FrameHeader, Limits, MessageKind, Opcode, Payload, ProtocolError, Role, deadline::after,
    frame::MAX_HEADER, mask::apply_mask, transmit::SHARE_FROM, utf8::Utf8Validator,
};

/// What has been received but not handed out. An idle connection holds no memory here.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The start of a header whose rest has not arrived.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// Everything else that is incomplete; freed when it is complete.
    partial: Option<Box<Partial>>,
}

/// A frame or a message of which a part has arrived.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// The frame whose payload is arriving.
    pub(crate) frame: Option<PartialFrame>,
    /// The message whose frames are arriving.
    pub(crate) message: Option<PartialMessage>,
    /// The payload of a control frame, as far as it has arrived.
    control: Vec<u8>,
    /// Input that came while nobody took events.
    pub(crate) unread: BytesMut,
}

/// A frame whose payload is arriving.
#[derive(Debug)]
pub(crate) struct PartialFrame {
    pub(crate) header: FrameHeader,
    /// Payload bytes that are still to come.
    pub(crate) remaining: u64,
}

/// A message whose frames are arriving.
#[derive(Debug)]
pub(crate) struct PartialMessage {
    pub(crate) kind: MessageKind,
    started: Instant,
    /// Payload bytes of the frames that were announced.
    announced: u64,
    /// Payload bytes that have arrived.
    arrived: u64,
    continuations: u32,
    utf8: Utf8Validator,
    /// The payload so far, unless it is handed out in pieces.
    assembly: Vec<u8>,
    /// How much of `assembly` is unmasked and validated.
    clean: usize,
    /// Whether a piece was handed out.
    pub(crate) piece_given: bool,
}

/// A frame of the kind that most are. See [`Inbound::simple_frame`].
pub(crate) struct SimpleFrame {
    pub(crate) kind: MessageKind,
    pub(crate) key: [u8; 4],
    pub(crate) len: usize,
}

impl SimpleFrame {
    /// Length of its header: two bytes and the masking key.
    pub(crate) const HEADER: usize = 6;
}

/// Input that can be taken from the front: a slice of the caller's, or what was kept.
pub(crate) trait Source<'b> {
    fn bytes(&self) -> &[u8];
    fn skip(&mut self, n: usize);
    fn take(&mut self, n: usize) -> Chunk<'b>;
}

impl<'b> Source<'b> for &'b mut [u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn skip(&mut self, n: usize) {
        *self = &mut std::mem::take(self)[n..];
    }

    #[inline]
    fn take(&mut self, n: usize) -> Chunk<'b> {
        let (front, rest) = std::mem::take(self).split_at_mut(n);
        *self = rest;
        Chunk::Borrowed(front)
    }
}

impl<'b> Source<'b> for BytesMut {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, n: usize) {
        bytes::Buf::advance(self, n);
    }

    fn take(&mut self, n: usize) -> Chunk<'b> {
        Chunk::Owned(self.split_to(n))
    }
}

/// A part of the input.
#[derive(Debug)]
pub(crate) enum Chunk<'b> {
    Borrowed(&'b mut [u8]),
    Owned(BytesMut),
}

impl<'b> Chunk<'b> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    #[inline]
    pub(crate) fn unmask(&mut self, key: Option<[u8; 4]>, offset: usize) {
        if let Some(key) = key {
            let bytes = match self {
                Self::Borrowed(bytes) => &mut **bytes,
                Self::Owned(bytes) => bytes.as_mut(),
            };
            apply_mask(bytes, key, offset);
        }
    }

    #[inline]
    pub(crate) fn into_payload(self) -> Payload<'b> {
        match self {
            Self::Borrowed(bytes) => Payload::Borrowed(bytes),
            // A small payload must not hold on to a large buffer.
            Self::Owned(bytes) if bytes.len() < SHARE_FROM => {
                Payload::Shared(Bytes::copy_from_slice(&bytes))
            }
            Self::Owned(bytes) => Payload::Shared(bytes.freeze()),
        }
    }
}

impl Inbound {
    /// Takes the next header from `source`; `None` when its end has not arrived.
    #[inline]
    pub(crate) fn take_header<'b>(
        &mut self,
        source: &mut impl Source<'b>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        if self.header_len == 0
            && let Some((header, len)) = FrameHeader::parse(source.bytes())?
        {
            source.skip(len);
            return Ok(Some(header));
        }
        self.take_split_header(source)
    }

    /// Takes a header of which a part came earlier, or keeps the part that is there.
    fn take_split_header<'b>(
        &mut self,
        source: &mut impl Source<'b>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let had = usize::from(self.header_len);
        let added = source.bytes().len().min(MAX_HEADER - had);
        self.header[had..had + added].copy_from_slice(&source.bytes()[..added]);
        match FrameHeader::parse(&self.header[..had + added])? {
            Some((header, len)) => {
                source.skip(len - had);
                self.header_len = 0;
                Ok(Some(header))
            }
            None => {
                source.skip(added);
                self.header_len = (had + added) as u8;
                Ok(None)
            }
        }
    }

    /// Returns the kind, masking key, header length and payload length of what most input is: a
    /// small, whole, masked data frame in one piece, with nothing unfinished before it.
    ///
    /// Everything else, and everything illegal, is `None` and takes the long way.
    #[inline]
    pub(crate) fn simple_frame(&self, input: &[u8]) -> Option<SimpleFrame> {
        let &[first, second, k0, k1, k2, k3, ref rest @ ..] = input else { return None };
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let len = usize::from(second.wrapping_sub(0x80));
        let simple =
            len < 126 && rest.len() >= len && self.header_len == 0 && self.partial.is_none();
        simple.then_some(SimpleFrame { kind, key: [k0, k1, k2, k3], len })
    }

    /// Checks a header against the state of the connection and the limits.
    #[inline]
    pub(crate) fn check(
        &self,
        header: &FrameHeader,
        role: Role,
        limits: &Limits,
    ) -> Result<(), Cause> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Cause::Protocol(ProtocolError::ReservedBits));
        }
        // §5.1: "a client MUST mask all frames that it sends", "A server MUST NOT mask any frames".
        match (role, header.mask) {
            (Role::Server, None) => return Err(Cause::Protocol(ProtocolError::UnmaskedFrame)),
            (Role::Client, Some(_)) => return Err(Cause::Protocol(ProtocolError::MaskedFrame)),
            _ => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let open = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let before = match (header.opcode, open) {
            (Opcode::Continuation, None) => {
                return Err(Cause::Protocol(ProtocolError::UnexpectedContinuation));
            }
            (Opcode::Continuation, Some(message)) => {
                if message.continuations >= limits.fragments {
                    return Err(Cause::TooManyFragments { limit: limits.fragments });
                }
                message.announced
            }
            (opcode, Some(_)) => {
                return Err(Cause::Protocol(ProtocolError::ExpectedContinuation(opcode)));
            }
            (_, None) => 0,
        };
        if header.payload_len > limits.frame() {
            let (limit, size) = (limits.frame(), header.payload_len);
            return Err(match limit < limits.message {
                true => Cause::FrameTooBig { limit, size },
                false => Cause::MessageTooBig { limit, size },
            });
        }
        // Both are below 2^63.
        let size = before + header.payload_len;
        if size > limits.message {
            return Err(Cause::MessageTooBig { limit: limits.message, size });
        }
        Ok(())
    }

    /// Returns what is incomplete.
    #[inline]
    pub(crate) fn partial(&self) -> Option<&Partial> {
        self.partial.as_deref()
    }

    /// Returns whether something has arrived in part.
    #[inline]
    pub(crate) fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Returns what is incomplete, to be changed.
    #[inline]
    pub(crate) fn partial_mut(&mut self) -> Option<&mut Partial> {
        self.partial.as_deref_mut()
    }

    /// Begins a frame that has not arrived whole, or is one of several of its message.
    pub(crate) fn begin_frame(&mut self, header: FrameHeader, now: Instant) {
        let partial = self.partial.get_or_insert_default();
        match header.opcode {
            Opcode::Text | Opcode::Binary => {
                let kind = match header.opcode {
                    Opcode::Text => MessageKind::Text,
                    _ => MessageKind::Binary,
                };
                partial.message = Some(PartialMessage::new(kind, header.payload_len, now));
            }
            Opcode::Continuation => {
                if let Some(message) = &mut partial.message {
                    message.announced += header.payload_len;
                    message.continuations += 1;
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => partial.control.clear(),
        }
        partial.frame = Some(PartialFrame { header, remaining: header.payload_len });
    }

    /// Keeps a buffer whose large payloads are to be shared.
    pub(crate) fn keep_shared(&mut self, input: BytesMut) {
        self.partial.get_or_insert_default().unread = input;
    }

    /// Keeps input that nobody took.
    pub(crate) fn keep(&mut self, input: &[u8]) {
        self.partial.get_or_insert_default().unread.extend_from_slice(input);
    }

    /// Returns whether input was kept.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.unread.is_empty())
    }

    /// Returns whether there is anything that was kept or read and not looked at.
    pub(crate) fn has_unlooked(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| {
            let message = partial.message.as_ref();
            !partial.unread.is_empty()
                || message.is_some_and(|message| message.clean < message.assembly.len())
        })
    }

    /// Returns whether the start of a message has arrived and its end has not.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.message.is_some())
    }

    /// Returns whether the input ends inside a frame.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.header_len > 0 || self.partial.as_ref().is_some_and(|partial| partial.frame.is_some())
    }

    /// Returns by when the message that is arriving must be complete.
    #[inline]
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        self.partial.as_ref()?.message.as_ref().map(|message| message.deadline(limits))
    }

    /// Moves that deadline, because we did not read for so long.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        if let Some(message) = self.partial_mut().and_then(|partial| partial.message.as_mut()) {
            message.started += pause;
        }
    }

    /// Returns how much of an unfinished message has arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.partial.as_ref().and_then(|p| p.message.as_ref()).map_or(0, |m| m.arrived)
    }

    /// Frees what is no longer needed.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| {
            partial.frame.is_none() && partial.message.is_none() && partial.unread.is_empty()
        }) {
            self.partial = None;
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Partial {
    /// Takes more of a control frame's payload; returns it once it is complete.
    pub(crate) fn take_control<'b>(&mut self, mut chunk: Chunk<'b>) -> Option<(Opcode, Vec<u8>)> {
        let frame = self.frame.as_mut()?;
        chunk.unmask(frame.header.mask, self.control.len());
        self.control.extend_from_slice(chunk.bytes());
        frame.remaining -= chunk.bytes().len() as u64;
        if frame.remaining > 0 {
            return None;
        }
        let opcode = frame.header.opcode;
        self.frame = None;
        Some((opcode, std::mem::take(&mut self.control)))
    }

    /// Takes more of a data frame's payload into the assembly, unmasked and validated.
    pub(crate) fn assemble(&mut self, chunk: &[u8]) -> Result<(), Cause> {
        if let Some(message) = &mut self.message {
            message.assembly.extend_from_slice(chunk);
        }
        self.clean_assembly()
    }

    /// Unmasks and validates what was added to the assembly.
    pub(crate) fn clean_assembly(&mut self) -> Result<(), Cause> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(());
        };
        let added = &mut message.assembly[message.clean..];
        frame.unmask_next(added);
        if message.kind == MessageKind::Text {
            message.utf8.push(added).map_err(|_| Cause::InvalidUtf8)?;
        }
        message.arrived += added.len() as u64;
        message.clean = message.assembly.len();
        Ok(())
    }

    /// Unmasks and validates a chunk that is handed out as a piece.
    pub(crate) fn clean_piece(&mut self, chunk: &mut Chunk<'_>) -> Result<(), Cause> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(());
        };
        let offset = (frame.header.payload_len - frame.remaining) as usize;
        chunk.unmask(frame.header.mask, offset);
        frame.remaining -= chunk.bytes().len() as u64;
        if message.kind == MessageKind::Text {
            message.utf8.push(chunk.bytes()).map_err(|_| Cause::InvalidUtf8)?;
        }
        message.arrived += chunk.bytes().len() as u64;
        Ok(())
    }

    /// Ends the frame whose payload has arrived whole; returns the message if that was its last.
    pub(crate) fn finish_frame(&mut self) -> Result<Option<PartialMessage>, Cause> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        if !frame.header.fin {
            return Ok(None);
        }
        if let Some(message) = &self.message {
            message.utf8.finish().map_err(|_| Cause::InvalidUtf8)?;
        }
        Ok(self.message.take())
    }

    /// Returns memory for the rest of a large frame to be read into, at most to its end.
    pub(crate) fn frame_buffer(&mut self) -> Option<bytes::buf::Limit<&mut Vec<u8>>> {
        let (Some(frame), Some(message)) = (&self.frame, &mut self.message) else { return None };
        if frame.header.opcode.is_control()
            || frame.remaining < DIRECT_FROM
            || !self.unread.is_empty()
        {
            return None;
        }
        let assembly = &mut message.assembly;
        // The start of a message comes by the short way: an announced length alone reserves nothing.
        if assembly.len() < DIRECT_FROM as usize {
            return None;
        }
        // What was read before and not looked at belongs to this frame too.
        let unclean = assembly.len() - message.clean;
        let remaining = usize::try_from(frame.remaining).ok()? - unclean;
        if remaining == 0 {
            return None;
        }
        // Grow with what has arrived, never by what was announced.
        if assembly.capacity() - assembly.len() < remaining.min(DIRECT_FROM as usize) {
            assembly.reserve_exact(remaining.min(assembly.len()));
        }
        let spare = assembly.capacity() - assembly.len();
        Some(bytes::BufMut::limit(assembly, remaining.min(spare)))
    }
}

/// The rest of a frame is read straight into the message from this many bytes on.
const DIRECT_FROM: u64 = 16 << 10;

impl PartialFrame {
    #[inline]
    fn unmask_next(&mut self, bytes: &mut [u8]) {
        let offset = (self.header.payload_len - self.remaining) as usize;
        if let Some(key) = self.header.mask {
            apply_mask(bytes, key, offset);
        }
        self.remaining -= bytes.len() as u64;
    }
}

impl PartialMessage {
    fn new(kind: MessageKind, announced: u64, now: Instant) -> Self {
        Self {
            kind,
            started: now,
            announced,
            arrived: 0,
            continuations: 0,
            utf8: Utf8Validator::default(),
            assembly: Vec::new(),
            clean: 0,
            piece_given: false,
        }
    }

    /// Returns the payload that was put together.
    pub(crate) fn into_payload(self) -> Payload<'static> {
        Payload::Shared(Bytes::from(self.assembly))
    }

    fn deadline(&self, limits: &Limits) -> Instant {
        let paced = Duration::from_millis(
            self.arrived.saturating_mul(1000) / u64::from(limits.message_rate.max(1)),
        );
        after(self.started, limits.message_time.saturating_add(paced))
    }
}
