//! Both ends of a session through anything that an engine and a peer may do to them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_session::{
    Attach, ClientSession, Code, Config, Counts, Event, Frame, Hello, Prepared, Principal,
    ServerSession, Transmit,
};

use super::told::Told;
use crate::Rng;

/// Bytes that say what to do next; none left says nothing.
struct Script<'s>(&'s [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number that is small, or next to a border.
    fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..0xf0 => byte.into(),
            byte @ 0xf0..0xf8 => everwire_session::MAX_NUMBER - u64::from(byte & 7),
            byte => 1 << (u32::from(byte & 7) * 7),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }

    /// A frame of any bytes, or one that is well formed.
    fn frame(&mut self) -> Bytes {
        let kind = self.byte();
        let mut counts = || Counts {
            recv: self.number(),
            done: self.number(),
            sent: self.number(),
            window: self.number(),
        };
        match kind % 4 {
            0 => self.bytes(),
            1 => Frame::Ack(counts()).encode(),
            2 => Frame::Ping { token: 1, counts: counts() }.encode(),
            _ => Frame::Pong { token: 1, counts: counts() }.encode(),
        }
    }
}

/// Does what the bytes say, and asserts after each step what must always hold.
///
/// # Panics
/// If something does not hold.
pub fn walk_session(script: &[u8]) {
    let mut ends = Ends::new(script.len() as u64);
    let mut script = Script(script);
    while !script.0.is_empty() {
        ends.step(&mut script);
        ends.check();
    }
}

struct Ends {
    now: Instant,
    rng: Rng,
    client: ClientSession,
    server: Option<ServerSession>,
    attempt: u64,
    epoch: u64,
    ended: [bool; 2],
    told: Told,
}

impl Ends {
    fn new(seed: u64) -> Self {
        let now = crate::start();
        let client = ClientSession::new(now, Arc::new(Config::client()));
        let rng = Rng::new(seed);
        let (ended, told) = ([false; 2], Told::default());
        Self { now, rng, client, server: None, attempt: 0, epoch: 0, ended, told }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0 => self.attach(),
            1 | 2 => self.pass(script.byte()),
            3 => {
                let frame = script.frame();
                self.client.handle_message(self.now, self.attempt, &frame);
            }
            4 => {
                let (epoch, frame) = (self.epoch, script.frame());
                self.on_server(|server, now| server.handle_message(now, epoch, &frame));
            }
            5 => {
                let _ = self.client.send(self.now, Prepared::binary(&script.bytes()));
            }
            6 => {
                let message = Prepared::binary(&script.bytes());
                self.on_server(|server, now| _ = server.send(now, message));
            }
            7 => self.now += Duration::from_millis(script.number().min(1 << 22)),
            8 => self.client.handle_closed(self.attempt, None),
            9 => {
                let epoch = self.epoch;
                self.on_server(|server, now| server.handle_closed(now, epoch));
            }
            10 => self.client.close(Code::NORMAL, "walked", None),
            _ => self.on_server(|server, now| {
                let deadline = Some(now + Duration::from_secs(9));
                server.close(Code::NORMAL, "walked", deadline);
            }),
        }
    }

    /// Opens a socket, with or without a HELLO that arrives.
    fn attach(&mut self) {
        let Some(attempt) = self.client.hello(self.now) else { return };
        self.attempt = attempt.number;
        let hello = Hello::parse(&attempt.hello).expect("our own HELLO is well formed");
        let who = Principal::ANONYMOUS;
        let attach = self.server.as_mut().map_or(Attach::Unknown, |server| {
            server.attach(self.now, &hello, Some(&who), &mut self.rng)
        });
        match attach {
            Attach::Attached(epoch) => self.epoch = epoch,
            Attach::Refused(welcome) => {
                let welcome = Frame::Welcome(welcome).encode();
                self.client.handle_message(self.now, self.attempt, &welcome);
            }
            _ => {
                let config = Arc::new(Config::server());
                let rng = &mut self.rng;
                let (server, _) = ServerSession::accept(self.now, config, &hello, who, true, rng);
                self.epoch = server.epoch();
                self.server = Some(server);
                self.ended[1] = false;
            }
        }
    }

    /// Carries frames between the ends, as they are.
    fn pass(&mut self, frames: u8) {
        for _ in 0..frames % 16 {
            if let Some(server) = &mut self.server
                && let Some(Transmit::Frame(frame)) = server.poll_transmit(self.now, self.epoch)
            {
                self.client.handle_message(self.now, self.attempt, &frame);
            }
            if self.client.has_socket(self.attempt)
                && let Some(Transmit::Frame(frame)) =
                    self.client.poll_transmit(self.now, self.attempt)
            {
                let epoch = self.epoch;
                self.on_server(|server, now| server.handle_message(now, epoch, &frame));
            }
        }
    }

    fn on_server(&mut self, act: impl FnOnce(&mut ServerSession, Instant)) {
        if let Some(server) = &mut self.server {
            act(server, self.now);
        }
    }

    fn check(&mut self) {
        let now = self.now;
        self.client.handle_timeout(now);
        let later = |at: Option<Instant>| at.is_none_or(|at| at > now);
        assert!(later(self.client.poll_timeout()), "the client's deadline is in the past");
        while let Some(event) = self.client.poll_event(now) {
            assert!(!self.ended[0], "{event:?} after the client's end");
            self.ended[0] = matches!(event, Event::Ended(_));
            self.told.hear(&event).expect("the client's application is told what is new");
        }
        assert_eq!(self.ended[0], self.client.is_ended());
        let Some(server) = &mut self.server else { return };
        server.handle_timeout(now);
        assert!(later(server.poll_timeout()), "the server's deadline is in the past");
        while let Some(event) = server.poll_event(now) {
            assert!(!self.ended[1], "{event:?} after the server's end");
            self.ended[1] = matches!(event, Event::Ended(_));
        }
        assert_eq!(self.ended[1], server.is_ended());
    }
}
