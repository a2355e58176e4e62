//! A client of sessions, driven by hand over real sockets.

use std::{net::TcpStream, sync::Arc, time::Instant};

use bytes::Bytes;
use everwire_session::{ClientSession, Code, Config, Event, Prepared, Transmit};

use crate::{
    http,
    process::Server,
    websocket::{BINARY, CLOSE, WebSocket},
};

/// A client and its newest socket.
pub(crate) struct Visitor {
    path: &'static str,
    session: ClientSession,
    socket: Option<(u64, WebSocket<TcpStream>)>,
}

impl Visitor {
    /// Returns a client whose session has begun.
    pub(crate) fn open(server: &Server, path: &'static str) -> Self {
        Self::taking(server, path, 1 << 20)
    }

    /// Returns a client that takes messages of this size at most, whose session has begun.
    pub(crate) fn taking(server: &Server, path: &'static str, max_message: u64) -> Self {
        let mut config = Config::client();
        config.max_message = max_message;
        let session = ClientSession::new(Instant::now(), Arc::new(config));
        let mut visitor = Self { path, session, socket: None };
        visitor.connect(server);
        assert_eq!(visitor.hear(), "opened");
        visitor
    }

    /// Opens another socket and asks to be attached.
    pub(crate) fn connect(&mut self, server: &Server) {
        let attempt = self.session.hello(Instant::now()).unwrap();
        let offer = [("sec-websocket-protocol", "everwire.v1")];
        let mut ws = WebSocket::open(http::connect(server.public()), self.path, &offer).unwrap();
        assert!(ws.head().contains("Sec-WebSocket-Protocol: everwire.v1"), "{}", ws.head());
        ws.send(BINARY, &attempt.hello);
        self.socket = Some((attempt.number, ws));
    }

    /// Cuts the connection without a word.
    pub(crate) fn cut(&mut self) {
        let (attempt, socket) = self.socket.take().unwrap();
        drop(socket);
        self.session.handle_closed(attempt, None);
        assert_eq!(self.session.poll_event(Instant::now()), Some(Event::Detached));
    }

    /// Says goodbye once all is said.
    pub(crate) fn close(&mut self) {
        self.session.close(Code::NORMAL, "", None);
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.session.send(Instant::now(), Prepared::text(text)).unwrap();
        self.transmit();
    }

    /// Returns the next event as words.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        match self.event() {
            Event::Opened { .. } => "opened".into(),
            Event::Resumed { .. } => "resumed".into(),
            Event::Detached => "detached".into(),
            Event::Message(message) => message.as_text().unwrap_or("binary").to_owned(),
            Event::Gap(direction, gap) => format!("gap {direction:?} {}-{}", gap.from, gap.to),
            Event::Lost { unacknowledged } => format!("lost {}", unacknowledged.len()),
            Event::Goaway(advice) => format!("go away, {} ms", advice.spread),
            Event::Ended(end) => format!("ended {} by {:?}", end.code, end.by),
            other => format!("{other:?}"),
        }
    }

    /// Returns the code with which the socket was closed, and answers it.
    #[track_caller]
    pub(crate) fn closed(mut self) -> u16 {
        let (_, socket) = self.socket.take().unwrap();
        socket.closed().0
    }

    fn event(&mut self) -> Event {
        loop {
            self.session.handle_timeout(Instant::now());
            self.transmit();
            if let Some(event) = self.session.poll_event(Instant::now()) {
                self.transmit();
                return event;
            }
            let due = self.session.poll_timeout();
            let (attempt, ws) = self.socket.as_mut().expect("there is a socket");
            if !ws.is_readable_until(due) {
                continue;
            }
            if ws.is_at_end() {
                self.session.handle_closed(*attempt, None);
                self.socket = None;
                continue;
            }
            match ws.recv() {
                (BINARY, frame) => {
                    self.session.handle_message(Instant::now(), *attempt, &Bytes::from(frame));
                }
                (CLOSE, payload) => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    self.session.handle_closed(*attempt, Some(code));
                    self.socket = None;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn transmit(&mut self) {
        let Some((attempt, ws)) = &mut self.socket else { return };
        while let Some(transmit) = self.session.poll_transmit(Instant::now(), *attempt) {
            match transmit {
                Transmit::Frame(frame) => ws.send(BINARY, &frame),
                Transmit::Close(code) => return ws.send(CLOSE, &code.number().to_be_bytes()),
            }
        }
    }
}
