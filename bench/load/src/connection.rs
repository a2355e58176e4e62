//! One client connection: sends batches, checks echoes.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;

use crate::frame_reader::{FrameReader, Piece};
use crate::session::Session;
use crate::template::Template;

/// Above this size a message is written from the shared template without copying.
const COPY_LIMIT: usize = 16 * 1024;

/// Buffers that all connections share; what a connection did not get rid of is rebuilt from its counters.
#[derive(Debug)]
pub struct Scratch {
    pub input: Vec<u8>,
    output: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { input: vec![0; 256 * 1024], output: Vec::new() }
    }
}

#[derive(Debug)]
pub struct Connection {
    id: usize,
    stream: TcpStream,
    reader: FrameReader,
    /// Messages written whole, and bytes written of the next one.
    sent: u64,
    offset: usize,
    /// Messages to be sent before echoes are waited for.
    batch_end: u64,
    /// Messages echoed whole, and payload bytes seen of the next one.
    received: u64,
    echo_offset: usize,
    goal: u64,
    /// Whose messages it receives: its own, as echoes, or those of who speaks to all.
    speaker: usize,
    /// Control frames that wait for the next message boundary.
    control: Vec<u8>,
    session: Session,
    closing: bool,
    closed: bool,
}

impl Connection {
    pub fn new(id: usize, stream: TcpStream) -> Self {
        Self {
            id,
            stream,
            reader: FrameReader::default(),
            sent: 0,
            offset: 0,
            batch_end: 0,
            received: 0,
            echo_offset: 0,
            goal: 0,
            speaker: id,
            control: Vec::new(),
            session: Session::default(),
            closing: false,
            closed: false,
        }
    }

