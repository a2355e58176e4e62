//! Compressed messages, both ways. See RFC 7692 §6 and §7.2.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, receive::Step};
use crate::{
    Cause, Codecs, Compress, DeflateConfig, DeflateParams, Delivery, Direction, FrameHeader,
    LendCodecs, Opcode, Payload, PreparedMessage,
    deflate::{Contexts, SCRATCH},
    frame::MAX_CONTROL,
    inbound::Source,
    mask::apply_mask,
    rare::Rare,
    transmit::SHARE_FROM,
};

/// How much input is looked at for one piece of output.
const PIECE_INPUT: usize = 512;

impl Connection {
    /// Compresses messages from now on, as was agreed upon in the opening handshake, with codecs that
    /// `lend` lends. What decides for which messages it pays is
    /// [`Config::deflate`](crate::Config::deflate).
    ///
    /// Call it before the first message, and on both ends or neither.
    pub fn set_deflate(&mut self, params: DeflateParams, lend: LendCodecs) {
        self.codecs = Some(lend);
        self.deflate = params.into();
        // Small messages go the short way, unless they are to be compressed as well.
        if self.deflate_config().threshold <= MAX_CONTROL {
            self.simple.write_no_more();
        }
        if let Some(contexts) = Contexts::new(params) {
            let make = || Box::new(Rare::of(&self.config, self.opened, self.seed));
            self.rare.get_or_insert_with(make).contexts = Some(contexts);
        }
    }

