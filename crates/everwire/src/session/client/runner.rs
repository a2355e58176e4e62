//! The task of a client: it opens connections and lets them carry the session.

mod losses;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_proto::CloseCode;
use everwire_session::{ClientSession, Code, End, EndedBy, Event};

use self::losses::not_attached;
use super::{
    ClientEnd, ClientState, ClientStop, SessionEnd, Setup,
    carrier::{Carrier, Heard},
    link::Link,
    opening::{self, Asked, Opened, Place, Way},
    wait::{self, Happened, Opening, Pending},
};
use crate::{
    clock, random,
    reconnect::{AttemptInfo, Ending, Failure, Phase, Reconnector, Refusal, Retry, later},
};

/// How long an end waits for its connection to be closed.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs the attempts, the connections and the orders of one client.
pub(super) struct Runner {
    link: Arc<Link>,
    setup: Arc<Setup>,
    /// When to connect while nothing carries the session.
    machine: Reconnector,
    carrier: Option<Carrier>,
    opening: Option<Opening>,
    /// Another connection is wanted beside the one that carries the session.
    beside: Option<Beside>,
    /// Where the server sent us.
    place: Option<Place>,
    /// How we came to the server that carries the session.
    way: Option<Way>,
    /// A fresh ticket that the server asked for.
    asking: Option<Pending<Option<Bytes>>>,
    /// A server has answered `everwire.v1`.
    was_welcome: bool,
    is_closing: bool,
    last: Option<Ending>,
    /// When a connection was attached last, and how often we were asked to move since that lasted.
    attached: Option<Instant>,
    n_advised: u32,
    /// Which of the session's connections that was.
    epoch: u64,
    /// How long it took to open the connection that is being attached.
    took: Duration,
    told: Option<(u8, u32, Phase)>,
    ending: EndOnDrop,
}

/// A wish for another connection beside one that is attached.
struct Beside {
    at: Instant,
    /// How long that was when it was decided.
    delay: Duration,
    n_failed: u32,
    /// How the last attempt failed.
    last: Option<Ending>,
    /// The path looks dead: the wish is over when it speaks.
    is_suspicion: bool,
}

impl Runner {
    pub(super) fn new(setup: Setup, link: Arc<Link>) -> Self {
        let mut policy = setup.policy.clone();
        policy.attempt_max = policy.attempt_max.min(setup.client.attempt_limit());
        Self {
            machine: Reconnector::new(policy, clock::now(), random::fill),
            setup: Arc::new(setup),
            carrier: None,
            opening: None,
            beside: None,
            place: None,
            way: None,
            asking: None,
            was_welcome: false,
            is_closing: false,
            last: None,
            attached: None,
            n_advised: 0,
            epoch: 0,
            took: Duration::ZERO,
            // What its handles see before anything is told.
            told: Some((1, 1, Phase::Attempting)),
            ending: EndOnDrop(link.clone(), None),
            link,
        }
    }

    pub(super) async fn run(mut self) {
        let mut farewell = None;
        loop {
            self.settle();
            if self.is_over() {
                self.opening = None;
                let until = *farewell.get_or_insert(clock::now() + FAREWELL);
                if self.carrier.is_none() || until <= clock::now() {
                    break;
                }
            }
            let happened = self.wait(farewell).await;
            self.handle(happened);
        }
        if let Some(carrier) = self.carrier.take() {
            carrier.drop_with(CloseCode::NORMAL_CLOSURE);
        }
        tracing::debug!(
            end = self.ending.1.as_deref().map(tracing::field::display),
            "session's client stopped"
        );
    }

    /// Waits for something to happen, or for something to be due.
    async fn wait(&mut self, farewell: Option<Instant>) -> Happened {
        let session = self.link.look(ClientSession::poll_timeout);
        let is_running = !self.is_over();
        let attempt = match (&self.carrier, &self.opening) {
            (_, Some(_)) => None,
            (Some(_), None) => self.beside.as_ref().map(|beside| beside.at),
            (None, None) => self.machine.poll_timeout(),
        };
        let due = [session, attempt.filter(|_| is_running), farewell].into_iter().flatten().min();
        let Self { link, opening, carrier, asking, .. } = self;
        wait::wait(link, opening, carrier, asking, due).await
    }

