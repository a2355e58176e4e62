//! Tags: names by which several connections are found together.

use std::{collections::HashMap, sync::Arc};

use everwire_proto::{Cause, CloseCode, CloseFrame, SendError};

use super::{Registry, SHARDS};
use crate::{Sender, shared::Shared};

/// Tags that a connection has from its start; kept with its data.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagList(pub(crate) Vec<Arc<str>>);

/// The tags of a part of the connections. Nothing is kept for a connection without one.
#[derive(Default)]
pub(super) struct Tags {
    by_tag: HashMap<Arc<str>, HashMap<u64, Arc<Shared>>>,
    by_id: HashMap<u64, Vec<Arc<str>>>,
}

impl Tags {
    pub(super) fn add(&mut self, shared: &Arc<Shared>, tag: Arc<str>) {
        let id = shared.id.into();
        let tags = self.by_id.entry(id).or_default();
        if !tags.contains(&tag) {
            tags.push(tag.clone());
            self.by_tag.entry(tag).or_default().insert(id, shared.clone());
        }
    }

    fn remove(&mut self, id: u64, tag: &str) -> bool {
        let Some(tags) = self.by_id.get_mut(&id) else { return false };
        let Some(place) = tags.iter().position(|other| **other == *tag) else { return false };
        tags.swap_remove(place);
        if tags.is_empty() {
            self.by_id.remove(&id);
        }
        self.forget(id, tag);
        true
    }

    /// Removes a connection; returns the tags that it had.
    pub(super) fn remove_all(&mut self, id: u64) -> Vec<Arc<str>> {
        let tags = self.by_id.remove(&id).unwrap_or_default();
        tags.iter().for_each(|tag| self.forget(id, tag));
        tags
    }

    /// Returns the tags of a connection.
    pub(super) fn of(&self, id: u64) -> &[Arc<str>] {
        self.by_id.get(&id).map_or(&[], |tags| tags)
    }

    fn forget(&mut self, id: u64, tag: &str) {
        if let Some(members) = self.by_tag.get_mut(tag) {
            members.remove(&id);
            if members.is_empty() {
                self.by_tag.remove(tag);
            }
        }
    }
}

impl Registry {
    /// Returns senders of all connections with this tag, in order of their ids.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Vec<Sender> {
        self.members(tag).into_iter().map(Sender::unguarded).collect()
    }

    /// Ends all connections with this tag with a closing handshake. Returns how many there were.
    ///
    /// # Errors
    /// [`SendError::ReservedCloseCode`] for a code that must never be sent.
    pub fn close_tagged(
        &self,
        tag: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<usize, SendError> {
        let frame = CloseFrame::new(code, reason)?;
        let members = self.members(tag);
        members.iter().for_each(|shared| shared.close(Cause::Kicked, frame.clone()));
        Ok(members.len())
    }

    fn members(&self, tag: &str) -> Vec<Arc<Shared>> {
        let mut members: Vec<Arc<Shared>> = (0..SHARDS as u64)
            .flat_map(|shard| {
                let shard = self.0.shard(shard);
                let members = shard.tags.by_tag.get(tag);
                members
                    .map(|members| members.values().cloned().collect::<Vec<_>>())
                    .unwrap_or_default()
            })
            .collect();
        members.sort_by_key(|shared| shared.id);
        members
    }
}

impl Sender {
    /// Gives the connection a tag, by which [`Registry::tagged`] finds it while it lives. A second
    /// time changes nothing. Returns whether the connection is in a registry.
    pub fn tag(&self, tag: impl Into<Arc<str>>) -> bool {
        let shared = self.shared();
        let Some(registry) = shared.lock().registry.clone() else { return false };
        let mut shard = registry.shard(shared.id.into());
        // It may have ended meanwhile.
        let is_live = shard.live.contains_key(&shared.id.into());
        if is_live {
            shard.tags.add(shared, tag.into());
        }
        is_live
    }

    /// Takes a tag from the connection. Returns whether it had it.
    pub fn untag(&self, tag: &str) -> bool {
        let shared = self.shared();
        let Some(registry) = shared.lock().registry.clone() else { return false };
        registry.shard(shared.id.into()).tags.remove(shared.id.into(), tag)
    }
}
