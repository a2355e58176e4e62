//! A connection that speaks `everwire.v1`.

use std::{sync::Arc, time::Instant};

use everwire_proto::{Closure, Event, Message};
use everwire_session::{Code, HEADER_NAME, Hello, Malformed, Principal, SUBPROTOCOL};
use http::{HeaderMap, HeaderValue};
use tokio::task::AbortHandle;

use super::{
    SessionSender, Sessions,
    live::{Held, Live},
    oversize::oversize,
    sessions::{Answer, Table},
    transmit,
};
use crate::{
    Conn, clock,
    driver::{App, Called},
    shared::Shared,
};

/// What a path does with clients that offer `everwire.v1`.
#[derive(Clone)]
pub(crate) struct SessionRoute(Arc<Table>);

impl SessionRoute {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self(sessions.0.clone())
    }

    /// Returns the subprotocol that a client is answered with, if it wants a session.
    pub(crate) fn select(offers: &[String]) -> Option<&'static str> {
        offers.iter().any(|offer| offer == SUBPROTOCOL).then_some(SUBPROTOCOL)
    }

    /// Returns the limit on messages that connections need at least.
    pub(crate) fn max_frame(&self) -> u64 {
        self.0.max_frame()
    }

    /// Makes what runs a connection.
    pub(crate) fn app(&self, headers: &HeaderMap, offers: &[String]) -> SessionSocket {
        self.socket(hello_of(headers, offers))
    }

    fn socket(&self, hello: Option<Result<Hello, Malformed>>) -> SessionSocket {
        SessionSocket(Stage::Asked(Box::new(Asked { table: self.0.clone(), hello })))
    }

    /// Makes what runs a connection whose client says HELLO by itself.
    #[cfg(test)]
    pub(crate) fn inline(&self) -> SessionSocket {
        self.socket(None)
    }
}

/// Returns the HELLO that came with the request.
fn hello_of(headers: &HeaderMap, offers: &[String]) -> Option<Result<Hello, Malformed>> {
    let headers = headers.get_all(HEADER_NAME).iter().map(HeaderValue::as_bytes);
    Hello::in_request(headers, offers.iter().map(String::as_str))
}

/// A connection that speaks `everwire.v1`: it hands what comes to its session, and sends what that
/// has to say.
pub(crate) struct SessionSocket(Stage);

/// What is large is boxed: nearly all are attached.
enum Stage {
    Asked(Box<Asked>),
    Waiting(Box<Waiting>),
    Attached {
        session: SessionSender,
        epoch: ShortEpoch,
        /// Something came for the session since it was last settled.
        was_read: bool,
    },
    Refused,
}

/// A connection that was not opened yet.
struct Asked {
    table: Arc<Table>,
    /// That of the request, if there was one.
    hello: Option<Result<Hello, Malformed>>,
}

/// Waiting for a HELLO as the first message.
struct Waiting {
    table: Arc<Table>,
    until: Instant,
    reminder: AbortHandle,
}

/// An epoch in half the memory: a session has another once per second, at most.
#[derive(Clone, Copy)]
struct ShortEpoch(u32);

impl ShortEpoch {
    /// The epoch of the 137th year counts as one that is over.
    fn new(epoch: u64) -> Self {
        Self(u32::try_from(epoch).unwrap_or(0))
    }

    #[inline]
    fn get(self) -> u64 {
        self.0.into()
    }
}

impl SessionSocket {
    fn hello(&mut self, conn: &mut Conn<'_>, table: &Arc<Table>, hello: Result<Hello, Malformed>) {
        self.0 = match hello {
            Ok(hello) => attach(conn, table, &hello),
            Err(error) => {
                tracing::debug!(id = %conn.id(), %error, "malformed HELLO");
                transmit::close(conn, Code::MALFORMED);
                Stage::Refused
            }
        };
        self.transmit(conn, &mut None);
    }

