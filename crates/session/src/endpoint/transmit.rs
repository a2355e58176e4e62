//! What is to be sent on the socket next.

use super::Endpoint;
use crate::{At, Direction, Event, Frame, Lent, Transmit, outgoing::Next};

impl Endpoint {
    pub(crate) fn poll_transmit(&mut self, now: At, id: u64) -> Option<Transmit> {
        let socket = self.socket.as_mut().filter(|_| self.newest == id)?;
        if let Some(transmit) = socket.take_queued() {
            socket.last_sent = now;
            if matches!(transmit, Transmit::Close(_)) {
                self.socket = None;
            }
            return Some(transmit);
        }
        if !socket.is_attached || socket.is_parting {
            return None;
        }
        let frame = self.control(now).or_else(|| self.stream(now)).or_else(|| self.goodbye(now))?;
        if let Some(socket) = &mut self.socket {
            socket.last_sent = now;
        }
        Some(frame)
    }

    /// Returns the next message and counts it as sent, if nothing else goes before it.
    #[inline]
    pub(crate) fn poll_message(&mut self, now: At, id: u64) -> Option<Lent<'_>> {
        let socket =
            self.socket.as_mut().filter(|socket| self.newest == id && socket.is_quiet())?;
        if self.incoming.is_ack_due() {
            return None;
        }
        let message = self.out.poll_message(now)?;
        socket.last_sent = now;
        Some(message)
    }

    fn control(&mut self, now: At) -> Option<Transmit> {
        let position = self.out.position();
        let socket = self.socket.as_mut()?;
        let frame = if let Some(token) = socket.take_pong() {
            Frame::Pong { token, counts: self.counts() }
        } else if socket.ping_due {
            let token = socket.next_ping(now, position);
            Frame::Ping { token, counts: self.counts() }
        } else if self.incoming.is_ack_due() {
            Frame::Ack(self.counts())
        } else {
            return None;
        };
        Some(Transmit::Frame(frame.encode()))
    }

    pub(super) fn stream(&mut self, now: At) -> Option<Transmit> {
        Some(Transmit::Frame(match self.out.poll(now)? {
            Next::Frame(frame) => frame,
            Next::Gap(gap) => {
                self.event(Event::Gap(Direction::Out, gap));
                Frame::Gap(gap).encode()
            }
        }))
    }

    /// Says BYE, once per socket, when nothing else is left to send.
    fn goodbye(&mut self, now: At) -> Option<Transmit> {
        let socket = self.socket.as_ref()?;
        if socket.bye_at().is_some() || !self.out.is_done() {
            return None;
        }
        let goodbye = self.goodbye.as_ref()?;
        let (code, reason) = (goodbye.code, goodbye.reason.clone());
        let bye = Frame::Bye { reply: false, code, counts: self.counts(), reason };
        if let Some(socket) = &mut self.socket {
            socket.set_bye_at(Some(now));
        }
        Some(Transmit::Frame(bye.encode()))
    }
}
