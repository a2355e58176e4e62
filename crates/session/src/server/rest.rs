//! What most sessions have not, most of the time.

use std::time::Duration;

use super::ServerSession;
use crate::{At, Code, Reauthentication};

/// What a session has while it is detached, once it has ended, or if the client's ticket says something.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) detached_at: Option<At>,
    pub(super) authentication: Option<Authentication>,
    /// What clients are answered that come back after an end by BYE.
    pub(super) epitaph: Option<(Code, String)>,
}

/// Until when a client is who it said that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authentication {
    pub(super) at: At,
    expires_at: Option<At>,
    is_expiry_told: bool,
}

impl ServerSession {
    /// Notes that the client has shown who it is, and until when that counts.
    pub(super) fn authenticate(&mut self, now: At, expires_at: Option<At>) {
        let authentication = Authentication { at: now, expires_at, is_expiry_told: false };
        let terms = &self.end.config.terms;
        // Who may come back without a ticket for some time is asked when it had shown the last.
        let counts =
            expires_at.is_some() || matches!(terms.reauthentication, Reauthentication::Grace(_));
        if counts {
            self.rest.get_or_insert_default().authentication = Some(authentication);
        } else if let Some(rest) = &mut self.rest {
            rest.authentication = None;
            self.tidy();
        }
    }

    /// Returns when the client last showed who it is, if anybody is to ask.
    pub(super) fn authenticated_at(&self) -> At {
        self.authentication().map_or(At::START, |authentication| authentication.at)
    }

    pub(super) fn expires_at(&self) -> Option<At> {
        self.authentication()?.expires_at
    }

    /// Returns when to ask for another ticket.
    pub(super) fn tell_expiry_at(&self) -> Option<At> {
        let authentication = self.authentication()?;
        let valid = authentication.expires_at?.saturating_duration_since(authentication.at);
        let asks = !authentication.is_expiry_told && self.end.is_attached();
        asks.then(|| authentication.at + valid / 5 * 4)
    }

    /// Notes that the client was asked for another ticket.
    pub(super) fn note_expiry_told(&mut self) {
        if let Some(authentication) = self.authentication_mut() {
            authentication.is_expiry_told = true;
        }
    }

    pub(super) fn set_epitaph(&mut self, code: Code, reason: &str) {
        self.rest.get_or_insert_default().epitaph = Some((code, reason.to_owned()));
    }

    /// Notes that a socket is there.
    pub(super) fn set_attached(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.detached_at = None;
        }
        if let Some(authentication) = self.authentication_mut() {
            authentication.is_expiry_told = false;
        }
        self.tidy();
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl.duration()
    }

    fn authentication(&self) -> Option<&Authentication> {
        self.rest.as_ref()?.authentication.as_ref()
    }

    fn authentication_mut(&mut self) -> Option<&mut Authentication> {
        self.rest.as_mut()?.authentication.as_mut()
    }

    /// Gives back memory that is not used.
    fn tidy(&mut self) {
        let is_empty = |rest: &Rest| {
            rest.detached_at.is_none() && rest.authentication.is_none() && rest.epitaph.is_none()
        };
        if self.rest.as_deref().is_some_and(is_empty) {
            self.rest = None;
        }
    }
}
