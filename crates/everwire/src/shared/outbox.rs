//! What handles ask a driver for.

use std::{cell::Cell, collections::VecDeque, fmt, time::Instant};

use everwire_proto::{
    Cause, CloseFrame, Compress, Connection, Message, MessageKind, PreparedMessage,
};

use super::{cast::Batch, waiting::Until};

/// Something a handle asked for.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message<'static>, Compress),
    Prepared(PreparedMessage),
    Start(MessageKind, Compress),
    Piece(bytes::Bytes),
    Finish(bytes::Bytes),
    Ping(Box<[u8]>),
    /// A numbered ping; the number goes to whoever waits.
    Probe(tokio::sync::oneshot::Sender<u32>),
    /// A change of the connection that needs no byte in the send queue.
    Adjust(Adjustment),
    /// Go on reading.
    Resume,
    /// Call the handler.
    Notify,
    /// Tell the application that the server shuts down.
    Drain,
    Close(Cause, CloseFrame),
    /// Tell the peer in a Close why it ends, and end.
    Fail(Cause),
    Abort(Cause),
}

/// What a handle wants of the connection itself.
pub(crate) struct Adjustment(pub(crate) Adjust);

type Adjust = Box<dyn FnOnce(&mut Connection, Instant) + Send>;

impl fmt::Debug for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adjustment")
    }
}

impl Outgoing {
    pub(crate) fn message(message: Message<'_>) -> Self {
        Self::message_with(message, Compress::default())
    }

    pub(crate) fn message_with(message: Message<'_>, compress: Compress) -> Self {
        Self::Message(message.into_owned(), compress)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(message, _) => message.len() + 14,
            Self::Piece(bytes) | Self::Finish(bytes) => bytes.len() + 14,
            Self::Prepared(message) => prepared_len(message),
            Self::Ping(payload) => payload.len() + 6,
            _ => 0,
        }
    }

    /// Returns whether it must not go between the pieces of another message.
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Message(..) | Self::Prepared(_))
    }

    /// Returns whether it is a message or the start of one.
    pub(crate) fn begins_message(&self) -> bool {
        self.is_message() || matches!(self, Self::Start(..))
    }

    /// Returns what it has to wait for when the send queue is full.
    pub(super) fn room(&self) -> Until {
        match self {
            Self::Start(..) | Self::Piece(_) | Self::Finish(_) => Until::PieceRoom,
            _ => Until::Room,
        }
    }
}

/// Returns what a message counts against the limit of the send queue.
#[inline]
pub(super) fn prepared_len(message: &PreparedMessage) -> usize {
    message.len() + 14
}

/// What a driver takes over from its handles.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing but messages of a group.
    Cast(Batch),
    /// All that waits; the messages of a group go before the rest.
    All(Option<Batch>, Outbox),
}

/// What waits for a driver, in order. An empty one has no memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Option<Queue>);

#[allow(clippy::box_collection)] // 8 bytes instead of 32 in every idle connection.
type Queue = Box<VecDeque<Outgoing>>;

impl Outbox {
    pub(super) fn push_back(&mut self, outgoing: Outgoing) {
        self.queue().push_back(outgoing);
    }

    pub(super) fn push_front(&mut self, outgoing: Outgoing) {
        self.queue().push_front(outgoing);
    }

    pub(super) fn append(&mut self, others: &mut VecDeque<Outgoing>) {
        self.queue().append(others);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Outgoing> {
        self.0.as_mut()?.pop_front()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.is_empty())
    }

    pub(super) fn back(&self) -> Option<&Outgoing> {
        self.0.as_ref()?.back()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.0.iter().flat_map(|queue| queue.iter())
    }

    fn queue(&mut self) -> &mut Queue {
        self.0.get_or_insert_with(|| {
            // A thread that ends has none any more, and may still drop handles.
            SPARE_QUEUE.try_with(Cell::take).ok().flatten().unwrap_or_default()
        })
    }

    /// Keeps the room of an outbox that was emptied for the next one of this thread.
    #[inline]
    pub(crate) fn put(self) {
        if let Some(queue) = self.0
            && queue.is_empty()
            && queue.capacity() <= SPARE_UP_TO
        {
            // A thread that ends has none any more.
            SPARE_QUEUE.try_with(|spare| spare.set(Some(queue))).ok();
        }
    }
}

thread_local! {
    /// Room for what handles ask for, of a connection that sleeps by now.
    static SPARE_QUEUE: Cell<Option<Queue>> = const { Cell::new(None) };
}

/// An outbox that is larger than this is not kept.
const SPARE_UP_TO: usize = 64;
