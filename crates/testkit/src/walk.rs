//! A random walk through everything an engine may do.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BufMut;
use everwire_proto::{
    Cause, CloseCode, CloseFrame, Closure, Config, Connection, Keepalive, MessageKind, PathFacts,
    PreparedMessage, Role, State,
};

use crate::{agree_on_deflate, keys, start};

/// One thing that an engine or an application may do.
#[derive(Clone, Debug)]
pub enum Op {
    /// Receive these bytes and take at most `take` events.
    Input {
        /// What was received.
        bytes: Vec<u8>,
        /// How many events are taken before the rest is dropped.
        take: u8,
    },
    /// Receive these bytes into the frame's own buffer if there is one.
    Direct {
        /// What was received.
        bytes: Vec<u8>,
        /// How many events are taken before the rest is dropped.
        take: u8,
    },
    /// Let time pass; timers that are due in it fire or, as on a busy machine, fire late.
    Wait {
        /// For how long.
        millis: u32,
        /// Whether timers fire at the end only.
        late: bool,
    },
    /// The socket takes so many bytes and is then full.
    Write(u16),
    /// The socket takes everything.
    Flush,
    /// Send a message of so many bytes.
    Send(u16),
    /// Send a prepared message of so many bytes.
    SendPrepared(u16),
    /// Start a message, send a piece of it, or finish it.
    Stream(u8),
    /// Send a Ping, a Pong or a numbered Ping.
    Control(u8),
    /// Learn that so many bytes are unacknowledged, and sent again so many times.
    Path(u64, u32),
    /// Follow another keepalive, of so many seconds; none of 0.
    SetKeepalive(u8),
    /// Start the closing handshake with this code.
    Close(u16),
    /// Stop reading.
    Pause,
    /// Read again.
    Resume,
    /// The peer ends its stream.
    Eof,
    /// The socket fails.
    IoError,
    /// The socket takes nothing any more.
    WriteError,
    /// Our side cuts the connection.
    Abort,
    /// Our side fails the connection.
    Fail,
    /// Lend an output buffer, or take it back.
    Buffer(bool),
}

/// The most that may wait to be written beyond the send queue's limit: what one operation and one
/// Close add.
const SLACK: usize = 300 << 10;

/// Does all of `ops`, asserts the invariants after each, and returns the closure if there is one.
///
/// Asserted: nothing panics; the state only moves on; after a timeout has been handled none is
/// due; output is bounded; the closure appears with [`State::Closed`] and never changes.
///
/// # Panics
/// If an invariant does not hold.
#[track_caller]
pub fn walk(role: Role, config: &Config, ops: &[Op]) -> Option<Closure> {
    let now = start();
    let mut connection = match role {
        Role::Client => Connection::client(Arc::new(config.clone()), now, keys(7)),
        Role::Server => Connection::server(Arc::new(config.clone()), now, 77),
    };
    agree_on_deflate(&mut connection, config);
    let mut walker = Walker { connection, now, state: State::Open, closure: None };
    for op in ops {
        walker.act(op);
        walker.check();
    }
    walker.closure
}

struct Walker {
    connection: Connection,
    now: Instant,
    state: State,
    closure: Option<Closure>,
}