    fn handle(&mut self, happened: Happened) {
        match happened {
            Happened::News | Happened::Heard(Heard::Messages | Heard::Room) => {}
            Happened::Heard(Heard::Decided(decided)) => {
                let Some(carrier) = &self.carrier else { return };
                self.link.decided(carrier.attempt, &decided);
            }
            Happened::Heard(Heard::Closed(closure)) => {
                let Some(carrier) = self.carrier.take() else { return };
                self.link.closed(carrier.attempt, Some(closure.clone()));
                if !self.link.look(ClientSession::is_ended) {
                    self.lost(Ending::Closed(closure), None);
                }
            }
            Happened::Opened(opened) => {
                let is_beside = self.opening.take().is_some_and(|opening| opening.is_beside);
                match opened {
                    Ok(opened) => self.adopt(opened, is_beside),
                    Err(error) => self.failed(error, is_beside),
                }
            }
            Happened::Ticket(ticket) => {
                self.asking = None;
                match ticket {
                    Ok(Some(ticket)) => {
                        self.link.act(|session, _| session.authenticate(ticket));
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "no fresh ticket for the session"),
                }
            }
        }
    }

    /// Does all that follows from what happened.
    fn settle(&mut self) {
        self.obey();
        loop {
            self.link.handle_timeout(self.carrier.as_ref());
            self.transmit();
            let events = self.link.take_events();
            if events.is_empty() {
                // What nobody takes may have given credit back.
                self.transmit();
                break;
            }
            events.into_iter().for_each(|event| self.event(event));
        }
        if !self.is_over() {
            if self.machine.phase() == Phase::Stopped {
                self.stop_for_last();
            } else {
                self.begin();
            }
        }
        self.tell();
    }

    /// Stores what is to be stated, then states it.
    fn transmit(&mut self) {
        let is_closed = loop {
            self.setup.save(&self.link);
            let Some(carrier) = &mut self.carrier else { return };
            let is_closed = carrier.transmit(&self.link);
            // What was accepted or released in between is stored before anything else is said.
            if is_closed || !self.link.is_unsaved() {
                break is_closed;
            }
        };
        if is_closed && !self.link.look(ClientSession::is_ended) {
            // It was given up, and the path may be dead: nobody waits for it.
            let Some(carrier) = self.carrier.take() else { return };
            carrier.leave();
            let is_attempt = self.machine.phase() == Phase::Attempting;
            self.last = is_attempt.then(|| not_attached(Refusal::Silent));
            self.follow(Failure::new(Retry::Now));
            self.link.detached();
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            // The connection that was silent has spoken. What is tried beside it is dropped as if nobody
            // had been told.
            Event::Resumed { epoch } if epoch == self.epoch => {}
            Event::Opened { .. } | Event::Resumed { .. } => self.attached(),
            Event::Detached => self.link.detached(),
            Event::Refused(welcome) => self.refused(welcome),
            Event::Goaway(goaway) => self.go_away(goaway),
            Event::Suspected => {
                self.beside.get_or_insert(Beside::new(clock::now(), true));
            }
            Event::TicketWanted(_) => {
                let (setup, info) = (self.setup.clone(), self.info(true));
                self.asking = Some(Box::pin(async move { opening::ticket(&setup, &info).await }));
            }
            Event::Ended(end) => self.ended(end),
            _ => {}
        }
    }

    fn attached(&mut self) {
        self.was_welcome = true;
        self.beside = None;
        let (now, spread) = (clock::now(), self.link.look(ClientSession::first_spread));
        self.attached = Some(now);
        self.epoch = self.link.look(ClientSession::epoch);
        self.machine.set_first_spread(spread);
        if self.machine.phase() == Phase::Attempting {
            self.machine.handle_opened(now, self.took);
        }
    }

