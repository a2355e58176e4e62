//! The connection that carries a client's session.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::{CloseCode, Closure, Compress, Message, Payload, SendError};
use everwire_session::{Code, Transmit};
use futures_util::FutureExt;

use super::link::Link;
use crate::{Receiver, Sender, WebSocket, shared::Decided};

/// How long a server has to close a connection that it refused or ended.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Messages that are taken from a connection before it is looked what follows from them.
const BATCH: usize = 64;

/// A connection, and the attempt that attached it or is to.
pub(super) struct Carrier {
    pub(super) attempt: u64,
    sender: Sender,
    receiver: Receiver,
    /// A frame that found no room.
    unsent: Option<Bytes>,
    /// It is being closed by us.
    pub(super) is_closing: bool,
}

/// What came of waiting for a connection.
pub(super) enum Heard {
    Messages,
    /// It may have room again.
    Room,
    /// Nothing more comes.
    Decided(Decided),
    Closed(Arc<Closure>),
}

impl Carrier {
    pub(super) fn new(ws: WebSocket, attempt: u64) -> Self {
        let (sender, receiver) = ws.split();
        Self { attempt, sender, receiver, unsent: None, is_closing: false }
    }

    /// Sends the HELLO as the first message.
    pub(super) fn say(&mut self, hello: Bytes) {
        self.push(hello);
    }

    /// Sends what the session has to say; returns whether it asked for the connection to be closed.
    pub(super) fn transmit(&mut self, link: &Link) -> bool {
        while !self.is_closing {
            if let Some(frame) = self.unsent.take() {
                self.push(frame);
                if self.unsent.is_some() {
                    return false;
                }
            }
            match link.poll_transmit(self.attempt) {
                None => return false,
                Some(Transmit::Frame(frame)) => self.unsent = Some(frame),
                Some(Transmit::Close(code)) => {
                    self.close(code);
                    return true;
                }
            }
        }
        false
    }

    /// Waits for messages, and hands them to the session; for room, if it is wanted; for the end.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn hear(&mut self, link: &Link) -> Heard {
        let (sender, receiver) = (&self.sender, &mut self.receiver);
        let wants_room = self.unsent.is_some() && !self.is_closing;
        let room = async {
            match wants_room {
                true => drop(sender.reserve().await),
                false => pending().await,
            }
        };
        let message = tokio::select! {
            message = receiver.recv_or_end() => message,
            () = room => return Heard::Room,
        };
        let mut message = match message {
            Some(Ok(message)) => message,
            Some(Err(decided)) => return Heard::Decided(decided),
            None => return Heard::Closed(self.receiver.closed().await),
        };
        for _ in 0..BATCH {
            link.receive(self.attempt, message);
            match self.receiver.recv().now_or_never() {
                Some(Some(next)) => message = next,
                _ => return Heard::Messages,
            }
        }
        link.receive(self.attempt, message);
        Heard::Messages
    }

    /// Returns when the last bytes came of a message that has not come whole; nothing if there is none.
    pub(super) fn mid_message(&self) -> Option<Instant> {
        self.sender.shared().mid_message()
    }

    pub(super) fn close(&mut self, code: Code) {
        self.is_closing = true;
        let code = CloseCode::new(code.number()).unwrap_or(CloseCode::NORMAL_CLOSURE);
        drop(self.sender.close(code, ""));
    }

    /// Lets go of a connection that the server is to close.
    pub(super) fn leave(self) {
        let Self { sender, receiver, .. } = self;
        drop(receiver); // What still comes is discarded.
        tokio::spawn(async move {
            if tokio::time::timeout(CLOSE_WAIT, sender.closed()).await.is_err()
                && let Ok(closing) = sender.close(CloseCode::NORMAL_CLOSURE, "")
            {
                closing.await;
            }
        });
    }

    /// Lets go of a connection, and closes it.
    pub(super) fn drop_with(mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.is_closing, true) {
            drop(self.sender.close(code, ""));
        }
        self.leave();
    }

    fn push(&mut self, frame: Bytes) {
        // A secret must not be compressed together with what others chose.
        let is_data = frame.first().is_some_and(|first| first >> 4 == 1);
        let compress = if is_data { Compress::default() } else { Compress::Never };
        let message = Message::Binary(Payload::Shared(frame.clone()));
        if let Err(SendError::Full { .. }) = self.sender.try_send_with(message, compress) {
            self.unsent = Some(frame);
        }
    }
}
