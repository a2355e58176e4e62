//! A client and a server with one session, over a path of so many bytes a second, in virtual time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_session::{
    Attach, ClientSession, Config, Event, Hello, Prepared, Principal, ServerSession, Transmit,
};

use super::wire::{Item, Wire, whole};
use crate::{Rng, start};

/// How long a byte takes.
const LATENCY: Duration = Duration::from_millis(20);
/// How long it takes to open a connection.
const CONNECT: Duration = Duration::from_millis(60);
/// Bytes of a WebSocket frame beside its payload.
const OVERHEAD: u64 = 14;

/// A client and a server with one session. Each socket carries so many bytes a second in each
/// direction. The client opens another one, soon, whenever it is told to.
#[derive(Debug)]
pub struct SlowPath {
    /// The time.
    pub now: Instant,
    /// The client's end.
    pub client: ClientSession,
    /// The server's end.
    pub server: ServerSession,
    /// How often the client's session was resumed.
    pub resumed: u32,
    /// What the client's application was told but messages, and when that was since the beginning.
    pub told: Vec<(Duration, Event)>,
    /// What the server's application received, in bytes a message.
    pub up: Vec<usize>,
    /// What the client's application received, in bytes a message.
    pub down: Vec<usize>,
    /// Whether the client knows of the bytes of a message that is still coming. A browser does not tell
    /// its page.
    pub client_sees_bytes: bool,
    /// Whether no new connection is opened.
    pub is_closed: bool,
    began: Instant,
    rate: u64,
    wires: Wires,
    attempt: u64,
    epoch: u64,
    connect_at: Option<Instant>,
    rng: Rng,
}

#[derive(Debug)]
struct Wires {
    up: Wire,
    down: Wire,
    /// The server has not heard the HELLO.
    is_new: bool,
    /// It has, and has not closed the socket.
    server_open: bool,
}