impl Walker {
    fn act(&mut self, op: &Op) {
        let (connection, now) = (&mut self.connection, self.now);
        // Errors of the caller are part of the walk: they must change nothing.
        match op {
            Op::Input { bytes, take } => {
                let mut bytes = bytes.clone();
                connection.handle_input(now, &mut bytes).take(usize::from(*take)).for_each(drop);
            }
            Op::Direct { bytes, take } => {
                if let Some(mut buffer) = connection.frame_buffer() {
                    let n = bytes.len().min(buffer.remaining_mut());
                    buffer.put_slice(&bytes[..n]);
                    let events = connection.handle_frame_buffer(now, n);
                    events.take(usize::from(*take)).for_each(drop);
                }
            }
            Op::Wait { millis, late } => self.wait(Duration::from_millis((*millis).into()), *late),
            Op::Write(most) => {
                self.write(usize::from(*most));
                self.connection.handle_blocked(now);
            }
            Op::Flush => self.write(usize::MAX),
            Op::Send(len) => drop(connection.send(vec![b'x'; usize::from(*len)])),
            Op::SendPrepared(len) => {
                let message = PreparedMessage::new(vec![b'x'; usize::from(*len)]);
                drop(connection.send_prepared(&message));
            }
            Op::Stream(n) => drop(match n % 3 {
                0 => connection.start_message(MessageKind::Text),
                1 => connection.send_piece(b"piece"),
                _ => connection.finish_message(b"end"),
            }),
            Op::Control(n) => match n % 3 {
                0 => drop(connection.ping(&vec![b'p'; usize::from(*n)])),
                1 => drop(connection.pong(&vec![b'p'; usize::from(*n)])),
                _ if n % 2 == 0 => drop(connection.probe(now)),
                _ => drop(connection.ping_numbered(now)),
            },
            Op::Path(unacked, retransmits) => {
                let _ = connection.wants_path(now);
                let since_ack = Duration::from_millis((*retransmits).into());
                connection.handle_path(now, PathFacts::new(*unacked, *retransmits, since_ack));
                self.fire();
            }
            Op::SetKeepalive(seconds) => {
                let seconds = Duration::from_secs((*seconds).into());
                let policy = (!seconds.is_zero()).then(|| Keepalive::new(seconds, seconds));
                connection.set_keepalive(policy.map(Keepalive::learning));
            }
            Op::Close(code) => {
                if let Some(code) = CloseCode::new(*code) {
                    drop(connection.close(now, code, "walk"));
                }
            }
            Op::Pause => connection.pause(now),
            Op::Resume => connection.resume(now),
            Op::Eof => connection.handle_eof(now),
            Op::IoError => {
                connection.handle_io_error(now, &io::Error::from(io::ErrorKind::ConnectionReset));
            }
            Op::WriteError => {
                let refused = matches!(connection.state(), State::Open | State::Closing);
                connection.handle_write_error(now, &io::ErrorKind::BrokenPipe.into());
                assert_eq!(connection.transmit_len(), 0, "nothing can be written");
                assert!(!refused || connection.send("x").is_err());
            }
            Op::Abort => connection.abort(now, Cause::Aborted),
            Op::Fail => connection.fail(now, Cause::HandlerPanicked),
            Op::Buffer(true) => drop(connection.lend_buffer(Vec::with_capacity(64))),
            Op::Buffer(false) => drop(connection.reclaim_buffer()),
        }
    }

    fn wait(&mut self, by: Duration, late: bool) {
        let target = self.now + by;
        while !late && let Some(timeout) = self.connection.poll_timeout().filter(|&t| t <= target) {
            self.now = timeout.max(self.now);
            self.fire();
        }
        self.now = target;
        self.fire();
    }

    fn fire(&mut self) {
        self.connection.handle_timeout(self.now);
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "invariant 3: still due");
    }

    fn write(&mut self, mut most: usize) {
        while most > 0 && self.connection.transmit_len() > 0 {
            let mut slices = [IoSlice::new(&[]); 3];
            let n = self.connection.transmit(&mut slices);
            let offered: usize = slices[..n].iter().map(|slice| slice.len()).sum();
            assert!(offered > 0 && offered <= self.connection.transmit_len());
            let taken = offered.min(most);
            let before = self.connection.transmit_len();
            self.connection.handle_transmitted(self.now, taken);
            // A late pong may have been added.
            assert!(self.connection.transmit_len() <= before - taken + 140);
            most -= taken;
        }
    }

    fn check(&mut self) {
        let (connection, now) = (&mut self.connection, self.now);
        let state = connection.state();
        assert!(rank(state) >= rank(self.state), "{:?} to {state:?}", self.state);
        self.state = state;
        assert!(connection.transmit_len() <= connection.config().limits.send_queue + SLACK);
        assert!(connection.last_received() <= now, "nothing was received in the future");
        let closure = connection.closure();
        assert_eq!(closure.is_some(), state == State::Closed, "a closure is the end");
        if let Some(closure) = &closure {
            assert_eq!(connection.transmit_len(), 0);
            assert!(closure.sent.as_ref().is_none_or(is_sendable));
            if let Some(before) = &self.closure {
                assert_eq!(closure, before, "invariant 5: the closure never changes");
            }
            self.closure = Some(closure.clone());
        }
        if state != State::Closed {
            let mut slices = [IoSlice::new(&[]); 1];
            assert_eq!(connection.transmit(&mut slices) > 0, connection.transmit_len() > 0);
        }
    }
}

fn is_sendable(frame: &CloseFrame) -> bool {
    frame.code == CloseCode::NO_STATUS_RCVD || frame.code.is_sendable()
}

fn rank(state: State) -> u8 {
    match state {
        State::Open => 0,
        State::Closing => 1,
        State::Finishing => 2,
        State::Draining => 3,
        State::Closed => 4,
        state => unreachable!("a state that the testkit does not know: {state:?}"),
    }
}
