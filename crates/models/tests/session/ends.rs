//! The two ends of a session, with as little as the rules of `docs/protocol.md` need.

use super::{
    properties::Wrong,
    wire::{Answer, Frame},
};

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutation {
    NoServerFence,
    NoClientFence,
    ArrivalOrder,
    NoTokenGrace,
}

/// A stream as both of its ends see it; numbers are those of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    /// The number of the last accepted message.
    pub(crate) said: u8,
    /// The lowest that is still in the buffer.
    pub(crate) first: u8,
    pub(crate) acked: u8,
    pub(crate) position: u8,
    /// What the end has received of the other stream.
    pub(crate) recv: u8,
    /// What it has told the peer of that.
    pub(crate) told: u8,
}

impl Stream {
    pub(crate) const NEW: Self =
        Self { said: 0, first: 1, acked: 0, position: 0, recv: 0, told: 0 };

    /// Puts what is in the buffer on a socket.
    fn flush(&mut self, incarnation: u8, socket: &mut Vec<Frame>) {
        if self.position + 1 < self.first {
            socket.push(Frame::Gap { from: self.position + 1, to: self.first - 1 });
            self.position = self.first - 1;
        }
        while self.position < self.said {
            self.position += 1;
            socket.push(Frame::Data { incarnation, number: self.position });
        }
    }

    fn attach(&mut self, recv: u8) {
        (self.acked, self.position) = (recv, recv);
    }

    /// Takes in where the peer stands.
    fn acknowledge(&mut self, recv: u8, sent: u8) -> Result<(), Wrong> {
        if sent != self.recv {
            return Err(Wrong::Accused("the ends count differently"));
        }
        if !(self.acked..=self.position).contains(&recv) {
            return Err(Wrong::Accused("what was never sent is acknowledged"));
        }
        self.acked = recv;
        self.first = self.first.max(recv + 1);
        Ok(())
    }

    /// Takes in a message or a gap.
    fn receive(&mut self, frame: &Frame, own: u8) -> Result<(), Wrong> {
        match *frame {
            Frame::Data { incarnation, .. } if incarnation != own => Err(Wrong::Foreign),
            Frame::Data { number, .. } if number <= self.recv => Err(Wrong::Twice(number)),
            Frame::Data { number, .. } if number > self.recv + 1 => Err(Wrong::Never(number)),
            Frame::Data { number, .. } => {
                self.recv = number;
                Ok(())
            }
            Frame::Gap { from, .. } if from != self.recv + 1 => {
                Err(Wrong::Accused("a gap is out of place"))
            }
            Frame::Gap { to, .. } => {
                self.recv = to;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ack(&mut self) -> Frame {
        self.told = self.recv;
        Frame::Ack { recv: self.recv, sent: self.position }
    }

    /// Drops the oldest message; the gap is told at the next attach.
    pub(crate) fn evict(&mut self) {
        self.first += 1;
    }
}

/// Why a client's end is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Goodbye,
    Superseded,
}

/// The client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) incarnation: u8,
    pub(crate) attempt: u8,
    pub(crate) token: u8,
    pub(crate) epoch: u8,
    /// The newest socket, by its attempt.
    pub(crate) socket: Option<u8>,
    pub(crate) attached: bool,
    pub(crate) wants_bye: bool,
    pub(crate) said_bye: bool,
    pub(crate) end: Option<End>,
    pub(crate) losses: u8,
}

impl Client {
    /// Fences older sockets, and says HELLO on a new one.
    pub(crate) fn hello(&mut self, up: &mut Vec<Frame>) {
        self.attempt += 1;
        self.socket = Some(self.attempt);
        (self.attached, self.said_bye) = (false, false);
        let Stream { recv, said, first, .. } = self.stream;
        let (attempt, token) = (self.attempt, self.token);
        up.push(Frame::Hello { attempt, token, recv, next: said + 1, lo: first });
    }

    pub(crate) fn flush(&mut self, up: &mut Vec<Frame>) {
        if !self.attached || self.said_bye || self.end.is_some() {
            return;
        }
        self.stream.flush(self.incarnation, up);
        if self.wants_bye {
            self.said_bye = true;
            up.push(Frame::Bye { recv: self.stream.recv, sent: self.stream.position });
        }
    }

    pub(crate) fn ack(&mut self, up: &mut Vec<Frame>) {
        up.push(self.stream.ack());
    }