impl SlowPath {
    /// Returns both ends, attached over a path of so many bytes a second.
    ///
    /// # Panics
    /// If our own HELLO is not well formed.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        let (mut client, mut server) = (Config::client(), Config::server());
        for config in [&mut client, &mut server] {
            config.buffer.bytes = 4 << 20;
        }
        let (now, mut rng) = (start(), Rng::new(1));
        let mut client = ClientSession::new(now, Arc::new(client));
        let attempt = client.hello(now).expect("a first attempt");
        let hello = Hello::parse(&attempt.hello).expect("our own");
        let (config, who) = (Arc::new(server), Principal::new("alice"));
        let (server, _) = ServerSession::accept(now, config, &hello, who, true, &mut rng);
        let mut this = Self {
            now,
            client,
            server,
            resumed: 0,
            told: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            client_sees_bytes: false,
            is_closed: false,
            began: now,
            rate,
            wires: Wires::new(rate, false),
            attempt: attempt.number,
            epoch: 1,
            connect_at: None,
            rng,
        };
        this.run(Duration::from_secs(1));
        this.told.clear();
        this
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.pump();
        for step in 0.. {
            let Some(at) = self.next_at().filter(|at| *at <= until) else { break };
            assert!(step < 100_000, "both ends are busy without end: {self:?}");
            self.now = at.max(self.now);
            self.step();
        }
        self.now = until;
    }

    /// Lets the client's application send so many bytes.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn client_sends(&mut self, size: usize) {
        let message = Prepared::binary(&vec![0; size]);
        self.client.send(self.now, message).expect("there is room");
    }

    /// Lets the server's application send so many bytes.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn server_sends(&mut self, size: usize) {
        let message = Prepared::binary(&vec![0; size]);
        self.server.send(self.now, message).expect("there is room");
    }

    /// Keeps all that is on its way on the present socket, and is sent on it, for later; or lets it arrive.
    pub fn hold(&mut self, holds: bool) {
        self.wires.up.hold(holds);
        self.wires.down.hold(holds);
    }

    /// Returns when the client's application was told what `is` says, since the beginning of all.
    pub fn times(&self, is: impl Fn(&Event) -> bool) -> Vec<Duration> {
        self.told.iter().filter(|(_, event)| is(event)).map(|(at, _)| *at).collect()
    }

    /// Returns the time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.duration_since(self.began)
    }

    fn next_at(&self) -> Option<Instant> {
        let wires = [self.wires.up.next_at(), self.wires.down.next_at()];
        let ends = [self.client.poll_timeout(), self.server.poll_timeout(), self.connect_at];
        wires.into_iter().chain(ends).flatten().min()
    }

    fn step(&mut self) {
        while let Some(item) = self.wires.up.take(self.now) {
            match item {
                Item::Message(hello) if self.wires.is_new => self.greet(&hello),
                Item::Message(frame) => self.server.handle_message(self.now, self.epoch, &frame),
                Item::Closed(_) => self.server.handle_closed(self.now, self.epoch),
            }
        }
        while let Some(item) = self.wires.down.take(self.now) {
            match item {
                Item::Message(frame) => {
                    self.client.handle_message(self.now, self.attempt, &frame);
                }
                Item::Closed(code) => {
                    self.client.handle_closed(self.attempt, code);
                    self.connect_at.get_or_insert(self.now + CONNECT);
                }
            }
        }
        if self.wires.down.is_busy(self.now) && self.client_sees_bytes {
            self.client.handle_bytes(self.now, self.attempt);
        }
        if self.wires.up.is_busy(self.now) {
            self.server.handle_bytes(self.now, self.epoch);
        }
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        if self.connect_at.take_if(|at| *at <= self.now).is_some() {
            self.connect();
        }
        self.pump();
    }

    /// Attaches the socket whose HELLO this is.
    fn greet(&mut self, hello: &Bytes) {
        let hello = Hello::parse(hello).expect("our own");
        let who = Principal::new("alice");
        match self.server.attach(self.now, &hello, Some(&who), &mut self.rng) {
            Attach::Attached(epoch) => {
                self.epoch = epoch;
                (self.wires.is_new, self.wires.server_open) = (false, true);
            }
            refused => panic!("{refused:?}"),
        }
    }

    /// Opens another socket, unless none is wanted any more.
    fn connect(&mut self) {
        if self.client.is_attached() && !self.client.is_suspected() {
            return;
        }
        if self.is_closed {
            self.connect_at = Some(self.now + CONNECT);
            return;
        }
        let Some(attempt) = self.client.hello(self.now) else { return };
        self.attempt = attempt.number;
        // What is still on the old one is ignored: by the server from the HELLO on.
        self.wires = Wires::new(self.rate, true);
        self.wires.up.send(self.now, Item::Message(attempt.hello), OVERHEAD);
    }

    /// Tells the applications, and puts on the wires what both ends say.
    fn pump(&mut self) {
        while let Some(event) = self.client.poll_event(self.now) {
            if let Event::Message(message) = event {
                self.down.push(message.payload.len());
                continue;
            }
            self.resumed += u32::from(matches!(event, Event::Resumed { .. }));
            if matches!(event, Event::Suspected | Event::Detached) {
                self.connect_at.get_or_insert(self.now + CONNECT);
            }
            self.told.push((self.elapsed(), event));
        }
        while let Some(event) = self.server.poll_event(self.now) {
            if let Event::Message(message) = event {
                self.up.push(message.payload.len());
            }
        }
        while self.client.has_socket(self.attempt)
            && let Some(said) = whole(self.client.poll_message(self.now, self.attempt))
                .or_else(|| self.client.poll_transmit(self.now, self.attempt))
        {
            let is_over = matches!(said, Transmit::Close(_));
            self.wires.up.send(self.now, said.into(), OVERHEAD);
            if is_over {
                self.connect_at.get_or_insert(self.now + CONNECT);
            }
        }
        while self.wires.server_open
            && let Some(said) = self.server.poll_transmit(self.now, self.epoch)
        {
            self.wires.server_open = !matches!(said, Transmit::Close(_));
            self.wires.down.send(self.now, said.into(), OVERHEAD);
        }
    }
}

impl Wires {
    fn new(rate: u64, is_new: bool) -> Self {
        let [up, down] = [(); 2].map(|()| Wire::slow(LATENCY, rate));
        Self { up, down, is_new, server_open: !is_new }
    }
}
