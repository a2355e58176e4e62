//! A server that does what a test tells it, frame by frame.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use everwire_proto::{
    FrameHeader, Opcode, apply_mask,
    handshake::{AcceptOptions, HeadLimits, ServerHandshake, encode_response_head, parse_request},
};

/// Calls `script` for every connection, in a thread of its own, and returns the URL.
pub(crate) fn serve(script: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let script = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, script) = (stream.unwrap(), script.clone());
            // A thread that outlives the test is no harm, but it shall not be for ever.
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || script(stream));
        }
    });
    url
}

/// Calls `script` for every connection behind the opening handshake.
pub(crate) fn peers(script: impl Fn(Peer) + Send + Sync + 'static) -> String {
    serve(move |stream| {
        if let Some(peer) = Peer::accept(stream, AcceptOptions::default()) {
            script(peer);
        }
    })
}

/// One connection, after the opening handshake.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    /// Does the opening handshake; `None` if the client goes away.
    pub(crate) fn accept(mut stream: TcpStream, options: AcceptOptions) -> Option<Self> {
        let mut unread = Vec::new();
        let (request, len) = loop {
            if let Some(request) = parse_request(&unread, &HeadLimits::default()).unwrap() {
                break request;
            }
            read(&mut stream, &mut unread)?;
        };
        unread.drain(..len);
        let response = ServerHandshake::verify(&request).unwrap().accept(options).unwrap();
        let mut head = Vec::new();
        encode_response_head(&response, &mut head);
        stream.write_all(&head).ok()?;
        Some(Self { stream, unread })
    }

    /// Returns the next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<(Opcode, Vec<u8>)> {
        loop {
            if let Some((header, len)) = FrameHeader::parse(&self.unread).unwrap() {
                let end = len + header.payload_len as usize;
                if self.unread.len() >= end {
                    let mut payload = self.unread[len..end].to_vec();
                    apply_mask(&mut payload, header.mask.expect("a client masks"), 0);
                    self.unread.drain(..end);
                    return Some((header.opcode, payload));
                }
            }
            read(&mut self.stream, &mut self.unread)?;
        }
    }

    /// Sends a frame. What the client does not read any more is its affair.
    pub(crate) fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        self.send_header(FrameHeader::new(opcode, true, payload.len() as u64), payload);
    }

    pub(crate) fn send_header(&mut self, header: FrameHeader, payload: &[u8]) {
        let mut frame = Vec::new();
        header.encode(&mut frame);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).ok();
    }

    /// Answers a frame as a good server does. Returns the payload of a Close instead.
    pub(crate) fn answer(&mut self, opcode: Opcode, payload: Vec<u8>) -> Option<Vec<u8>> {
        match opcode {
            Opcode::Close => return Some(payload),
            Opcode::Ping => self.send(Opcode::Pong, &payload),
            opcode => self.send(opcode, &payload),
        }
        None
    }

    /// Answers until the client's Close, and returns its payload.
    pub(crate) fn until_close(&mut self) -> Option<Vec<u8>> {
        loop {
            let (opcode, payload) = self.next()?;
            if let Some(close) = self.answer(opcode, payload) {
                return Some(close);
            }
        }
    }

    /// Answers everything as a good server does, to the end.
    pub(crate) fn behave(mut self) {
        if let Some(close) = self.until_close() {
            self.send(Opcode::Close, &close);
        }
    }

    /// Waits for the client to send something and closes without reading it: the system resets.
    pub(crate) fn reset(self) {
        self.stream.peek(&mut [0]).ok();
    }
}

fn read(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<()> {
    let mut buf = [0; 16 << 10];
    let n = stream.read(&mut buf).ok().filter(|n| *n > 0)?;
    into.extend_from_slice(&buf[..n]);
    Some(())
}