    fn ended(&mut self, end: End) {
        let End { code, reason, by, unacknowledged } = end;
        let is_ours = by == EndedBy::Us || self.is_closing;
        if code.may_come_back() && !is_ours {
            tracing::debug!(%code, ?by, "session ended; another one begins");
            if let Some(carrier) = self.carrier.take() {
                carrier.leave();
            }
            // An attempt that is under way is one of the session that is over.
            self.opening = None;
            self.link.renew(unacknowledged, SessionEnd { code, reason, by });
            self.setup.forget(&self.link);
            self.last = None;
            self.follow(Failure::new(Retry::Now));
            return self.link.detached();
        }
        self.setup.forget(&self.link);
        self.finish(ClientEnd { why: ClientStop::Session { code, reason, by }, unacknowledged });
    }

    fn finish(&mut self, end: ClientEnd) {
        if !self.is_over() {
            let end = Arc::new(end);
            self.ending.1 = Some(end.clone());
            self.machine.stop();
            self.link.end(end);
        }
    }

    /// Stops without an end of the session, which the server goes on to keep for its time.
    fn stop(&mut self, why: ClientStop) {
        let unacknowledged = self.link.look(ClientSession::snapshot).unacknowledged;
        if let Some(carrier) = self.carrier.take() {
            carrier.drop_with(CloseCode::GOING_AWAY);
        }
        self.finish(ClientEnd { why, unacknowledged });
    }

    fn stop_for_last(&mut self) {
        match self.last.take() {
            Some(Ending::Failed(error)) => self.stop(ClientStop::Failed(error)),
            _ => self.abort(Code::UNAUTHENTICATED, "ticket refused"),
        }
    }

    fn abort(&mut self, code: Code, reason: &str) {
        self.link.act(|session, _| session.abort(code, reason));
    }

    /// Does what the handles want.
    fn obey(&mut self) {
        let orders = self.link.take_orders();
        if self.is_over() {
            return;
        }
        if orders.leave {
            if self.setup.has_store() {
                self.link.leave_unread();
                self.setup.save(&self.link);
            }
            return self.stop(ClientStop::Left);
        }
        if orders.dropped && !self.is_closing {
            if self.setup.has_store() {
                self.setup.save(&self.link);
                return self.stop(ClientStop::Dropped);
            }
            self.is_closing = true;
            self.abort(Code::NORMAL, "");
        }
        if let Some((code, reason)) = orders.close
            && !std::mem::replace(&mut self.is_closing, true)
        {
            let has_nothing = self
                .link
                .look(|session| session.buffered().1 == 0 && session.snapshot().token.is_empty());
            if has_nothing {
                self.abort(code, &reason);
            } else {
                let deadline = later(clock::now(), self.link.patience());
                self.link.act(|session, _| session.close(code, &reason, Some(deadline)));
            }
        }
        if orders.wake {
            self.link.act(|session, _| session.probe());
            self.machine.wake(clock::now());
        }
    }

    /// Begins the attempt that is due.
    fn begin(&mut self) {
        let now = clock::now();
        if self.opening.is_some() {
            return;
        }
        let asked = if self.carrier.is_none() {
            let Some(attempt) = self.machine.handle_timeout(now) else { return };
            let info = AttemptInfo { number: attempt.number, ..self.info(attempt.refresh_token) };
            Asked { info, timeout: attempt.timeout, place: self.place.clone(), early: true }
        } else {
            let is_attached = self.link.look(ClientSession::is_attached);
            if self.is_over_suspicion() {
                self.beside = None;
            }
            let wished = self.beside.as_ref().is_some_and(|beside| beside.at <= now);
            if !wished || !is_attached {
                return;
            }
            let (info, timeout) = (self.info(false), self.setup.policy.attempt_max);
            Asked { info, timeout, place: self.place.clone(), early: false }
        };
        let is_beside = !asked.early;
        let future = opening::open(self.setup.clone(), self.link.clone(), asked);
        self.opening = Some(Opening { future: Box::pin(future), is_beside });
        self.link.look_again(); // So that it is polled at once.
    }

