//! A frame or a message of which a part has arrived.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::Chunk;
use crate::{
    Cause, FrameHeader, Limits, MessageKind, Opcode, Payload, deadline::after, deflate::Inflater,
    frame::MAX_HEADER, mask::apply_mask, utf8::Utf8Validator,
};

/// A frame or a message of which a part has arrived.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// The start of a header whose rest has not arrived.
    pub(super) header: [u8; MAX_HEADER],
    pub(super) header_len: u8,
    /// The frame whose payload is arriving.
    pub(crate) frame: Option<PartialFrame>,
    /// The message whose frames are arriving.
    pub(crate) message: Option<PartialMessage>,
    /// The payload of a control frame, as far as it has arrived.
    pub(super) control: Vec<u8>,
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
    pub(super) started: Instant,
    /// Payload bytes of the frames that were announced.
    pub(super) announced: u64,
    /// Payload bytes that have arrived.
    pub(crate) arrived: u64,
    pub(super) continuations: u32,
    utf8: Utf8Validator,
    /// The payload so far, unless it is handed out in pieces.
    pub(super) assembly: Vec<u8>,
    /// How much of `assembly` is unmasked and validated.
    pub(super) clean: usize,
    /// Whether a piece was handed out.
    pub(crate) piece_given: bool,
    /// Whether it is compressed.
    pub(crate) is_deflated: bool,
    /// Whether the inflater has more to give without more input.
    pub(crate) has_more: bool,
    /// What inflates it, once some of it has arrived.
    pub(crate) inflater: Option<Box<Inflater>>,
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
            || message.is_deflated
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
    /// Returns how much of the payload has been taken.
    pub(crate) fn offset(&self) -> usize {
        (self.header.payload_len - self.remaining) as usize
    }

    #[inline]
    fn unmask_next(&mut self, bytes: &mut [u8]) {
        if let Some(key) = self.header.mask {
            apply_mask(bytes, key, self.offset());
        }
        self.remaining -= bytes.len() as u64;
    }
}

impl PartialMessage {
    pub(super) fn new(kind: MessageKind, header: &FrameHeader, now: Instant) -> Self {
        Self {
            kind,
            started: now,
            announced: header.payload_len,
            arrived: 0,
            continuations: 0,
            utf8: Utf8Validator::default(),
            assembly: Vec::new(),
            clean: 0,
            piece_given: false,
            is_deflated: header.rsv1,
            has_more: false,
            inflater: None,
        }
    }

    /// Appends what was inflated of a message of at most `limit` bytes.
    pub(crate) fn append(&mut self, output: &[u8], limit: u64) -> Result<(), Cause> {
        self.check_utf8(output)?;
        let needed = self.assembly.len() + output.len();
        if self.assembly.capacity() < needed {
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let wanted = self.assembly.capacity().saturating_mul(2).min(most).max(needed);
            self.assembly.reserve_exact(wanted - self.assembly.len());
        }
        self.assembly.extend_from_slice(output);
        self.clean = self.assembly.len();
        Ok(())
    }

    /// Checks that the next part of a text is UTF-8.
    pub(crate) fn check_utf8(&mut self, output: &[u8]) -> Result<(), Cause> {
        match self.kind {
            MessageKind::Text => self.utf8.push(output).map_err(|_| Cause::InvalidUtf8),
            MessageKind::Binary => Ok(()),
        }
    }

    /// Returns the payload that was put together.
    pub(crate) fn into_payload(self) -> Payload<'static> {
        Payload::Shared(Bytes::from(self.assembly))
    }

    pub(super) fn deadline(&self, limits: &Limits) -> Instant {
        let paced = Duration::from_millis(
            self.arrived.saturating_mul(1000) / u64::from(limits.message_rate.max(1)),
        );
        after(self.started, limits.message_time.saturating_add(paced))
    }
}
