//! What a client makes of a path that is silent (protocol §9).

use super::ClientSession;
use crate::{At, Event, endpoint::earliest, socket::Socket};

/// What a client makes of a path that is silent.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Suspicions since the path was last known to carry what is sent. It belongs to the path, not to a
    /// socket.
    doubts: u8,
    /// The newest socket is suspected, and has not spoken since.
    is_suspected: bool,
    /// When the application is to be told that it is detached.
    tell_at: Option<At>,
    /// It was, or is about to be, although the socket is still there.
    is_away: bool,
    /// Which of the two the application has heard last.
    is_told: bool,
}

/// How far what is sent has got: what the server acknowledged, and whether a PING waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    acked: u64,
    asks: bool,
}

impl Doubt {
    /// Begins with another socket, which has to be attached before the application is told.
    pub(super) const fn begin(&mut self) {
        self.is_suspected = false;
    }

    /// Notes that a socket is attached, of which the application is told.
    pub(super) const fn attached(&mut self) {
        (self.tell_at, self.is_away) = (None, false);
    }

    /// Notes that the attached socket has spoken.
    #[inline]
    pub(super) const fn spoke(&mut self) {
        (self.is_suspected, self.tell_at) = (false, None);
    }

    /// Returns whether the application takes itself for detached, although the socket is there.
    #[inline]
    pub(super) const fn is_away(&self) -> bool {
        self.is_away
    }

    pub(super) const fn is_suspected(&self) -> bool {
        self.is_suspected
    }

    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    pub(super) const fn doubts(&self) -> u8 {
        self.doubts
    }

    /// Returns whether the application is to hear of this: it is not told twice that it is detached.
    #[inline]
    pub(super) const fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Detached => !std::mem::replace(&mut self.is_told, true),
            Event::Opened { .. } | Event::Resumed { .. } => {
                self.is_told = false;
                true
            }
            _ => true,
        }
    }
}

impl ClientSession {
    /// Suspects the socket. The next suspicion takes longer, unless something says that this one was
    /// right: what is large hides the answer, and would begin anew on each socket.
    pub(super) fn suspect(&mut self, now: At) {
        // A little before it would be three patiences since something was said.
        let tell_at = now + self.end.rtt.patience() * 3 / 4;
        let doubt = &mut self.doubt;
        doubt.is_suspected = true;
        doubt.doubts = doubt.doubts.saturating_add(1);
        doubt.tell_at = earliest([doubt.tell_at, Some(tell_at)]);
        self.end.event(Event::Suspected);
    }

    /// Returns when the application is told that it is detached.
    pub(super) fn tell_at(&self) -> Option<At> {
        self.doubt.tell_at.filter(|_| !self.end.is_ended)
    }

    pub(super) fn tell(&mut self) {
        self.doubt.tell_at = None;
        if !std::mem::replace(&mut self.doubt.is_away, true) {
            self.end.event(Event::Detached);
        }
    }

    /// Notes that the socket has spoken. An application that was told otherwise is told so.
    pub(super) fn heard(&mut self) {
        if self.end.is_attached() {
            self.doubt.spoke();
            if std::mem::take(&mut self.doubt.is_away) {
                self.end.event(Event::Resumed { epoch: self.epoch });
            }
        }
    }

    /// Returns how far what is sent on the attached socket has got, if there is a doubt.
    pub(super) fn standing(&self) -> Option<Standing> {
        let is_in_doubt = self.doubt.doubts > 0 && self.end.is_attached();
        let ping = self.end.socket.as_ref().and_then(Socket::ping);
        let asks = ping.is_some_and(|ping| ping.is_open);
        is_in_doubt.then(|| Standing { acked: self.end.out.acked(), asks })
    }

    /// Ends all doubts if what is sent has got further on this socket: to its answer, or acknowledged. What
    /// WELCOME acknowledges came on another one, and what comes in has come the other way.
    pub(super) fn weigh(&mut self, before: Option<Standing>) {
        if let (Some(before), Some(now)) = (before, self.standing())
            && before != now
        {
            self.doubt.doubts = 0;
        }
    }
}
