//! Messages of which only the newest of each kind is wanted. They have no number until they leave.

use std::collections::{BTreeMap, VecDeque};

use crate::Prepared;

/// The newest message of each key, in the order in which the keys came.
#[derive(Debug, Default)]
pub(super) struct Latest {
    messages: BTreeMap<u64, Prepared>,
    order: VecDeque<u64>,
    /// The payload bytes of all.
    bytes: usize,
}

impl Latest {
    /// Puts a message in the place of the one with its key; returns that.
    pub(super) fn put(&mut self, key: u64, message: Prepared) -> Option<Prepared> {
        self.bytes += message.payload().len();
        let old = self.messages.insert(key, message);
        match &old {
            Some(old) => self.bytes -= old.payload().len(),
            None => self.order.push_back(key),
        }
        old
    }

    /// Takes the message whose key came first.
    pub(super) fn take(&mut self) -> Option<Prepared> {
        let message = self.messages.remove(&self.order.pop_front()?)?;
        self.bytes -= message.payload().len();
        Some(message)
    }

    /// Returns the payload bytes of the message with this key.
    pub(super) fn len_of(&self, key: u64) -> Option<usize> {
        self.messages.get(&key).map(|message| message.payload().len())
    }

    /// Returns the messages in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Prepared> {
        self.order.iter().filter_map(|key| self.messages.get(key))
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