    /// Handles the message that should be a HELLO.
    #[cold]
    fn first_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match std::mem::replace(&mut self.0, Stage::Refused) {
            Stage::Waiting(waiting) => {
                waiting.reminder.abort();
                let hello = match message {
                    Message::Binary(frame) => Hello::parse(&frame.into_bytes()),
                    Message::Text(_) => Err(Malformed::TextMessage),
                };
                self.hello(conn, &waiting.table, hello);
            }
            other => self.0 = other,
        }
    }

    /// Has the session do all that follows from what came, and say what it has to say.
    #[inline]
    fn transmit(&mut self, conn: &mut Conn<'_>, held: &mut Held) {
        if let Stage::Attached { session, epoch, was_read } = &mut self.0 {
            *was_read = false;
            Live::transmit(session, conn, epoch.get(), held);
        }
    }

    /// Handles that it is decided how the connection ends. A message that was too big for it ends the
    /// session now, not when the socket has gone: who comes on another until then is told so.
    #[cold]
    fn end_decided(&mut self, conn: &Conn<'_>) {
        let cause = conn.proto.cause();
        let oversize = cause.and_then(|cause| oversize(cause, conn.proto.received_close()));
        if let (Stage::Attached { session, epoch, was_read }, Some(oversize)) =
            (&mut self.0, oversize)
        {
            session.0.too_big(epoch.get(), oversize);
            *was_read = true;
        }
    }

    #[inline]
    const fn was_read(&self) -> bool {
        matches!(self.0, Stage::Attached { was_read: true, .. })
    }

    #[inline]
    fn message(&mut self, conn: &mut Conn<'_>, held: &mut Held, message: Message<'_>) {
        if let Stage::Attached { session, epoch, was_read } = &mut self.0 {
            *was_read = true;
            Live::receive(session, conn.now, epoch.get(), message, held);
        } else {
            self.first_message(conn, message);
        }
    }
}

fn attach(conn: &mut Conn<'_>, table: &Arc<Table>, hello: &Hello) -> Stage {
    let who = table.who(&hello.auth, conn.data::<Principal>());
    match table.attach(conn.now, hello, who, &conn.sender()) {
        Answer::Attached(live, epoch) => {
            let (session, epoch) = (SessionSender(live), ShortEpoch::new(epoch));
            Stage::Attached { session, epoch, was_read: false }
        }
        Answer::Refused(welcome, code) => {
            transmit::refuse(conn, welcome, code);
            Stage::Refused
        }
    }
}

impl App for SessionSocket {
    /// The session's application, while it is called for what came.
    type Batch = Held;

    fn open(&mut self, conn: &mut Conn<'_>) {
        let Asked { table, hello } = match std::mem::replace(&mut self.0, Stage::Refused) {
            Stage::Asked(asked) => *asked,
            other => return self.0 = other,
        };
        if let Some(hello) = hello {
            return self.hello(conn, &table, hello);
        }
        let (wait, sender) = (table.attach_timeout(), conn.sender());
        let reminder = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            sender.notify();
        });
        let (reminder, until) = (reminder.abort_handle(), conn.now + wait);
        self.0 = Stage::Waiting(Box::new(Waiting { table, until, reminder }));
    }

    #[inline]
    fn event(&mut self, conn: &mut Conn<'_>, held: &mut Held, event: Event<'_>) {
        if let Event::Message(message) = event {
            self.message(conn, held, message);
        }
    }

    /// Settles all that came in one go: so it is transmitted, and looked after, once.
    #[inline]
    fn input_end(&mut self, conn: &mut Conn<'_>, held: &mut Held) {
        if conn.proto.cause().is_some() {
            self.end_decided(conn);
        }
        if self.was_read() {
            self.transmit(conn, held);
        }
    }

    fn notify(&mut self, conn: &mut Conn<'_>) {
        match &self.0 {
            Stage::Attached { .. } => self.transmit(conn, &mut None),
            Stage::Waiting(waiting) if waiting.until <= clock::now() => {
                transmit::close(conn, Code::TIMEOUT);
                self.0 = Stage::Refused;
            }
            _ => {}
        }
    }

    fn drain(&mut self, conn: &mut Conn<'_>) {
        if let Stage::Attached { session, .. } = &self.0 {
            session.0.go_away(conn.drain_advice());
            self.transmit(conn, &mut None);
        }
    }

    fn close(&mut self, _: &Shared, _: &Closure) {
        match &self.0 {
            Stage::Attached { session, epoch, .. } => session.0.closed(epoch.get()),
            Stage::Waiting(waiting) => waiting.reminder.abort(),
            _ => {}
        }
    }
}

impl Called for SessionSocket {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_keeps_little_for_its_session() {
        assert!(size_of::<SessionSocket>() <= 16, "{} bytes", size_of::<SessionSocket>());
    }
}
