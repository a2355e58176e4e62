//! Two ends, a wire and a clock.

use std::{
    io::{ErrorKind, IoSlice},
    sync::Arc,
    time::{Duration, Instant},
};

use everwire_proto::{CloseCode, Closure, Config, Connection, Message, Role, SendError, State};

use crate::{Link, Seen, agree_on_deflate, keys, start};

/// A client and a server that talk over an in-memory wire, and the clock they share.
///
/// Nothing moves until [`step`](Self::step), [`drive`](Self::drive) or [`advance`](Self::advance).
///
/// # Examples
/// ```
/// use everwire_testkit::{Pair, Seen};
///
/// let mut pair = Pair::new();
/// pair.client_send("hello");
/// pair.drive();
/// assert_eq!(pair.server_events(), [Seen::text("hello")]);
/// ```
#[derive(Debug)]
pub struct Pair {
    /// The client's end.
    pub client: End,
    /// The server's end.
    pub server: End,
    /// The wire from the server to the client.
    pub to_client: Link,
    /// The wire from the client to the server.
    pub to_server: Link,
    started: Instant,
    now: Instant,
    knows_path: bool,
}

/// One end of a [`Pair`].
#[derive(Debug)]
pub struct End {
    /// The connection itself.
    pub connection: Connection,
    events: Vec<Seen>,
    /// Whether the socket was dropped.
    dropped: bool,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Returns two ends with the default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    /// Returns two ends with these configurations. They compress if both ask for it.
    #[must_use]
    pub fn with(client: Config, server: Config) -> Self {
        let now = start();
        let end = |mut connection, peer: &Config| {
            agree_on_deflate(&mut connection, peer);
            End { connection, events: Vec::new(), dropped: false }
        };
        let (client, server) = (Arc::new(client), Arc::new(server));
        Self {
            client: end(Connection::client(client.clone(), now, keys(1)), &server),
            server: end(Connection::server(server, now, 0), &client),
            to_client: Link::default(),
            to_server: Link::default(),
            started: now,
            now,
            knows_path: false,
        }
    }

    /// Returns what the clock shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns how long the test has lasted on its clock.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// Sends a message from the client.
    ///
    /// # Panics
    /// If the client refuses to send.
    #[track_caller]
    pub fn client_send<'a>(&mut self, message: impl Into<Message<'a>>) {
        self.client.connection.send(message).expect("the client may send");
    }

    /// Sends a message from the server.
    ///
    /// # Panics
    /// If the server refuses to send.
    #[track_caller]
    pub fn server_send<'a>(&mut self, message: impl Into<Message<'a>>) {
        self.server.connection.send(message).expect("the server may send");
    }

    /// Starts the closing handshake from one end.
    ///
    /// # Errors
    /// As [`Connection::close`].
    pub fn close(&mut self, role: Role, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let now = self.now;
        self.end(role).connection.close(now, code, reason)
    }

    /// Takes what the client has received since the last call.
    pub fn client_events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.client.events)
    }

    /// Takes what the server has received since the last call.
    pub fn server_events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.server.events)
    }

    /// Returns how the client's end has ended.
    ///
    /// # Panics
    /// If it has not.
    #[must_use]
    #[track_caller]
    pub fn client_closure(&self) -> Closure {
        self.client.connection.closure().expect("the client's end is closed")
    }

    /// Returns how the server's end has ended.
    ///
    /// # Panics
    /// If it has not.
    #[must_use]
    #[track_caller]
    pub fn server_closure(&self) -> Closure {
        self.server.connection.closure().expect("the server's end is closed")
    }

    /// Returns the end of this role.
    pub fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Lets the client write and the server read, then the other way round; returns whether
    /// anything moved.
    pub fn step(&mut self) -> bool {
        let now = self.now;
        if self.to_client.is_reset() || self.to_server.is_reset() {
            self.to_client.reset();
            self.to_server.reset();
        }
        let mut moved = self.client.write(now, &mut self.to_server);
        moved |= self.server.read(now, &mut self.to_server);
        moved |= self.server.write(now, &mut self.to_client);
        moved |= self.client.read(now, &mut self.to_client);
        moved
    }

    /// Steps until nothing moves.
    ///
    /// # Panics
    /// If the two ends never come to rest.
    #[track_caller]
    pub fn drive(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the two ends do not come to rest");
    }

    /// Lets both ends know what the system knows of the path.
    pub fn know_path(&mut self) {
        self.knows_path = true;
    }

    /// Resets the connection: both ends get what is on its way, and then a failure.
    pub fn reset(&mut self) {
        self.to_client.reset();
        self.to_server.reset();
        self.drive();
    }

    /// Moves the clock, firing every timer on the way at its time, and drives after each.
    ///
    /// # Panics
    /// If a timer that has fired is still due.
    #[track_caller]
    pub fn advance(&mut self, by: Duration) {
        self.drive();
        let target = self.now + by;
        loop {
            let ends = [&self.client, &self.server];
            let timeouts = ends.into_iter().filter_map(|end| end.connection.poll_timeout());
            let links = [&self.to_client, &self.to_server];
            let arrivals = links.into_iter().filter_map(|link| link.next_arrival(self.now));
            let next = timeouts.chain(arrivals).filter(|&next| next <= target).min();
            let Some(next) = next else { break };
            self.now = next.max(self.now);
            // What has arrived is read before a deadline is judged, as a good engine does.
            self.drive();
            self.client.fire(self.now, &self.to_server, self.knows_path);
            self.server.fire(self.now, &self.to_client, self.knows_path);
            self.drive();
        }
        self.now = target;
    }
}

