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
        let stage = Stage::Asked(self.0.clone(), hello.map(Box::new));
        SessionSocket { stage, was_read: false, app: None }
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
pub(crate) struct SessionSocket {
    stage: Stage,
    /// Something came for the session since it was last settled.
    was_read: bool,
    /// The session's application, while it is called for what came.
    app: Held,
}

/// What is large is boxed: nearly all are attached.
enum Stage {
    /// With the HELLO of the request, if there was one.
    Asked(Arc<Table>, Option<Box<Result<Hello, Malformed>>>),
    Waiting(Box<Waiting>),
    Attached(SessionSender, u64),
    Refused,
}

/// Waiting for a HELLO as the first message.
struct Waiting {
    table: Arc<Table>,
    until: Instant,
    reminder: AbortHandle,
}

impl SessionSocket {
    fn hello(&mut self, conn: &mut Conn<'_>, table: &Arc<Table>, hello: Result<Hello, Malformed>) {
        self.stage = match hello {
            Ok(hello) => attach(conn, table, &hello),
            Err(error) => {
                tracing::debug!(id = %conn.id(), %error, "malformed HELLO");
                transmit::close(conn, Code::MALFORMED);
                Stage::Refused
            }
        };
        self.transmit(conn);
    }

    /// Handles the message that should be a HELLO.
    #[cold]
    fn first_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Waiting(waiting) => {
                waiting.reminder.abort();
                let hello = match message {
                    Message::Binary(frame) => Hello::parse(&frame.into_bytes()),
                    Message::Text(_) => Err(Malformed::TextMessage),
                };
                self.hello(conn, &waiting.table, hello);
            }
            other => self.stage = other,
        }
    }

    /// Has the session do all that follows from what came, and say what it has to say.
    #[inline]
    fn transmit(&mut self, conn: &mut Conn<'_>) {
        if let Stage::Attached(session, epoch) = &self.stage {
            Live::transmit(session, conn, *epoch, &mut self.app);
        }
    }

    /// Handles that it is decided how the connection ends. A message that was too big for it ends the
    /// session now, not when the socket has gone: who comes on another until then is told so.
    #[cold]
    fn end_decided(&mut self, conn: &Conn<'_>) {
        let cause = conn.proto.cause();
        let oversize = cause.and_then(|cause| oversize(cause, conn.proto.received_close()));
        if let (Stage::Attached(session, epoch), Some(oversize)) = (&self.stage, oversize) {
            session.0.too_big(*epoch, oversize);
            self.was_read = true;
        }
    }

    #[inline]
    fn message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        if let Stage::Attached(session, epoch) = &self.stage {
            self.was_read = true;
            Live::receive(session, conn.now, *epoch, message, &mut self.app);
        } else {
            self.first_message(conn, message);
        }
    }
}

fn attach(conn: &mut Conn<'_>, table: &Arc<Table>, hello: &Hello) -> Stage {
    let who = table.who(&hello.auth, conn.data::<Principal>());
    match table.attach(conn.now, hello, who, &conn.sender()) {
        Answer::Attached(live, epoch) => Stage::Attached(SessionSender(live), epoch),
        Answer::Refused(welcome, code) => {
            transmit::refuse(conn, welcome, code);
            Stage::Refused
        }
    }
}

impl App for SessionSocket {
    fn open(&mut self, conn: &mut Conn<'_>) {
        let (table, hello) = match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Asked(table, hello) => (table, hello),
            other => return self.stage = other,
        };
        if let Some(hello) = hello {
            return self.hello(conn, &table, *hello);
        }
        let (wait, sender) = (table.attach_timeout(), conn.sender());
        let reminder = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            sender.notify();
        });
        let (reminder, until) = (reminder.abort_handle(), conn.now + wait);
        self.stage = Stage::Waiting(Box::new(Waiting { table, until, reminder }));
    }

    #[inline]
    fn event(&mut self, conn: &mut Conn<'_>, event: Event<'_>) {
        if let Event::Message(message) = event {
            self.message(conn, message);
        }
    }

    /// Settles all that came in one go: so it is transmitted, and looked after, once.
    #[inline]
    fn input_end(&mut self, conn: &mut Conn<'_>) {
        if conn.proto.cause().is_some() {
            self.end_decided(conn);
        }
        if std::mem::take(&mut self.was_read) {
            self.transmit(conn);
        }
    }

    fn notify(&mut self, conn: &mut Conn<'_>) {
        match &self.stage {
            Stage::Attached(..) => self.transmit(conn),
            Stage::Waiting(waiting) if waiting.until <= clock::now() => {
                transmit::close(conn, Code::TIMEOUT);
                self.stage = Stage::Refused;
            }
            _ => {}
        }
    }

    fn drain(&mut self, conn: &mut Conn<'_>) {
        if let Stage::Attached(session, _) = &self.stage {
            session.0.go_away(conn.drain_advice());
            self.transmit(conn);
        }
    }

    fn close(&mut self, _: &Shared, _: &Closure) {
        match &self.stage {
            Stage::Attached(session, epoch) => session.0.closed(*epoch),
            Stage::Waiting(waiting) => waiting.reminder.abort(),
            _ => {}
        }
    }
}

impl Called for SessionSocket {}