    /// Takes in a frame from a socket.
    pub(crate) fn take(
        &mut self,
        socket: u8,
        frame: &Frame,
        up: &mut Vec<Frame>,
        without: Option<Mutation>,
    ) -> Result<(), Wrong> {
        let is_fenced = self.socket != Some(socket);
        if self.end.is_some() || is_fenced && without != Some(Mutation::NoClientFence) {
            return Ok(());
        }
        match frame {
            Frame::Welcome(_) | Frame::Superseded if is_fenced => Ok(()),
            Frame::Welcome(answer) => self.welcome(answer, up),
            Frame::Superseded => {
                self.end = Some(End::Superseded);
                Ok(())
            }
            Frame::Ack { recv, sent } => self.stream.acknowledge(*recv, *sent),
            Frame::ByeReply { recv } => {
                self.stream.acked = *recv;
                self.end = Some(End::Goodbye);
                Ok(())
            }
            frame => self.stream.receive(frame, self.incarnation),
        }
    }

    fn welcome(&mut self, answer: &Answer, up: &mut Vec<Frame>) -> Result<(), Wrong> {
        match *answer {
            Answer::Resumed { epoch, recv, sent, token } => {
                let is_possible = (self.stream.acked..=self.stream.said).contains(&recv);
                if sent != self.stream.recv || !is_possible || epoch <= self.epoch {
                    return Err(Wrong::Accused("a WELCOME with other counters"));
                }
                (self.epoch, self.token, self.attached) = (epoch, token, true);
                self.stream.attach(recv);
            }
            Answer::Lost { token, incarnation } => {
                self.losses += 1;
                (self.epoch, self.token, self.attached) = (1, token, true);
                self.incarnation = incarnation;
                self.stream = Stream::NEW;
            }
            Answer::Ended => self.end = Some(End::Goodbye),
            Answer::Stale => self.end = Some(End::Superseded),
        }
        if self.attached {
            self.ack(up);
        }
        Ok(())
    }
}

/// A session of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) stream: Stream,
    pub(crate) incarnation: u8,
    pub(crate) epoch: u8,
    pub(crate) attempt: u8,
    pub(crate) socket: Option<u8>,
    pub(crate) token: u8,
    pub(crate) previous: u8,
    pub(crate) confirmed: bool,
    pub(crate) ended: bool,
}

impl Session {
    /// Answers a HELLO whose token is known; returns the socket to close.
    pub(crate) fn attach(
        &mut self,
        socket: u8,
        hello: &Frame,
        fresh: u8,
        without: Option<Mutation>,
    ) -> (Answer, Option<u8>) {
        let &Frame::Hello { attempt, token, recv, .. } = hello else {
            unreachable!("it is a HELLO")
        };
        if self.ended {
            return (Answer::Ended, None);
        }
        if attempt <= self.attempt && without != Some(Mutation::ArrivalOrder) {
            return (Answer::Stale, None);
        }
        let forgives = !self.confirmed && without != Some(Mutation::NoTokenGrace);
        if token != self.token && !forgives {
            return (Answer::Stale, None);
        }
        self.attempt = attempt;
        self.epoch += 1;
        let fenced = self.socket.replace(socket);
        self.stream.attach(recv);
        self.stream.told = self.stream.recv;
        (self.previous, self.token, self.confirmed) = (token, fresh, false);
        let (epoch, received) = (self.epoch, self.stream.recv);
        (Answer::Resumed { epoch, recv: received, sent: recv, token: fresh }, fenced)
    }

    pub(crate) fn flush(&mut self, down: &mut Vec<Frame>) {
        if !self.ended {
            self.stream.flush(self.incarnation, down);
        }
    }

    pub(crate) fn ack(&mut self, down: &mut Vec<Frame>) {
        down.push(self.stream.ack());
    }

    /// Takes in a frame from a socket; returns what is said in answer.
    pub(crate) fn take(
        &mut self,
        socket: u8,
        frame: &Frame,
        without: Option<Mutation>,
    ) -> Result<Option<Frame>, Wrong> {
        let is_fenced = self.socket != Some(socket);
        if self.ended || is_fenced && without != Some(Mutation::NoServerFence) {
            return Ok(None);
        }
        match frame {
            Frame::Ack { recv, sent } => self.stream.acknowledge(*recv, *sent)?,
            Frame::Bye { recv, sent } => {
                self.stream.acknowledge(*recv, *sent)?;
                self.ended = true;
                return Ok(Some(Frame::ByeReply { recv: self.stream.recv }));
            }
            frame => self.stream.receive(frame, self.incarnation)?,
        }
        self.confirmed = true;
        Ok(None)
    }
}