    /// Returns what was agreed upon about compression, if anything was.
    #[must_use]
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.codecs.map(|_| self.deflate.into())
    }

    fn agreed(&self) -> DeflateParams {
        self.deflate.into()
    }

    fn deflate_config(&self) -> DeflateConfig {
        self.config.deflate.unwrap_or_default()
    }

    /// Queues a whole message, compressed if that pays.
    #[inline]
    pub(super) fn write_long(&mut self, opcode: Opcode, payload: Payload<'_>) {
        match self.codecs {
            None if self.simple.writes() && payload.len() < SHARE_FROM => {
                self.transmit.push_middling(opcode, &payload);
            }
            None => self.write_whole(opcode, payload),
            Some(lend) => self.write_compressible(lend, opcode, payload, Compress::ByThreshold),
        }
    }

    /// Queues a whole message, compressed as its sender says.
    pub(super) fn write_message(&mut self, opcode: Opcode, payload: Payload<'_>, how: Compress) {
        match self.codecs {
            Some(lend) if how != Compress::Never => {
                self.write_compressible(lend, opcode, payload, how);
            }
            _ => self.write_data(opcode, true, payload),
        }
    }

    /// Returns from how many bytes on a message is compressed.
    fn threshold(&self, how: Compress) -> usize {
        match how {
            Compress::ByThreshold => self.deflate_config().threshold.max(1),
            Compress::Never => usize::MAX,
            Compress::Always => 1,
        }
    }

    fn write_compressible(
        &mut self,
        lend: LendCodecs,
        opcode: Opcode,
        payload: Payload<'_>,
        how: Compress,
    ) {
        let threshold = self.threshold(how);
        let mut payload = Some(payload);
        lend(&mut |codecs| {
            if let Some(long) = payload.take_if(|payload| payload.len() >= threshold) {
                payload = self.write_deflated(codecs, opcode, long);
            }
        });
        if let Some(payload) = payload {
            self.write_whole(opcode, payload);
        }
    }

    #[inline]
    fn write_whole(&mut self, opcode: Opcode, payload: Payload<'_>) {
        self.write_frame(FrameHeader::new(opcode, true, payload.len() as u64), payload);
    }

    /// Queues a message compressed; returns its payload if that would not make it smaller.
    fn write_deflated<'a>(
        &mut self,
        codecs: &mut Codecs,
        opcode: Opcode,
        payload: Payload<'a>,
    ) -> Option<Payload<'a>> {
        let (params, level) = (self.agreed(), self.deflate_config().level);
        let out = codecs.deflate(params, level, self.contexts(), &payload, true);
        // Where there is a history, the message is a part of it now and has to be sent.
        if out.len() >= payload.len() && !params.send_takeover {
            codecs.tidy();
            return Some(payload);
        }
        self.write_compressed(opcode, true, out);
        codecs.tidy();
        None
    }

    /// Queues a piece of a message that is sent in pieces.
    pub(super) fn write_piece(&mut self, opcode: Opcode, fin: bool, payload: Payload<'_>) {
        let Some(lend) = self.codecs.filter(|_| !self.simple.has_plain_pieces()) else {
            return self.write_data(opcode, fin, payload);
        };
        lend(&mut |codecs| {
            let (params, level) = (self.agreed(), self.deflate_config().level);
            let out = codecs.deflate(params, level, self.contexts(), &payload, fin);
            self.write_compressed(opcode, fin, out);
            codecs.tidy();
        });
    }

    fn write_compressed(&mut self, opcode: Opcode, fin: bool, out: &[u8]) {
        let payload = match out.len() {
            SHARE_FROM.. => Payload::Shared(Bytes::copy_from_slice(out)),
            _ => Payload::Borrowed(out),
        };
        self.write_rsv1(opcode, fin, payload);
    }

    /// §6.1: RSV1 is set on the first frame of a compressed message, and on no other.
    fn write_rsv1(&mut self, opcode: Opcode, fin: bool, payload: Payload<'_>) {
        let mut header = FrameHeader::new(opcode, fin, payload.len() as u64);
        header.rsv1 = opcode != Opcode::Continuation;
        self.write_frame(header, payload);
    }

    /// Queues the compressed form of a prepared message; returns whether there is one.
    pub(super) fn write_prepared(&mut self, message: &PreparedMessage) -> bool {
        let Some(lend) = self.codecs else { return false };
        if message.len() < self.threshold(message.compress()) {
            return false;
        }
        let (bits, level) = (self.agreed().send_window_bits, self.deflate_config().level);
        let Some(deflated) = message.deflated(bits, level, lend) else { return false };
        // It is in the peer's window and not in our compressor's, so that must begin anew.
        if let Some(contexts) = self.contexts() {
            contexts.deflater = Default::default();
            if let Some(sent) = &mut contexts.sent {
                sent.push(&message.payload());
            }
        }
        self.write_rsv1(message.kind().into(), true, Payload::Shared(deflated));
        true
    }

    fn contexts(&mut self) -> Option<&mut Contexts> {
        self.rare.as_mut()?.contexts.as_deref_mut()
    }

    /// Takes more of a frame of a compressed message.
    pub(super) fn inflate_frame<'b, S: Source<'b>>(
        &mut self,
        source: &mut S,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        let Some(lend) = self.codecs else { return Ok(Step::Next) };
        let mut step = Ok(Step::Next);
        lend(&mut |codecs| {
            step = match self.config.delivery {
                Delivery::Pieces => self.inflate_piece(codecs, source, now),
                Delivery::Whole => self.inflate_all(codecs, source, now),
            };
        });
        step
    }

    /// Inflates what is there of the frame into the message.
    fn inflate_all<'b, S: Source<'b>>(
        &mut self,
        codecs: &mut Codecs,
        source: &mut S,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        let limit = self.config.limits.message;
        let mut contexts = self.rare.as_mut().and_then(|rare| rare.contexts.as_deref_mut());
        let Some(partial) = self.inbound.partial_mut() else { return Ok(Step::Next) };
        let (Some(frame), Some(message)) = (&mut partial.frame, &mut partial.message) else {
            return Ok(Step::Next);
        };
        let n = frame.remaining.min(source.bytes().len() as u64) as usize;
        if n == 0 && frame.remaining > 0 {
            return Ok(Step::Wait);
        }
        let mut chunk = source.take(n);
        chunk.unmask(frame.header.mask, frame.offset());
        frame.remaining -= n as u64;
        let (header, complete) = (frame.header, frame.remaining == 0);
        message.arrived += n as u64;
        let mut inflater = match message.inflater.take() {
            Some(inflater) => inflater,
            None => codecs.start_inflating(limit, contexts.as_deref_mut()),
        };
        let window = contexts.as_deref_mut().and_then(|contexts| contexts.window.as_mut());
        let mut sink = |output: &[u8]| message.append(output, limit);
        inflater.push(chunk.bytes(), codecs.scratch(), window, &mut sink)?;
        if complete && header.fin {
            let window = contexts.as_deref_mut().and_then(|contexts| contexts.window.as_mut());
            inflater.finish(codecs.scratch(), window)?;
            codecs.end_inflating(inflater, contexts);
        } else {
            message.inflater = Some(inflater);
        }
        if complete && self.is_observed() {
            self.show(Direction::Received, &header, &[]);
        }
        self.hand_out(complete, now)
    }

    /// Inflates a piece of the message.
    fn inflate_piece<'b, S: Source<'b>>(
        &mut self,
        codecs: &mut Codecs,
        source: &mut S,
        now: Instant,
    ) -> Result<Step<'b>, Cause> {
        let limit = self.config.limits.message;
        let mut contexts = self.rare.as_mut().and_then(|rare| rare.contexts.as_deref_mut());
        let Some(partial) = self.inbound.partial_mut() else { return Ok(Step::Next) };
        let (Some(frame), Some(message)) = (&mut partial.frame, &mut partial.message) else {
            return Ok(Step::Next);
        };
        let n = frame.remaining.min(source.bytes().len().min(PIECE_INPUT) as u64) as usize;
        if n == 0 && frame.remaining > 0 && !message.has_more {
            return Ok(Step::Wait);
        }
        let mut input = [0; PIECE_INPUT];
        input[..n].copy_from_slice(&source.bytes()[..n]);
        if let Some(key) = frame.header.mask {
            apply_mask(&mut input[..n], key, frame.offset());
        }
        let mut inflater = match message.inflater.take() {
            Some(inflater) => inflater,
            None => codecs.start_inflating(limit, contexts.as_deref_mut()),
        };
        let scratch = codecs.scratch();
        let window = contexts.as_deref_mut().and_then(|contexts| contexts.window.as_mut());
        let step = inflater.step(&input[..n], scratch, window);
        let output = &scratch[..step.given];
        message.check_utf8(output)?;
        message.has_more = output.len() == SCRATCH;
        let taken = step.checked()?;
        source.skip(taken);
        frame.remaining -= taken as u64;
        message.arrived += taken as u64;
        let payload = Payload::Shared(Bytes::copy_from_slice(output));
        let header = frame.header;
        let complete = frame.remaining == 0 && !message.has_more;
        if complete && header.fin {
            let window = contexts.as_deref_mut().and_then(|contexts| contexts.window.as_mut());
            inflater.finish(scratch, window)?;
            codecs.end_inflating(inflater, contexts);
        } else {
            message.inflater = Some(inflater);
        }
        if complete && self.is_observed() {
            self.show(Direction::Received, &header, &[]);
        }
        self.hand_out_payload(payload, complete, now)
    }
}
