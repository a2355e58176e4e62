//! A queue that is empty for most sessions, most of the time.

use std::collections::VecDeque;

/// A queue that has no memory while it is empty and rests, and little room in its owner.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "8 bytes instead of 32, in every session")]
pub(crate) struct Rare<T>(Option<Box<VecDeque<T>>>);

impl<T> Rare<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.0.get_or_insert_default().push_back(item);
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.0.as_mut()?.pop_front();
        if self.0.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.0 = None;
        }
        item
    }

    /// Takes the first as [`pop_front`](Self::pop_front) does, but keeps the memory until
    /// [`shrink`](Self::shrink): another will come soon.
    pub(crate) fn take_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    /// Gives back memory that is not used.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.0.as_ref()?.front()
    }

    pub(crate) fn contains(&self, item: &T) -> bool
    where
        T: PartialEq,
    {
        self.0.as_ref().is_some_and(|queue| queue.contains(item))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// Returns whether it has no memory.
    #[cfg(test)]
    pub(crate) const fn is_at_rest(&self) -> bool {
        self.0.is_none()
    }
}
