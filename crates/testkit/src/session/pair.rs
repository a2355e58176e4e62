//! A client and a server with one session, whose frames are carried by hand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Rng, start};
use bytes::Bytes;
use everwire_session::{
    Attach, ClientSession, Config, Event, Frame, Hello, Prepared, Principal, Role, ServerSession,
    Transmit,
};

/// A client and a server with one session, whose frames are carried by hand.
#[derive(Debug)]
pub struct Pair {
    /// The time.
    pub now: Instant,
    /// The client's end.
    pub client: ClientSession,
    /// The server's end.
    pub server: ServerSession,
    /// The client's name of the socket.
    pub attempt: u64,
    /// The server's name of the socket.
    pub epoch: u64,
    config: Arc<Config>,
    rng: Rng,
}

impl Pair {
    /// Returns both ends, attached and with nothing left to say.
    #[expect(clippy::new_without_default, reason = "a test says what it makes")]
    pub fn new() -> Self {
        Self::with(Config::client(), Config::server())
    }

    /// Returns both ends with these settings, attached and with nothing left to say.
    pub fn with(client: Config, server: Config) -> Self {
        Self::seeded(client, server, 1)
    }

    /// Returns both ends, with a name and tokens from this seed.
    ///
    /// # Panics
    /// If our own HELLO is not well formed.
    pub fn seeded(client: Config, server: Config, seed: u64) -> Self {
        let now = start();
        let (mut rng, config) = (Rng::new(seed), Arc::new(server));
        let mut client = ClientSession::new(now, Arc::new(client));
        let attempt = client.hello(now).expect("a first attempt");
        let hello = Hello::parse(&attempt.hello).expect("our own");
        let who = Principal::new("alice");
        let (server, _) = ServerSession::accept(now, config.clone(), &hello, who, true, &mut rng);
        let mut this = Self { now, client, server, attempt: attempt.number, epoch: 1, config, rng };
        this.pass();
        this.client_events();
        this.server_events();
        this
    }

    /// Carries frames until nothing is left to say, and returns them.
    ///
    /// # Panics
    /// If a frame of ours is not well formed.
    pub fn pass(&mut self) -> Vec<(Role, Frame)> {
        let mut passed = Vec::new();
        loop {
            let before = passed.len();
            for frame in self.server_says() {
                self.client.handle_message(self.now, self.attempt, &frame);
                passed.push((Role::Server, Frame::parse(Role::Server, &frame).expect("ours")));
            }
            for frame in self.client_says() {
                self.server.handle_message(self.now, self.epoch, &frame);
                passed.push((Role::Client, Frame::parse(Role::Client, &frame).expect("ours")));
            }
            if passed.len() == before {
                return passed;
            }
        }
    }

    /// Returns what the client has to say, which nobody carries.
    pub fn client_says(&mut self) -> Vec<Bytes> {
        let mut said = Vec::new();
        while self.client.has_socket(self.attempt)
            && let Some(Transmit::Frame(frame)) = self.client.poll_transmit(self.now, self.attempt)
        {
            said.push(frame);
        }
        said
    }

    /// Returns what the server has to say, which nobody carries.
    pub fn server_says(&mut self) -> Vec<Bytes> {
        let mut said = Vec::new();
        while let Some(Transmit::Frame(frame)) = self.server.poll_transmit(self.now, self.epoch) {
            said.push(frame);
        }
        said
    }

    /// Breaks the socket; both ends notice.
    pub fn cut(&mut self) {
        self.client.handle_closed(self.attempt, None);
        self.server.handle_closed(self.now, self.epoch);
    }

    /// Carries a HELLO on a new socket.
    ///
    /// # Panics
    /// If the session has ended, or the server refuses.
    pub fn hello(&mut self) -> Attach {
        let attempt = self.client.hello(self.now).expect("it has not ended");
        self.attempt = attempt.number;
        let hello = Hello::parse(&attempt.hello).expect("our own");
        let who = Principal::new("alice");
        let attach = self.server.attach(self.now, &hello, Some(&who), &mut self.rng);
        match &attach {
            Attach::Attached(epoch) => self.epoch = *epoch,
            Attach::Unknown => {
                let (config, rng) = (self.config.clone(), &mut self.rng);
                (self.server, _) = ServerSession::accept(self.now, config, &hello, who, true, rng);
                self.epoch = 1;
            }
            refused => panic!("{refused:?}"),
        }
        attach
    }

    /// Lets time pass for both, on a path that carries nothing.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let next = |pair: &Self| {
            pair.client.poll_timeout().into_iter().chain(pair.server.poll_timeout()).min()
        };
        while let Some(at) = next(self).filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.client_says();
            self.server_says();
        }
        self.now = until;
    }

    /// Lets the client's application send.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn client_sends(&mut self, text: &str) {
        self.client.send(self.now, Prepared::text(text)).expect("there is room");
    }

    /// Lets the server's application send.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn server_sends(&mut self, text: &str) {
        self.server.send(self.now, Prepared::text(text)).expect("there is room");
    }

    /// Takes what the client's application is told.
    pub fn client_events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event(self.now)).collect()
    }

    /// Takes what the server's application is told.
    pub fn server_events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event(self.now)).collect()
    }
}

/// Returns the texts among events.
#[must_use]
pub fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(text).collect()
}

fn text(event: &Event) -> Option<&str> {
    match event {
        Event::Message(message) => message.as_text(),
        _ => None,
    }
}
