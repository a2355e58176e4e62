//! Handles in a hash table, found by the names of their sessions.

use std::{
    borrow::Borrow,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use super::Handle;
use crate::SessionId;

/// A handle that is equal to another of the same session.
#[derive(Debug)]
pub(super) struct ById<H>(pub(super) H);

impl<H: Handle> Borrow<SessionId> for ById<H> {
    fn borrow(&self) -> &SessionId {
        self.0.id()
    }
}

impl<H: Handle> Hash for ById<H> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        self.0.id().hash(state);
    }
}

impl<H: Handle> PartialEq for ById<H> {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl<H: Handle> Eq for ById<H> {}

/// Hashes names of sessions.
pub(super) type IdHashes = BuildHasherDefault<IdHasher>;

/// Takes a name for its own hash: the server made it, at random, so nobody can choose ones that collide;
/// and what is done with the table is the same each time.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes.rchunks(8) {
            let mut word = [0; 8];
            word[..byte.len()].copy_from_slice(byte);
            self.0 = self.0.rotate_left(29) ^ u64::from_le_bytes(word);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length of the name, which is always the same.
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn id(byte: usize, value: u8) -> SessionId {
        let mut token = [0; 48];
        token[byte] = value;
        SessionId::of_token(&token).expect("it has the length")
    }

    #[test]
    fn every_byte_of_a_name_counts_and_a_handle_hashes_as_its_name() {
        let hashes = IdHashes::default();
        let all: std::collections::BTreeSet<_> =
            (0..16).map(|byte| hashes.hash_one(id(byte, 1))).collect();
        assert_eq!(all.len(), 16);
        let id = id(3, 9);
        assert_eq!(hashes.hash_one(ById((id, "any"))), hashes.hash_one(id));
        assert!(ById((id, "any")) == ById((id, "other")));
    }
}
