//! One connection against a script.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everwire_proto::{Cause, Closure, Config, Connection, Role, State};

use crate::{Frame, Seen, SentFrame, agree_on_deflate, keys, parse_frames, start};

/// One connection whose peer is the test: it receives [`Frame`]s, or any bytes, and its answers are
/// read as frames. Its socket takes everything unless the test does not
/// [`flush`](Self::flush).
///
/// # Examples
/// ```
/// use everwire_testkit::{Frame, Seen, Solo};
///
/// let mut server = Solo::server();
/// server.receive([Frame::ping("a"), Frame::text("b")]);
/// assert_eq!(server.events(), [Seen::ping(b"a"), Seen::text("b")]);
/// assert_eq!(server.sent()[0].payload, b"a");
/// ```
#[derive(Debug)]
pub struct Solo {
    /// The connection.
    pub connection: Connection,
    /// What the clock shows.
    pub now: Instant,
    events: Vec<Seen>,
    output: Vec<u8>,
}

impl Solo {
    /// Returns a server with the default configuration.
    #[must_use]
    pub fn server() -> Self {
        Self::new(Role::Server, Config::default())
    }

    /// Returns a client with the default configuration.
    #[must_use]
    pub fn client() -> Self {
        Self::new(Role::Client, Config::default())
    }

    /// Returns a connection of this role and configuration; if it asks for compression, so does the
    /// peer.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let (now, config) = (start(), Arc::new(config));
        let mut connection = match role {
            Role::Client => Connection::client(config.clone(), now, keys(1)),
            Role::Server => Connection::server(config.clone(), now, 0),
        };
        agree_on_deflate(&mut connection, &config);
        Self { connection, now, events: Vec::new(), output: Vec::new() }
    }

    /// Returns the role of the peer that the test plays.
    #[must_use]
    pub fn peer(&self) -> Role {
        match self.connection.role() {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    /// Receives these frames in one read.
    pub fn receive(&mut self, frames: impl IntoIterator<Item = Frame>) -> &mut Self {
        let peer = self.peer();
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes(peer)).collect();
        self.receive_bytes(&bytes)
    }

    /// Receives these bytes in one read.
    pub fn receive_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let mut input = bytes.to_vec();
        self.events.extend(self.connection.handle_input(self.now, &mut input).map(Seen::from));
        self
    }

    /// Receives the end of the stream.
    pub fn eof(&mut self) -> &mut Self {
        self.connection.handle_eof(self.now);
        self
    }

    /// Lets the socket take everything that waits.
    pub fn flush(&mut self) -> &mut Self {
        let output = self.connection.transmit_to_vec(self.now);
        self.output.extend_from_slice(&output);
        self
    }

    /// Moves the clock, firing every timer at its time; the socket takes everything.
    ///
    /// # Panics
    /// If a timer that has fired is still due.
    #[track_caller]
    pub fn advance(&mut self, by: Duration) -> &mut Self {
        let target = self.now + by;
        self.flush();
        while let Some(timeout) = self.connection.poll_timeout().filter(|&t| t <= target) {
            self.now = timeout.max(self.now);
            self.fire();
            self.flush();
        }
        self.now = target;
        self
    }

    /// Moves the clock like [`advance`](Self::advance), with a socket that takes nothing.
    ///
    /// # Panics
    /// If a timer that has fired is still due.
    #[track_caller]
    pub fn advance_blocked(&mut self, by: Duration) -> &mut Self {
        let target = self.now + by;
        self.connection.handle_blocked(self.now);
        while let Some(timeout) = self.connection.poll_timeout().filter(|&t| t <= target) {
            self.now = timeout.max(self.now);
            self.fire();
            self.connection.handle_blocked(self.now);
        }
        self.now = target;
        self
    }

    #[track_caller]
    fn fire(&mut self) {
        self.connection.handle_timeout(self.now);
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "a timer that has fired is still due");
    }

    /// Takes what was received since the last call.
    pub fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.events)
    }

    /// Takes the frames that were sent since the last call; the socket takes everything.
    #[track_caller]
    pub fn sent(&mut self) -> Vec<SentFrame> {
        self.flush();
        parse_frames(&std::mem::take(&mut self.output), self.connection.role())
    }

    /// Lets the connection come to its end, the peer ending its stream, and returns the closure.
    ///
    /// # Panics
    /// If the connection is still open, or never comes to its end.
    #[track_caller]
    pub fn finish(&mut self) -> Closure {
        let state = self.connection.state();
        assert!(
            !matches!(state, State::Open | State::Closing),
            "the end is not decided: {state:?}"
        );
        self.flush();
        self.connection.handle_eof(self.now);
        self.closure()
    }

    /// Returns how the connection has ended.
    ///
    /// # Panics
    /// If it has not.
    #[must_use]
    #[track_caller]
    pub fn closure(&self) -> Closure {
        self.connection.closure().expect("the connection has ended")
    }

    /// Returns the cause of the closure, as [`finish`](Self::finish) does.
    #[track_caller]
    pub fn finish_cause(&mut self) -> Cause {
        self.finish().cause
    }
}
