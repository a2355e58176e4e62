//! Messages that are sent while no connection is open.

use std::{collections::VecDeque, error::Error, fmt};

use everwire_proto::Message;

/// What a queued message counts beside its payload, so that empty ones fill the queue too.
const MESSAGE_COST: usize = 64;

/// What becomes of messages that are sent while no connection is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileDown {
    /// Sending fails with [`NotSent::Down`].
    #[default]
    Refuse,
    /// They wait for the next connection, in order. Each counts its payload and 64 bytes; what
    /// does not fit is refused with [`NotSent::QueueFull`].
    Queue {
        /// How many bytes may wait.
        bytes: usize,
    },
    /// They are dropped, counted ([`Tally::dropped`]) and logged when a connection opens.
    Drop,
}

/// What became of a message. No more than this is known: a connection that dies takes with it what
/// the peer had not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// It is in the send queue of this connection, and will not be sent on another.
    Handed {
        /// The number of the connection.
        generation: u64,
    },
    /// It waits for the next connection.
    Queued,
    /// It was dropped, as chosen by [`WhileDown::Drop`].
    Dropped,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// No connection is open.
    Down,
    /// The queue for the next connection is full.
    QueueFull {
        /// Bytes that wait, this message not counted.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// The client stopped for good.
    Stopped,
}

/// What became of all messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Handed to a connection.
    pub handed: u64,
    /// Waiting for the next connection.
    pub queued: u64,
    /// Refused, for want of a connection or of room.
    pub refused: u64,
    /// Dropped while no connection was open.
    pub dropped: u64,
    /// Still waiting for a connection when the client stopped.
    pub abandoned: u64,
    /// Received, and discarded because they went unread over several connections.
    pub unread: u64,
}

/// The messages that wait for a connection.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Message<'static>>,
    bytes: usize,
}

impl Queue {
    /// Queues a message if there is room for it.
    pub(super) fn push(&mut self, message: &Message<'static>, limit: usize) -> Result<(), NotSent> {
        let bytes = self.bytes.saturating_add(cost(message));
        if bytes > limit {
            return Err(NotSent::QueueFull { queued: self.bytes, limit });
        }
        self.bytes = bytes;
        self.messages.push_back(message.clone());
        Ok(())
    }

    /// Returns the first message, which stays until it is [done](Self::pop) with.
    pub(super) fn front(&self) -> Option<&Message<'static>> {
        self.messages.front()
    }

    pub(super) fn pop(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= cost(&message);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

fn cost(message: &Message<'_>) -> usize {
    message.len() + MESSAGE_COST
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str(
                "no connection is open: wait for the state Open, or choose what is done while down",
            ),
            Self::QueueFull { queued, limit } => write!(
                f,
                "{queued} bytes wait for the next connection: the limit of {limit} leaves no room (while_down)"
            ),
            Self::Stopped => f.write_str("the client has stopped"),
        }
    }
}

impl Error for NotSent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_bytes_and_keeps_the_order() {
        let mut queue = Queue::default();
        let [a, b] = ["a", "b"].map(|text| Message::from(text).into_owned());
        queue.push(&a, 130).unwrap();
        queue.push(&b, 130).unwrap();
        let full = NotSent::QueueFull { queued: 130, limit: 130 };
        assert_eq!(queue.push(&Message::from("").into_owned(), 130), Err(full));
        assert_eq!(queue.front(), Some(&a));
        queue.pop();
        assert_eq!((queue.front(), queue.len()), (Some(&b), 1));
        queue.pop();
        queue.pop();
        assert_eq!((queue.front(), queue.bytes), (None, 0));
    }
}