    /// Lets a new connection carry the session.
    fn adopt(&mut self, opened: Opened, is_beside: bool) {
        let Opened { ws, said, took, way } = opened;
        // Now is the time to know whether the old one speaks.
        self.link.handle_timeout(self.carrier.as_ref());
        if is_beside && (self.is_over_suspicion() || self.is_closing_carrier()) {
            // The old one spoke before we said anything on the new one.
            self.beside = None;
            return Carrier::new(ws, 0).drop_with(CloseCode::NORMAL_CLOSURE);
        }
        (self.took, self.way) = (took, Some(*way));
        let (number, hello) = match said {
            Some(number) => {
                self.link.act(|session, now| session.handle_opened(now, number));
                (number, None)
            }
            None => match self.link.hello() {
                Some(attempt) => (attempt.number, Some(attempt.hello)),
                None => return Carrier::new(ws, 0).drop_with(CloseCode::NORMAL_CLOSURE),
            },
        };
        self.setup.save(&self.link);
        self.beside = None;
        let mut carrier = Carrier::new(ws, number);
        if let Some(hello) = hello {
            carrier.say(hello);
        }
        if let Some(old) = self.carrier.replace(carrier) {
            // A Close could overtake the HELLO, and the server take the session for detached.
            old.leave();
        }
    }

    fn is_over(&self) -> bool {
        self.ending.1.is_some()
    }

    fn info(&self, refresh_token: bool) -> AttemptInfo {
        AttemptInfo { number: self.machine.attempt(), refresh_token, last: self.last.clone() }
    }

    /// Returns whether another connection was wanted only because this one was silent, and it is
    /// not any more.
    fn is_over_suspicion(&self) -> bool {
        let is_suspicion = self.beside.as_ref().is_none_or(|beside| beside.is_suspicion);
        is_suspicion && !self.link.look(ClientSession::is_suspected)
    }

    fn is_closing_carrier(&self) -> bool {
        self.carrier.as_ref().is_none_or(|carrier| carrier.is_closing)
    }

    /// Tells everybody what it does, if that is news. The end is told at the end.
    fn tell(&mut self) {
        if self.is_over() {
            return;
        }
        let (is_there, is_told) = self.link.look(|it| (it.is_attached(), it.is_told_detached()));
        let is_attached = is_there && !is_told;
        // The connection is there, silent, and another is tried.
        let beside = self.beside.as_ref().filter(|_| is_there && is_told);
        let (phase, attempt) = match beside {
            Some(beside) => (beside.phase(self.opening.is_some()), beside.n_failed + 1),
            None => (self.machine.phase(), self.machine.attempt()),
        };
        let was_told = self.told.is_some_and(|(kind, ..)| kind == 1);
        let delay = match phase {
            // It will be told in a moment that it is under way.
            Phase::Scheduled { at, .. } if at <= clock::now() => return,
            // The attempt has come as far as its HELLO.
            Phase::Open if is_told && was_told => return,
            Phase::Scheduled { delay, .. } => delay,
            _ => Duration::ZERO,
        };
        let last = beside.map_or(&self.last, |beside| &beside.last).clone();
        let state = match (is_attached, self.was_welcome) {
            (true, _) => ClientState::Attached,
            (false, false) => ClientState::Connecting { attempt, delay, last },
            (false, true) => ClientState::Detached { attempt, delay, last },
        };
        let told = if is_attached { (0, 0, Phase::Open) } else { (1, attempt, phase) };
        if self.told.replace(told) != Some(told) {
            self.link.publish(state);
        }
    }
}

impl Beside {
    fn new(at: Instant, is_suspicion: bool) -> Self {
        Self { at, n_failed: 0, last: None, delay: Duration::ZERO, is_suspicion }
    }

    fn phase(&self, is_opening: bool) -> Phase {
        match is_opening {
            true => Phase::Attempting,
            false => Phase::Scheduled { at: self.at, delay: self.delay },
        }
    }
}

/// Tells the handles that it is over, however the task ends, so that nobody waits in vain.
struct EndOnDrop(Arc<Link>, Option<Arc<ClientEnd>>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let end = self.1.take().unwrap_or_else(|| {
            let unacknowledged = self.0.look(ClientSession::snapshot).unacknowledged;
            Arc::new(ClientEnd { why: ClientStop::Dropped, unacknowledged })
        });
        self.0.end(end.clone());
        self.0.publish(ClientState::Ended(end));
    }
}
