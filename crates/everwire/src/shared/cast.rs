//! What is broadcast to many send queues.

use std::sync::{Arc, Weak};

use everwire_proto::PreparedMessage;

use super::outbox::prepared_len;

/// Messages that wait together, one after the other, and are shared by all for whom they do.
pub(crate) type Batch = Arc<Vec<PreparedMessage>>;

/// Batches of more messages are not shared.
const MOST: usize = 64;

/// What the last message that was broadcast ended, as long as it waits for somebody.
#[derive(Debug, Default)]
pub(crate) struct LastCast(Weak<Vec<PreparedMessage>>);

/// A message on its way to many. For most it follows what the last one was a part of, and joins that:
/// so it needs no room of its own in any queue.
#[derive(Debug)]
pub(crate) struct Cast {
    message: PreparedMessage,
    /// What the message counts against the limit of a send queue.
    len: usize,
    /// What the last message ended, if it still waits for somebody.
    last: Option<Batch>,
    /// That, and the message.
    joined: Option<Batch>,
    /// The message by itself.
    alone: Option<Batch>,
}

impl Cast {
    /// Returns a message that may join what the last message ended.
    pub(crate) fn new(message: &PreparedMessage, last: &LastCast) -> Self {
        let last = last.0.upgrade().filter(|last| last.len() < MOST);
        let len = prepared_len(message);
        Self { message: message.clone(), len, last, joined: None, alone: None }
    }

    pub(crate) fn message(&self) -> &PreparedMessage {
        &self.message
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the batch that takes the place of `waiting`, or of nothing; `None` if the message
    /// cannot join that.
    #[inline]
    pub(super) fn join(&mut self, waiting: Option<&Batch>) -> Option<Batch> {
        let Some(waiting) = waiting else {
            return Some(
                self.alone.get_or_insert_with(|| Arc::new(vec![self.message.clone()])).clone(),
            );
        };
        let last = self.last.as_ref().filter(|last| Arc::ptr_eq(last, waiting))?;
        let join = || Arc::new(last.iter().chain([&self.message]).cloned().collect());
        Some(self.joined.get_or_insert_with(join).clone())
    }

    /// Returns what the message ended, for most of those to whom it went.
    pub(crate) fn end(self) -> LastCast {
        LastCast(self.joined.or(self.alone).as_ref().map_or_else(Weak::new, Arc::downgrade))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: Option<&Batch>) -> Vec<Vec<u8>> {
        let messages = batch.into_iter().flat_map(|batch| batch.iter());
        messages.map(|message| message.payload().to_vec()).collect()
    }

    #[test]
    fn what_waits_together_is_one_batch_that_all_share() {
        let (mut quick, mut slow) = (None, None);
        let mut last = LastCast::default();
        for text in ["a", "b", "c"] {
            let mut cast = Cast::new(&PreparedMessage::new(text), &last);
            for queue in [&mut quick, &mut slow] {
                *queue = Some(cast.join(queue.as_ref()).expect("it follows the last"));
            }
            last = cast.end();
            if text == "b" {
                assert!(Arc::ptr_eq(quick.as_ref().unwrap(), slow.as_ref().unwrap()));
                assert_eq!(texts(quick.take().as_ref()), [b"a", b"b"]);
            }
        }
        assert_eq!(texts(quick.as_ref()), [b"c"]);
        assert_eq!(texts(slow.as_ref()), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_message_joins_nothing_but_what_the_last_one_ended() {
        let first = PreparedMessage::new("a");
        let mut cast = Cast::new(&first, &LastCast::default());
        let waiting = cast.join(None);
        let _last = cast.end();
        let mut other = Cast::new(&first, &LastCast::default());
        assert!(other.join(waiting.as_ref()).is_none());
        assert_eq!(texts(other.join(None).as_ref()), [b"a"]);
    }

    #[test]
    fn nothing_is_kept_that_waits_for_nobody() {
        let message = PreparedMessage::new("a");
        let mut cast = Cast::new(&message, &LastCast::default());
        let waiting = cast.join(None);
        let last = cast.end();
        assert!(last.0.upgrade().is_some());
        drop(waiting);
        assert!(last.0.upgrade().is_none());
    }
}
