//! What both ends of a session do alike once a socket is attached.

mod receive;
mod timeout;
mod transmit;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::timeout::earliest;
use crate::{
    Acks, At, Buffer, Code, Config, Counts, End, EndedBy, Event, Frame, Kind, Message, Meter,
    Overflow, Oversize, Prepared, SendError, Transmit, Violation, at::Timeline, frame,
    incoming::Incoming, outgoing::Outgoing, rare::Rare, rtt::Rtt, socket::Socket,
};

/// An end of a session, without what only a client or a server does.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) config: Arc<Config>,
    pub(crate) out: Outgoing,
    pub(crate) incoming: Incoming,
    /// The newest socket, while it is there.
    pub(crate) socket: Option<Socket>,
    /// Its name, or that of the one that was there last.
    pub(crate) newest: u64,
    pub(crate) rtt: Rtt,
    pub(crate) is_ended: bool,
    /// Somebody was refused and waits for room.
    pub(crate) wants_room: bool,
    goodbye: Option<Box<Goodbye>>,
    events: Rare<Event>,
    volatile_events: u32,
    timeline: Timeline,
}

/// What the application wants to end with.
#[derive(Debug)]
struct Goodbye {
    code: Code,
    reason: String,
    deadline: Option<At>,
}

impl Endpoint {
    pub(crate) fn new(now: Instant, config: Arc<Config>) -> Self {
        Self {
            config,
            out: Outgoing::new(),
            incoming: Incoming::new(),
            socket: None,
            newest: 0,
            rtt: Rtt::default(),
            is_ended: false,
            wants_room: false,
            goodbye: None,
            events: Rare::new(),
            volatile_events: 0,
            timeline: Timeline::new(now),
        }
    }

    /// Accepts a message for sending.
    pub(crate) fn send(&mut self, now: At, message: Prepared) -> Result<u64, SendError> {
        self.check_size(message.payload().len())?;
        self.send_or_gap(now, message)
    }

    /// Accepts a message for sending; one that the peer does not take becomes a gap.
    pub(crate) fn send_or_gap(&mut self, now: At, message: Prepared) -> Result<u64, SendError> {
        self.make_room(now, message.payload().len())?;
        Ok(self.out.push(message, now.millis()))
    }

    /// Accepts a message for sending that nobody else has.
    #[inline]
    pub(crate) fn send_own(
        &mut self,
        now: At,
        kind: Kind,
        payload: &[u8],
        meter: &Meter,
    ) -> Result<u64, SendError> {
        self.check_size(payload.len())?;
        let attached = self.make_room(now, payload.len())?;
        Ok(self.out.push_own(kind, payload, meter, now.millis(), attached))
    }

    /// Accepts a message of which only the newest with its key is wanted.
    pub(crate) fn send_latest(
        &mut self,
        now: At,
        key: u64,
        message: Prepared,
    ) -> Result<(), SendError> {
        let size = message.payload().len();
        self.check_size(size)?;
        self.room(now, |out, buffer, attached| {
            out.make_room_for_latest(key, size, buffer, attached)
        })?;
        self.out.put_latest(key, message);
        Ok(())
    }

    /// Checks that the peer takes a message of this size, as long as it takes any.
    #[inline]
    fn check_size(&self, size: usize) -> Result<(), SendError> {
        match self.is_ended || self.goodbye.is_some() {
            true => Ok(()),
            false => self.out.check_size(size as u64),
        }
    }

    /// Makes room for a message of this size. Returns whether there is a socket.
    #[inline]
    fn make_room(&mut self, now: At, size: usize) -> Result<bool, SendError> {
        self.room(now, |out, buffer, attached| out.make_room(size, buffer, attached))
    }

    /// Makes room as the closure does. Returns whether there is a socket.
    #[inline]
    fn room(
        &mut self,
        now: At,
        make: impl FnOnce(&mut Outgoing, &Buffer, bool) -> Result<(), SendError>,
    ) -> Result<bool, SendError> {
        if self.is_ended || self.goodbye.is_some() {
            return Err(SendError::Closed);
        }
        let attached = self.is_attached();
        if !attached {
            self.evict_old(now);
        }
        let room = make(&mut self.out, &self.config.buffer, attached);
        if matches!(room, Err(SendError::Full { .. })) {
            if !attached && self.config.buffer.overflow == Overflow::End {
                self.end(Code::SLOW_CONSUMER, String::new(), EndedBy::Expiry);
                return Err(SendError::Closed);
            }
            self.wants_room = true;
        }
        room.map(|()| attached)
    }

    /// Sends a message that may be dropped; returns whether it was queued.
    pub(crate) fn send_volatile(&mut self, kind: Kind, payload: &[u8]) -> bool {
        let is_open = self.is_attached() && self.goodbye.is_none() && !self.is_ended;
        let goes = is_open && self.out.takes(payload.len() as u64);
        if goes {
            let frame = frame::encode_data(kind, true, payload);
            self.out.push_volatile(frame, self.config.volatile_entries);
        }
        goes
    }

    /// Says goodbye once all that was accepted has left.
    pub(crate) fn close(&mut self, code: Code, reason: &str, deadline: Option<At>) {
        if !self.is_ended && self.goodbye.is_none() {
            self.goodbye = Some(Box::new(Goodbye { code, reason: reason.to_owned(), deadline }));
        }
    }