impl End {
    /// Takes events that were seen and not yet taken.
    pub fn take_events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.events)
    }

    fn write(&mut self, now: Instant, link: &mut Link) -> bool {
        if self.dropped {
            return false;
        }
        let mut moved = false;
        while self.connection.transmit_len() > 0 {
            let mut slices = [IoSlice::new(&[]); 4];
            let n = self.connection.transmit(&mut slices);
            let bytes = slices[..n].iter().flat_map(|slice| slice.iter().copied());
            let bytes: Vec<u8> = bytes.take(link.free()).collect();
            let Some(taken) = link.write(now, &bytes) else {
                self.connection.handle_write_error(now, &ErrorKind::BrokenPipe.into());
                moved = true;
                break;
            };
            if taken > 0 {
                self.connection.handle_transmitted(now, taken);
                moved = true;
            }
            if self.connection.transmit_len() > 0 && link.free() == 0 {
                self.connection.handle_blocked(now);
                break;
            }
        }
        if self.connection.wants_shutdown() {
            self.connection.handle_shutdown(now);
            link.end(now);
            moved = true;
        }
        if self.connection.state() == State::Closed {
            self.dropped = true;
            link.end(now);
            moved = true;
        }
        moved
    }

    fn read(&mut self, now: Instant, link: &mut Link) -> bool {
        if self.dropped || self.connection.is_paused() {
            return false;
        }
        let mut input = link.read(now);
        if !input.is_empty() || self.connection.has_unread() {
            let events = self.connection.handle_input(now, &mut input);
            self.events.extend(events.map(Seen::from));
            return true;
        }
        let eof = link.read_eof(now);
        if eof {
            self.connection.handle_eof(now);
        }
        let reset = link.read_reset();
        if reset {
            self.connection.handle_io_error(now, &ErrorKind::ConnectionReset.into());
        }
        eof || reset
    }

    #[track_caller]
    fn fire(&mut self, now: Instant, out: &Link, knows_path: bool) {
        if knows_path && self.connection.wants_path(now) {
            self.connection.handle_path(now, out.facts(now));
        }
        if self.connection.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.connection.handle_timeout(now);
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > now), "a timer that has fired is still due");
        }
    }
}
