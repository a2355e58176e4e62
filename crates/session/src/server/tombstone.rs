//! What is remembered of a session that was ended.

use super::{Principal, ServerSession};
use crate::{
    Code, Welcome,
    token::{Standing, Tokens},
};

/// What is remembered of a session that was ended by BYE: enough to tell a client that comes back.
#[derive(Clone, Debug)]
pub struct Tombstone {
    tokens: Tokens,
    principal: Principal,
    code: Code,
    recv: u64,
    reason: String,
}

impl Tombstone {
    /// Returns the answer to a client that shows this token, if it is one of the session's and
    /// the client is its principal.
    #[must_use]
    pub fn answer_to(&self, token: &[u8], principal: &Principal) -> Option<Welcome> {
        let is_known = self.tokens.judge(token) != Standing::Unknown;
        (is_known && *principal == self.principal).then(|| self.answer())
    }

    pub(super) fn answer(&self) -> Welcome {
        Welcome::Ended { code: self.code, recv: self.recv, reason: self.reason.clone() }
    }
}

impl ServerSession {
    /// Returns what is to be remembered of the session, if it was ended by BYE: give it to the
    /// [`Store`](crate::Store).
    #[must_use]
    pub fn tombstone(&self) -> Option<Tombstone> {
        let (code, reason) = self.rest.as_ref()?.epitaph.as_ref().filter(|_| self.end.is_ended)?;
        Some(Tombstone {
            tokens: self.tokens.clone(),
            principal: self.principal.clone(),
            code: *code,
            recv: self.end.incoming.recv(),
            reason: reason.clone(),
        })
    }
}
