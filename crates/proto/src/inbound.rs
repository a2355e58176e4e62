//! The receiving half: what has arrived of a frame, and what a message is put together from.

mod partial;
mod source;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use self::partial::{PartialFrame, PartialMessage};
pub(crate) use self::{
    partial::Partial,
    source::{Chunk, Source},
};
use crate::{
    Cause, FrameHeader, Limits, MessageKind, Opcode, ProtocolError, Role, frame::MAX_HEADER,
};

/// What has been received but not handed out. An idle connection holds no memory here.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// Everything that is incomplete; freed when it is complete.
    partial: Option<Box<Partial>>,
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
    /// The same with a length of 16 bits.
    pub(crate) const MIDDLING_HEADER: usize = 8;
}

impl Inbound {
    /// Takes the next header from `source`; `None` when its end has not arrived.
    #[inline]
    pub(crate) fn take_header<'b>(
        &mut self,
        source: &mut impl Source<'b>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        if !self.is_mid_header()
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
        if source.bytes().is_empty() {
            return Ok(None);
        }
        let partial = self.partial.get_or_insert_default();
        let had = usize::from(partial.header_len);
        let added = source.bytes().len().min(MAX_HEADER - had);
        partial.header[had..had + added].copy_from_slice(&source.bytes()[..added]);
        match FrameHeader::parse(&partial.header[..had + added])? {
            Some((header, len)) => {
                source.skip(len - had);
                partial.header_len = 0;
                Ok(Some(header))
            }
            None => {
                source.skip(added);
                partial.header_len = (had + added) as u8;
                Ok(None)
            }
        }
    }

    #[inline]
    fn is_mid_header(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.header_len > 0)
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
        let simple = len < 126 && rest.len() >= len && self.partial.is_none();
        simple.then_some(SimpleFrame { kind, key: [k0, k1, k2, k3], len })
    }

    /// Returns what [`simple_frame`](Self::simple_frame) returns, of a frame of 126 to 65,535 bytes of
    /// payload and no more than `limit`.
    #[inline]
    pub(crate) fn middling_frame(&self, input: &[u8], limit: u64) -> Option<SimpleFrame> {
        let &[first, 0xFE, high, low, k0, k1, k2, k3, ref rest @ ..] = input else { return None };
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let is_legal = len >= 126 && len as u64 <= limit;
        let simple = is_legal && rest.len() >= len && self.partial.is_none();
        simple.then_some(SimpleFrame { kind, key: [k0, k1, k2, k3], len })
    }

    /// Checks a header against the state of the connection and the limits. `deflates` says whether
    /// compression was agreed upon.
    #[inline]
    pub(crate) fn check(
        &self,
        header: &FrameHeader,
        role: Role,
        limits: &Limits,
        deflates: bool,
    ) -> Result<(), Cause> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            check_reserved(header, deflates).map_err(Cause::Protocol)?;
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
        let is_deflated = header.rsv1 || open.is_some_and(|message| message.is_deflated);
        if is_deflated {
            return check_deflated(before, header.payload_len, limits);
        }
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
                partial.message = Some(PartialMessage::new(kind, &header, now));
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
                || message.is_some_and(|message| {
                    message.clean < message.assembly.len() || message.has_more
                })
        })
    }

    /// Returns whether the start of a message has arrived and its end has not.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.message.is_some())
    }

    /// Returns whether the input ends inside a frame.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.partial
            .as_ref()
            .is_some_and(|partial| partial.header_len > 0 || partial.frame.is_some())
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
            partial.header_len == 0
                && partial.frame.is_none()
                && partial.message.is_none()
                && partial.unread.is_empty()
        }) {
            self.partial = None;
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// RFC 7692 §6.1: RSV1 marks the first frame of a compressed message, and nothing else.
#[cold]
fn check_reserved(header: &FrameHeader, deflates: bool) -> Result<(), ProtocolError> {
    if header.rsv2 || header.rsv3 || !deflates {
        return Err(ProtocolError::ReservedBits);
    }
    match header.opcode {
        Opcode::Text | Opcode::Binary => Ok(()),
        opcode => Err(ProtocolError::UnexpectedRsv1(opcode)),
    }
}

/// Checks the size on the wire of a compressed message; that of the message itself is checked while
/// it is inflated.
fn check_deflated(before: u64, payload_len: u64, limits: &Limits) -> Result<(), Cause> {
    // What cannot be compressed becomes somewhat larger.
    let most = limits.message.saturating_add(limits.message / 8).saturating_add(1024);
    if let Some(limit) = limits.frame.filter(|limit| *limit < limits.message)
        && payload_len > limit
    {
        return Err(Cause::FrameTooBig { limit, size: payload_len });
    }
    let size = before + payload_len;
    if size > most {
        return Err(Cause::MessageTooBig { limit: limits.message, size });
    }
    Ok(())
}