    pub fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn is_done(&self) -> bool {
        self.received == self.goal
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Asks for `n` more messages; [`drive`](Self::drive) sends them.
    pub fn add_goal(&mut self, n: u64) {
        self.goal = self.received.saturating_add(n);
    }

    /// Receives what another connection sends, and sends nothing.
    pub fn listen_to(&mut self, speaker: usize) {
        self.speaker = speaker;
    }

    fn is_listener(&self) -> bool {
        self.speaker != self.id
    }

    /// Lets the echoes in flight arrive and sends nothing more.
    pub fn stop(&mut self) {
        self.goal = self.goal.min(self.batch_end);
    }

    /// Reads and writes as far as the socket lets us.
    pub fn drive(&mut self, template: &Template, depth: u64, scratch: &mut Scratch) -> Result<()> {
        self.drive_inner(template, depth, scratch)
            .with_context(|| format!("connection {} after {} echoes", self.id, self.received))
    }

    fn drive_inner(
        &mut self,
        template: &Template,
        depth: u64,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.read(template, &mut scratch.input)?;
        if self.is_listener() {
            (self.sent, self.batch_end) = (self.received, self.received);
        } else if self.received == self.batch_end && self.received < self.goal {
            self.batch_end = self.goal.min(self.received + depth);
        }
        self.write(template, &mut scratch.output)
    }

    fn read(&mut self, template: &Template, input: &mut [u8]) -> Result<()> {
        while !self.closed {
            let n = match self.stream.read(input) {
                Ok(0) if self.closing => {
                    self.closed = true;
                    return Ok(());
                }
                Ok(0) => bail!("the server closed the connection"),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) if self.closing => {
                    self.closed = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            self.handle_input(template, &input[..n])?;
            // A short read has emptied the socket; more bytes raise a new edge. The end of the stream may have come on
            // the same edge, so when it is what we wait for, the next read asks.
            if n < input.len() && !self.closing {
                return Ok(());
            }
        }
        Ok(())
    }

    fn handle_input(&mut self, template: &Template, mut input: &[u8]) -> Result<()> {
        if template.is_raw() {
            while !input.is_empty() {
                let n = input.len().min(template.echo_len() - self.echo_offset);
                let (echo, rest) = input.split_at(n);
                self.check(template, echo)?;
                input = rest;
                if self.echo_offset == template.echo_len() {
                    self.message_end(template)?;
                }
            }
            return Ok(());
        }
        while let Some(piece) = self.reader.next(&mut input)? {
            match piece {
                Piece::MessageStart(opcode) => {
                    ensure!(opcode == template.opcode(), "the echo has opcode {opcode}");
                }
                Piece::Payload(payload) if template.is_session() => {
                    if let Some(echo) = self.session.payload(payload) {
                        self.check(template, echo)?;
                    }
                }
                Piece::MessageEnd if template.is_session() => {
                    if self.session.end()? {
                        self.message_end(template)?;
                    }
                }
                Piece::Payload(payload) => self.check(template, payload)?,
                Piece::MessageEnd => self.message_end(template)?,
                Piece::Ping(payload) => {
                    // A zero masking key leaves the payload as it is.
                    self.control.extend_from_slice(&[0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
                    self.control.extend_from_slice(&payload);
                }
                Piece::Close if !self.closing => bail!("the server sent Close"),
                Piece::Pong | Piece::Close => {}
            }
        }
        Ok(())
    }

    fn check(&mut self, template: &Template, echo: &[u8]) -> Result<()> {
        let is_asked = self.is_listener() || self.received < self.sent || self.offset > 0;
        ensure!(is_asked, "an echo of nothing");
        ensure!(
            template.matches(self.speaker, self.received, self.echo_offset, echo),
            "wrong echo in bytes {}..{}",
            self.echo_offset,
            self.echo_offset + echo.len(),
        );
        self.echo_offset += echo.len();
        Ok(())
    }

    fn message_end(&mut self, template: &Template) -> Result<()> {
        ensure!(self.echo_offset == template.echo_len(), "the echo has {} bytes", self.echo_offset);
        self.echo_offset = 0;
        self.received += 1;
        Ok(())
    }

    fn write(&mut self, template: &Template, output: &mut Vec<u8>) -> Result<()> {
        while self.sent < self.batch_end || !self.control.is_empty() || self.session.owes() {
            if self.offset == 0 && !self.control.is_empty() {
                // A handful of bytes: a socket that takes only a part of them is none this tool can use.
                let control = std::mem::take(&mut self.control);
                ensure!(
                    self.stream.write(&control)? == control.len(),
                    "no room for a control frame"
                );
                continue;
            }
            if self.offset == 0 && self.session.owes() && self.sent == self.batch_end {
                let ack = self.session.acknowledge(self.received, self.sent);
                ensure!(self.stream.write(&ack)? == ack.len(), "no room for an acknowledgement");
                continue;
            }
            let (wanted, result) = if template.frame_len() > COPY_LIMIT {
                self.write_large(template, output)
            } else {
                self.write_batch(template, output)
            };
            let n = match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                result => result?,
            };
            self.sent += ((self.offset + n) / template.frame_len()) as u64;
            self.offset = (self.offset + n) % template.frame_len();
            if n < wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes the rest of the batch in one call.
    fn write_batch(
        &mut self,
        template: &Template,
        output: &mut Vec<u8>,
    ) -> (usize, io::Result<usize>) {
        output.clear();
        let mut ack = 0;
        if self.offset == 0 && self.session.owes() {
            output.extend_from_slice(&self.session.acknowledge(self.received, self.sent));
            ack = output.len();
        }
        for seq in self.sent..self.batch_end {
            template.encode_head(self.id, seq, output);
            output.extend_from_slice(template.masked_tail());
        }
        let written = self.stream.write(&output[self.offset..]).and_then(|n| {
            // A handful of bytes, as above.
            n.checked_sub(ack).ok_or_else(|| io::Error::other("no room for an acknowledgement"))
        });
        (output.len() - ack - self.offset, written)
    }

    /// Writes the rest of one message without copying it.
    fn write_large(
        &mut self,
        template: &Template,
        output: &mut Vec<u8>,
    ) -> (usize, io::Result<usize>) {
        output.clear();
        template.encode_head(self.id, self.sent, output);
        let head = &output[self.offset.min(output.len())..];
        let tail = &template.masked_tail()[self.offset.saturating_sub(output.len())..];
        let wanted = head.len() + tail.len();
        (wanted, self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]))
    }

    /// Sends Close (or, without WebSocket, ends the stream) and expects the server to close TCP.
    pub fn start_close(&mut self, raw: bool) -> Result<()> {
        self.closing = true;
        if raw {
            self.stream.shutdown(std::net::Shutdown::Write)?;
        } else {
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
            ensure!(self.stream.write(&close)? == close.len(), "no room for a Close frame");
        }
        Ok(())
    }
}
