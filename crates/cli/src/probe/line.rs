//! An open connection under examination: a stream and the protocol, driven by hand, so that nothing
//! of what the peer does is smoothed over.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use everwire::dial::DialStream;
use everwire_proto::{
    Cause, CloseCode, CloseFrame, Config, Connection, Delivery, Direction, Event, FrameLine,
    Message, Observer, Opcode, SendError, State,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout, timeout_at},
};

use super::{
    echo::{Echo, Likeness},
    setup::random,
    walk::Walk,
};

/// How much is read at once.
const BUFFER: usize = 64 << 10;

/// Room for what waits to be sent: the largest message that can be asked for, and Pings.
const QUEUE: usize = 512 << 20;

/// Time to tell a peer why it failed, or to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    /// A whole message, and how it is like the one that was [expected](Line::expect).
    Message(Likeness),
    Ping,
    Pong(Vec<u8>),
    /// The peer's Close.
    Close(CloseFrame),
    /// The peer broke the protocol.
    Violation(Cause),
    /// The connection is over.
    Ended(End),
    /// The time is up.
    Silence,
}

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
    Failed(String),
}

/// The connection.
pub(super) struct Line {
    io: DialStream,
    proto: Connection,
    buffer: Vec<u8>,
    heard: VecDeque<Heard>,
    end: Option<End>,
    cannot_write: bool,
    expected: Echo,
    close: Arc<Mutex<Option<Vec<u8>>>>,
    is_decided: bool,
    last_progress: Instant,
    walk: Walk,
}

impl Line {
    /// Takes a stream after the opening handshake, and what came behind it.
    pub(super) fn new(io: DialStream, early: Vec<u8>) -> Self {
        let mut config = Config::default();
        // The probe has deadlines of its own and wants to see everything; nothing is kept.
        config.keepalive = None;
        config.delivery = Delivery::Pieces;
        config.limits.message = u64::MAX / 2;
        config.limits.fragments = u32::MAX;
        config.limits.control_rate = None;
        config.limits.send_queue = QUEUE;
        let mut proto =
            Connection::client(Arc::new(config), now(), Box::new(random as fn(&mut [u8])));
        let close = Arc::new(Mutex::new(None));
        proto.observe(Box::new(Closes(close.clone())));
        let mut line = Self {
            io,
            proto,
            buffer: vec![0; BUFFER],
            heard: VecDeque::new(),
            end: None,
            cannot_write: false,
            expected: Echo::default(),
            close,
            is_decided: false,
            last_progress: Instant::now(),
            walk: Walk::default(),
        };
        line.take(early);
        line
    }

    /// Queues a message. Nothing is queued once the connection closes.
    pub(super) fn send(&mut self, text: &Bytes) {
        let text = std::str::from_utf8(text).expect("it was made of letters").to_owned();
        let queued = self.proto.send(Message::text(text));
        self.note(queued);
    }

    /// Queues a Ping.
    pub(super) fn ping(&mut self, payload: &[u8]) {
        let queued = self.proto.ping(payload);
        self.note(queued);
    }

    /// Ends the examination of this connection if something could not be queued: what is never sent
    /// must not be taken for something that is never answered.
    fn note(&mut self, queued: Result<(), SendError>) {
        match queued {
            // The peer has said Close: that is heard next.
            Ok(()) | Err(SendError::Closed) => {}
            Err(error) => {
                self.end.get_or_insert(End::Failed(format!("the probe cannot send: {error}")));
            }
        }
    }

    /// Queues a Close.
    pub(super) fn close(&mut self, code: CloseCode) {
        self.proto.close(now(), code, "").expect("the code may be sent, and no reason is too long");
    }

    /// Tells messages that equal this one from others, from now on.
    pub(super) fn expect(&mut self, expected: Bytes) {
        self.expected = Echo::new(expected);
    }

    /// Returns when bytes last went either way.
    pub(super) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Returns how many bytes came after the peer's Close.
    pub(super) fn after_close(&self) -> u64 {
        self.walk.after_close()
    }

    /// Says for people, as the end of a sentence, which frame has begun and not ended; else nothing.
    pub(super) fn unfinished(&self) -> String {
        self.walk.unfinished().map(|frame| format!("; {frame}")).unwrap_or_default()
    }

