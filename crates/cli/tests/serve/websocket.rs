//! A WebSocket client that shares no code with the server.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::DEADLINE;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;

/// A connection that was opened by hand.
#[derive(Debug)]
pub(crate) struct WebSocket<S>(S, String);

impl<S: Read + Write> WebSocket<S> {
    /// Makes the opening handshake.
    ///
    /// # Errors
    /// The status with which the server refuses.
    pub(crate) fn open(mut stream: S, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nhost: server.test\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(read(&mut stream, 1)[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 101 {
            return Err(status);
        }
        // The key and its answer are those of RFC 6455 §1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(Self(stream, answer))
    }

    /// Sends a frame, masked with zeros.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    /// Receives a frame.
    pub(crate) fn recv(&mut self) -> (u8, Vec<u8>) {
        let head = read(&mut self.0, 2);
        assert_eq!((head[0] & 0xf0, head[1] & 0x80), (0x80, 0), "whole and not masked");
        let number = |bytes: Vec<u8>| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let len = match head[1] {
            126 => number(read(&mut self.0, 2)),
            127 => number(read(&mut self.0, 8)),
            len => len.into(),
        };
        (head[0] & 0xf, read(&mut self.0, len))
    }

    /// Receives messages until a Close, which it does not answer.
    pub(crate) fn recv_close(&mut self) -> (u16, String) {
        loop {
            if let (CLOSE, payload) = self.recv() {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].into()).unwrap());
            }
        }
    }

    /// Receives messages until a Close, answers it, and waits for the server to end the stream.
    pub(crate) fn closed(mut self) -> (u16, String) {
        let (code, reason) = self.recv_close();
        self.send(CLOSE, &code.to_be_bytes());
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0, "nothing comes after the Close");
        (code, reason)
    }

    /// Closes with 1000 and waits for the answer and the end.
    pub(crate) fn close(mut self) {
        self.send(CLOSE, &1000_u16.to_be_bytes());
        assert_eq!(self.recv(), (CLOSE, 1000_u16.to_be_bytes().into()));
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0);
    }

    /// Returns the head of the server's answer.
    pub(crate) fn head(&self) -> &str {
        &self.1
    }

    pub(crate) fn stream(&self) -> &S {
        &self.0
    }
}

impl WebSocket<TcpStream> {
    /// Waits for something to read, or until this time; returns whether there is something.
    pub(crate) fn is_readable_until(&self, due: Option<Instant>) -> bool {
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = wait.unwrap_or(DEADLINE).clamp(Duration::from_millis(1), DEADLINE);
        self.0.set_read_timeout(Some(wait)).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        !peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Returns whether the stream has ended, or was reset; waits until it can tell.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.0.peek(&mut [0]), Ok(0) | Err(_))
    }
}

fn read(stream: &mut impl Read, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