    /// Ends the session now, and tells the peer if there is a socket.
    pub(crate) fn end_abruptly(&mut self, code: Code, reason: &str, by: EndedBy) {
        if self.is_ended {
            return;
        }
        if self.is_attached() {
            let counts = self.counts();
            let reason = reason.to_owned();
            let bye = Frame::Bye { reply: false, code, counts, reason }.encode();
            self.queue(Transmit::Frame(bye));
        }
        self.part(code);
        self.end(code, reason.to_owned(), by);
    }

    /// Ends the session for what the peer did; too many needless frames end the socket only.
    pub(crate) fn violate(&mut self, violation: Violation) {
        let code = violation.code();
        match violation {
            Violation::Rate => self.detach(Some(code)),
            _ => self.end_abruptly(code, "", EndedBy::Violation(violation)),
        }
    }

    /// Ends the session because the WebSocket refused a message; returns the reason that is told.
    pub(crate) fn too_big(&mut self, oversize: Oversize) -> &'static str {
        match oversize {
            Oversize::Theirs(size) => {
                let (limit, size) = (self.config.max_message, size.saturating_sub(1));
                self.violate(Violation::TooBig { limit, size });
                ""
            }
            Oversize::Fragments(limit) => {
                self.violate(Violation::TooManyFragments { limit });
                ""
            }
            Oversize::Ours => {
                let reason = "a message was too big for the peer (1009)";
                // Nothing can be said on it any more.
                self.socket = None;
                self.end(Code::TOO_BIG, reason.to_owned(), EndedBy::Peer);
                reason
            }
        }
    }

    /// Forgets the session, and tells the application.
    pub(crate) fn end(&mut self, code: Code, reason: String, by: EndedBy) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let unacknowledged = self.out.unacknowledged();
        self.out.evict_all();
        self.out.detach();
        self.goodbye = None;
        self.event(Event::Ended(End { code, reason, by, unacknowledged }));
    }

    /// Takes the socket away; with a code it is closed by us. The session waits for another.
    pub(crate) fn detach(&mut self, code: Option<Code>) {
        let was_attached = self.is_attached();
        match code {
            Some(code) => {
                if was_attached && self.incoming.has_news() {
                    let counts = self.counts();
                    self.queue_frame(&Frame::Ack(counts));
                }
                self.part(code);
            }
            None => self.socket = None,
        }
        self.out.detach();
        if was_attached && !self.is_ended {
            self.event(Event::Detached);
        }
    }

    /// Closes the socket behind what is queued.
    pub(crate) fn part(&mut self, code: Code) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| !socket.is_parting) {
            socket.is_parting = true;
            socket.set_bye_at(None);
            socket.queue(Transmit::Close(code));
        }
    }

    /// Leaves it to the peer to close the socket, for some time.
    pub(crate) fn await_close(&mut self, now: At) {
        if let Some(socket) = &mut self.socket {
            socket.is_parting = true;
            socket.set_bye_at(Some(now));
        }
    }

    /// Returns where we stand, and grants the credit in it.
    pub(crate) fn counts(&mut self) -> Counts {
        Counts {
            window: self.incoming.grant(&self.config),
            recv: self.incoming.recv(),
            done: self.incoming.done(&self.config),
            sent: self.out.position(),
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Tells of something that a peer can cause as often as it likes: nothing else bounds how much waits.
    pub(crate) fn event_once(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns what happened; a message that is handed out gives its credit back.
    #[inline]
    pub(crate) fn poll_event(&mut self, now: At) -> Option<Event> {
        let event = self.events.take_front()?;
        match &event {
            Event::Message(Message { number: None, .. }) => self.volatile_events -= 1,
            Event::Message(message) => self.hand_out(now, message.cost()),
            // It happens rarely; a session of few messages keeps no memory for it.
            _ => self.events.shrink(),
        }
        Some(event)
    }

    /// Gives credit back for a message that is handed out.
    #[inline]
    pub(crate) fn hand_out(&mut self, now: At, cost: u64) {
        if self.config.acks == Acks::Automatic {
            self.incoming.credit(now, cost, &self.config);
        }
    }

    pub(crate) fn release(&mut self, now: At, number: u64) {
        self.incoming.release(now, number, &self.config);
    }

    pub(crate) fn queue(&mut self, transmit: Transmit) {
        if let Some(socket) = &mut self.socket {
            socket.queue(transmit);
        }
    }

    pub(crate) fn queue_frame(&mut self, frame: &Frame) {
        self.queue(Transmit::Frame(frame.encode()));
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.is_attached && !socket.is_parting)
    }

    /// Returns whether the socket of this name is the newest, and there.
    pub(crate) const fn has_socket(&self, id: u64) -> bool {
        self.socket.is_some() && self.newest == id
    }

    /// Returns whether what this socket says counts.
    pub(crate) fn listening(&self, id: u64) -> bool {
        self.newest == id && self.socket.as_ref().is_some_and(|socket| !socket.is_parting)
    }

    pub(crate) fn evict_old(&mut self, now: At) {
        if let Some(age) = self.config.buffer.age
            && !self.is_attached()
        {
            let limit = now.millis().saturating_sub(as_millis(age));
            self.out.evict_older(limit);
        }
    }

    #[inline]
    pub(crate) fn at(&mut self, now: Instant) -> At {
        self.timeline.at(now)
    }

    pub(crate) const fn last_now(&self) -> Instant {
        self.timeline.last()
    }

    pub(crate) fn instant(&self, at: At) -> Instant {
        self.timeline.instant(at)
    }
}

fn as_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