    /// Returns the code of the peer's Close as it was on the wire, legal or not.
    pub(super) fn raw_close_code(&self) -> Option<u16> {
        let payload = self.close.lock().unwrap_or_else(PoisonError::into_inner);
        payload.as_ref()?.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// Writes what is queued and waits for something to be heard, until then at the latest.
    pub(super) async fn next(&mut self, until: Instant) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if self.is_violated() {
                return self.violation().await;
            }
            if let Some(end) = &self.end {
                return Heard::Ended(end.clone());
            }
            // A flood must not outlast the deadline.
            if Instant::now() >= until {
                return Heard::Silence;
            }
            match timeout_at(until, poll_fn(|cx| self.poll_step(cx))).await {
                Err(_) => return Heard::Silence,
                Ok(Ok(0)) => self.end = Some(End::Fin),
                Ok(Ok(n)) => self.take_read(n),
                Ok(Err(error)) => self.end = Some(End::of(&error)),
            }
        }
    }

    /// Closes politely, for as long as that takes a moment.
    pub(super) async fn leave(mut self) {
        self.close(CloseCode::NORMAL_CLOSURE);
        let until = Instant::now() + GOODBYE;
        while !matches!(
            self.next(until).await,
            Heard::Ended(_) | Heard::Silence | Heard::Violation(_)
        ) {}
    }

    /// Writes as much as goes, and reads once.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_write(cx);
        let mut buf = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => Poll::Ready(result.map(|()| buf.filled().len())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        let mut wrote = false;
        while self.proto.transmit_len() > 0 && !self.cannot_write {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = self.proto.transmit(&mut slices);
            match Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..n]) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) if n > 0 => {
                    wrote = true;
                    self.proto.handle_transmitted(now(), n);
                    self.last_progress = Instant::now();
                }
                // What the peer said before may still be read.
                Poll::Ready(_) => self.cannot_write = true,
            }
        }
        if wrote || self.proto.transmit_len() == 0 {
            // TLS keeps what the socket did not take; the next poll goes on with it.
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
    }

    fn take_read(&mut self, n: usize) {
        self.last_progress = Instant::now();
        let bytes = self.buffer[..n].to_vec();
        self.take(bytes);
    }

    fn take(&mut self, mut bytes: Vec<u8>) {
        self.walk.take(&bytes);
        if self.is_decided {
            return;
        }
        for event in self.proto.handle_input(now(), &mut bytes) {
            let heard = match event {
                Event::Ping(_) => Heard::Ping,
                Event::Pong(payload) => Heard::Pong(payload.to_vec()),
                Event::Piece(piece) => {
                    let likeness = self.expected.take(&piece.payload, piece.first, piece.last);
                    match likeness {
                        Some(likeness) => Heard::Message(likeness),
                        None => continue,
                    }
                }
                Event::Close => {
                    self.is_decided = true;
                    let payload = self.close.lock().unwrap_or_else(PoisonError::into_inner);
                    match CloseFrame::parse(payload.as_deref().unwrap_or_default()) {
                        Ok(close) => Heard::Close(close),
                        Err(error) => Heard::Violation(Cause::Protocol(error)),
                    }
                }
                _ => continue,
            };
            self.heard.push_back(heard);
        }
    }

    /// Returns whether the protocol has failed since this was last asked.
    fn is_violated(&self) -> bool {
        !self.is_decided && !matches!(self.proto.state(), State::Open | State::Closing)
    }

    /// Tells the peer, if it can still read, and returns what it did.
    async fn violation(&mut self) -> Heard {
        self.is_decided = true;
        let last_words = self.proto.transmit_to_vec(now());
        let goodbye = async {
            self.io.write_all(&last_words).await?;
            self.io.flush().await
        };
        let _ = timeout(GOODBYE, goodbye).await;
        self.proto.abort(now(), Cause::Aborted);
        let closure = self.proto.closure().expect("it was aborted");
        Heard::Violation(closure.cause)
    }
}

impl End {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            // An end of TLS without a goodbye: so many servers end that for TCP it is as good.
            io::ErrorKind::UnexpectedEof => Self::Fin,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Reset,
            _ => Self::Failed(error.to_string()),
        }
    }

    /// Says it for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Fin => "the end of the stream (FIN), without a Close frame".to_owned(),
            Self::Reset => "a reset (RST), without a Close frame".to_owned(),
            Self::Failed(error) => crate::connect::escape(error),
        }
    }
}

/// Keeps the payload of the peer's Close, also of one that is against the rules.
struct Closes(Arc<Mutex<Option<Vec<u8>>>>);

impl Observer for Closes {
    fn handle_frame(&mut self, frame: FrameLine<'_>) {
        if frame.direction == Direction::Received && frame.header.opcode == Opcode::Close {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame.payload.to_vec());
        }
    }
}

/// The clock of the protocol.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
