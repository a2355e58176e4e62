//! Attaching a socket to a session (protocol §5.3).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Principal, ServerSession};
use crate::{
    Accepted, At, Code, Config, EndedBy, Event, Frame, Hello, Mutation, Random, Reauthentication,
    SessionId, Status, Transmit, Violation, Welcome,
    at::Span,
    config::millis,
    endpoint::Endpoint,
    rate::Rate,
    socket::Socket,
    token::{Standing, Tokens},
};

const ATTACHES_PER_SECOND: u32 = 1;

/// What became of a HELLO that asked for this session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attach {
    /// The socket is attached: from now on it has this epoch, and WELCOME is to be transmitted.
    /// The socket of the epoch before, if there is one, is to be closed: poll it.
    Attached(u64),
    /// Send this answer and close the socket with [`close_code`](Self::close_code). The session is as
    /// it was.
    Refused(Welcome),
    /// As if there were no such session: [`accept`](ServerSession::accept) the client into a new
    /// one, which tells it that the old one is lost.
    Unknown,
}

impl Attach {
    /// Returns the code with which the socket is to be closed behind the answer, if there is one: that
    /// of the [answer](Welcome::close_code), but [`Code::RATE`] for too many attaches.
    #[must_use]
    pub const fn close_code(&self) -> Option<Code> {
        match self {
            Self::Refused(Welcome::Busy { .. }) => Some(Code::RATE),
            Self::Refused(welcome) => welcome.close_code(),
            _ => None,
        }
    }
}

impl ServerSession {
    /// Makes a session for a client without one, or without one that is still there, and attaches
    /// the socket to it with epoch 1. Returns its name as well, which
    /// only its tokens have from then on.
    ///
    /// With `resumable` false it lives as long as its socket.
    pub fn accept(
        now: Instant,
        config: Arc<Config>,
        hello: &Hello,
        principal: Principal,
        resumable: bool,
        random: &mut dyn Random,
    ) -> (Self, SessionId) {
        let status = if hello.token.is_empty() { Status::New } else { Status::Lost };
        let id = SessionId::new(random);
        let (tokens, token) = Tokens::new(id, random);
        let terms = &config.terms;
        let asked = if hello.ttl == 0 { terms.ttl } else { Duration::from_millis(hello.ttl) };
        let ttl = if resumable { asked.min(terms.ttl_limit) } else { Duration::ZERO };
        let mut this = Self {
            attaches: Rate::new(At::START),
            end: Endpoint::new(now, config),
            phase: id.as_bytes()[0],
            principal,
            tokens,
            attempt: hello.attempt,
            ttl: Span::new(ttl),
            rest: None,
        };
        this.end.event(Event::Opened { id: Bytes::copy_from_slice(id.as_bytes()) });
        let token = if ttl.is_zero() { Bytes::new() } else { token };
        this.welcome(At::START, id, hello, status, 0, token);
        (this, id)
    }

    /// Answers a HELLO whose token names this session. `principal` is who the client has shown to
    /// be, `None` if it has not.
    pub fn attach(
        &mut self,
        now: Instant,
        hello: &Hello,
        principal: Option<&Principal>,
        random: &mut dyn Random,
    ) -> Attach {
        let now = self.end.at(now);
        let standing = self.tokens.judge(&hello.token);
        let is_foreign = principal.is_some_and(|principal| *principal != self.principal);
        // Another principal and a forged token are answered alike, as if there were no session.
        if standing == Standing::Unknown || is_foreign {
            return Attach::Unknown;
        }
        let Some(id) = SessionId::of_token(&hello.token) else { return Attach::Unknown };
        if principal.is_none() && !self.trusts_token(now) {
            return Attach::Refused(Welcome::Auth);
        }
        if self.end.is_ended {
            return self.tombstone().map_or(Attach::Unknown, |t| Attach::Refused(t.answer()));
        }
        let ordered = !self.end.config.leaves_out(Mutation::ArrivalOrder);
        if ordered && hello.attempt <= self.attempt {
            return Attach::Refused(Welcome::Stale);
        }
        if standing == Standing::Previous && !self.forgives() {
            return self.reused();
        }
        // Only now: who shows a token that is not valid any more must not keep its owner out.
        if !self.attaches.take(now, self.end.config.terms.attach_burst, ATTACHES_PER_SECOND) {
            return Attach::Refused(Welcome::Busy { after: 1000, spread: 1000 });
        }
        if let Err(violation) = self.check(hello) {
            self.end.end_abruptly(violation.code(), "", EndedBy::Violation(violation));
            return Attach::Unknown;
        }
        self.attempt = hello.attempt;
        if principal.is_some() {
            self.authenticate(now, self.expires_at());
        }
        let token = self.tokens.rotate(id, &hello.token, random);
        self.welcome(now, id, hello, Status::Resumed, hello.recv, token);
        self.end.event(Event::Resumed { epoch: self.epoch() });
        Attach::Attached(self.epoch())
    }

    /// Fences the old socket, then looks at the counters, and queues WELCOME on the new one.
    fn welcome(
        &mut self,
        now: At,
        id: SessionId,
        hello: &Hello,
        status: Status,
        recv: u64,
        token: Bytes,
    ) {
        self.end.evict_old(now);
        self.end.out.detach();
        self.end.newest += 1;
        let mut socket = Socket::new(now);
        socket.is_attached = true;
        self.end.socket = Some(socket);
        // A HELLO says nothing of what is done with.
        self.end.out.attach(recv, 0, hello.window, hello.max_message);
        // What was not acknowledged in a session that is lost does not come in this one.
        self.end.incoming.begin_at(if status == Status::Lost { 1 } else { hello.lo });
        self.set_attached();
        let counts = self.end.counts();
        let terms = &self.end.config.terms;
        let accepted = Accepted {
            epoch: self.epoch(),
            counts,
            max_message: self.end.config.max_message,
            ttl: millis(self.ttl()),
            heartbeat: millis(terms.heartbeat),
            heartbeat_timeout: millis(terms.heartbeat_timeout),
            first_spread: millis(terms.first_spread),
            token,
            id: Bytes::copy_from_slice(id.as_bytes()),
        };
        let welcome = Frame::Welcome(Welcome::Accepted(status, accepted)).encode();
        self.end.queue(Transmit::Frame(welcome));
    }

    /// Checks that neither end has lost its memory.
    fn check(&self, hello: &Hello) -> Result<(), Violation> {
        let (out, received) = (&self.end.out, self.end.incoming.recv());
        if hello.recv >= out.next() {
            let (stated, most) = (hello.recv, out.next() - 1);
            return Err(Violation::Acknowledged { stated, least: 0, most });
        }
        if hello.next <= received {
            return Err(Violation::Sent { stated: hello.next - 1, received });
        }
        Ok(())
    }

    /// Returns whether the previous token is still good: nobody has confirmed the current one.
    fn forgives(&self) -> bool {
        !self.tokens.is_confirmed() && !self.end.config.leaves_out(Mutation::NoTokenGrace)
    }

    fn reused(&mut self) -> Attach {
        // Told once, however often it happens before the application hears of it.
        self.end.event_once(Event::TokenReused);
        if self.end.config.terms.end_on_token_reuse {
            self.end(Code::UNAUTHENTICATED, "a copy of the token was used");
        }
        Attach::Refused(Welcome::Stale)
    }

    fn trusts_token(&self, now: At) -> bool {
        match self.end.config.terms.reauthentication {
            Reauthentication::Required => false,
            Reauthentication::Grace(grace) => {
                now.saturating_duration_since(self.authenticated_at()) <= grace
            }
            Reauthentication::TokenOnly => true,
        }
    }
}
