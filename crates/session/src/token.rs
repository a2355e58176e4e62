//! What resumes a session: 256 random bits, kept hashed, compared in constant time (protocol §15).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Random;

const SECRET: usize = 32;
/// What is kept of a hash: more than anybody can guess, and half the memory.
const HASH: usize = 16;

/// The name of a session, for tables and logs. It is not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; Self::LEN]);

impl SessionId {
    const LEN: usize = 16;

    /// Returns a random one.
    pub(crate) fn new(random: &mut dyn Random) -> Self {
        let mut id = [0; Self::LEN];
        random.fill(&mut id);
        Self(id)
    }

    /// Returns the session that a token claims to resume; whether it may is another question.
    #[must_use]
    pub fn of_token(token: &[u8]) -> Option<Self> {
        let (id, secret) = token.split_first_chunk()?;
        (secret.len() == SECRET).then_some(Self(*id))
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// The hashes of a session's tokens: the current one, and the one before until that is confirmed.
#[derive(Clone)]
pub(crate) struct Tokens {
    current: [u8; HASH],
    previous: [u8; HASH],
    has_previous: bool,
    confirmed: bool,
}

/// How a presented token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The one that was given out last.
    Current,
    /// The one with which that was asked for.
    Previous,
    /// Any other.
    Unknown,
}

impl Tokens {
    /// Makes the first token of a session.
    pub(crate) fn new(id: SessionId, random: &mut dyn Random) -> (Self, Bytes) {
        let (current, token) = fresh(id, random);
        let previous = [0; HASH];
        (Self { current, previous, has_previous: false, confirmed: false }, token)
    }

    /// Judges a presented token, in a time that tells nothing.
    pub(crate) fn judge(&self, token: &[u8]) -> Standing {
        let presented = hash(token);
        let is_current = is_same(&presented, &self.current);
        let is_previous = is_same(&presented, &self.previous) & self.has_previous;
        match (is_current, is_previous) {
            (true, _) => Standing::Current,
            (_, true) => Standing::Previous,
            _ => Standing::Unknown,
        }
    }

    /// Makes the next token. The one that was presented stays valid until this one is confirmed:
    /// it is the one that the client surely has.
    pub(crate) fn rotate(
        &mut self,
        id: SessionId,
        presented: &[u8],
        random: &mut dyn Random,
    ) -> Bytes {
        let (current, token) = fresh(id, random);
        self.previous = hash(presented);
        self.has_previous = true;
        self.current = current;
        self.confirmed = false;
        token
    }

    pub(crate) const fn confirm(&mut self) {
        self.confirmed = true;
    }

    pub(crate) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("confirmed", &self.confirmed).finish_non_exhaustive()
    }
}

/// Does the work of judging a token that nobody has given out, as if there were a session: the time
/// tells nothing.
pub(crate) fn judge_unknown(token: &[u8]) {
    let (current, previous) = ([0; HASH], [0; HASH]);
    let nobody = Tokens { current, previous, has_previous: false, confirmed: false };
    std::hint::black_box(nobody.judge(token));
}

fn fresh(id: SessionId, random: &mut dyn Random) -> ([u8; HASH], Bytes) {
    let mut secret = [0; SECRET];
    random.fill(&mut secret);
    let mut token = BytesMut::with_capacity(SessionId::LEN + SECRET);
    token.put_slice(&id.0);
    token.put_slice(&secret);
    (hash(&token), token.freeze())
}

/// Compares in constant time.
fn is_same(a: &[u8; HASH], b: &[u8; HASH]) -> bool {
    #[cfg(test)]
    tests::COMPARED.set(tests::COMPARED.get() + 1);
    a.ct_eq(b).into()
}

fn hash(token: &[u8]) -> [u8; HASH] {
    #[cfg(test)]
    tests::HASHED.set(tests::HASHED.get() + 1);
    let mut half = [0; HASH];
    half.copy_from_slice(&Sha256::digest(token)[..HASH]);
    half
}

#[cfg(test)]
mod tests;
