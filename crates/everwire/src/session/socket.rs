//! A connection that speaks `everwire.v1`.

use std::{sync::Arc, time::Instant};

use everwire_proto::{Closure, Event, Message};
use everwire_session::{
    Code, HEADER_NAME, Hello, Malformed, Principal, SUBPROTOCOL, SUBPROTOCOL_HELLO_PREFIX,
};
use http::HeaderMap;
use tokio::task::AbortHandle;

use super::{
    Sessions,
    live::Live,
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
        SessionSocket { table: self.0.clone(), stage: Stage::Asked(hello), was_read: false }
    }

    /// Makes what runs a connection whose client says HELLO by itself.
    #[cfg(test)]
    pub(crate) fn inline(&self) -> SessionSocket {
        self.socket(None)
    }
}

/// Returns the HELLO that came with the request.
fn hello_of(headers: &HeaderMap, offers: &[String]) -> Option<Result<Hello, Malformed>> {
    if let Some(value) = headers.get(HEADER_NAME) {
        let value = value.to_str().map_err(|_| Malformed::OutOfRange("base64url"));
        return Some(value.and_then(Hello::parse_base64));
    }
    let hello = offers.iter().find_map(|offer| offer.strip_prefix(SUBPROTOCOL_HELLO_PREFIX))?;
    Some(Hello::parse_base64(hello))
}

/// A connection that speaks `everwire.v1`: it hands what comes to its session, and sends what that
/// has to say.
pub(crate) struct SessionSocket {
    table: Arc<Table>,
    stage: Stage,
    /// Something came for the session since it was last settled.
    was_read: bool,
}

enum Stage {
    /// With the HELLO of the request, if there was one.
    Asked(Option<Result<Hello, Malformed>>),
    /// For a HELLO as the first message.
    Waiting {
        until: Instant,
        reminder: AbortHandle,
    },
    Attached(Arc<Live>, u64),
    Refused,
}

impl SessionSocket {
    fn hello(&mut self, conn: &mut Conn<'_>, hello: Result<Hello, Malformed>) {
        let stage = match hello {
            Ok(hello) => self.attach(conn, &hello),
            Err(error) => {
                tracing::debug!(id = %conn.id(), %error, "malformed HELLO");
                transmit::close(conn, Code::MALFORMED);
                Stage::Refused
            }
        };
        if let Stage::Waiting { reminder, .. } = std::mem::replace(&mut self.stage, stage) {
            reminder.abort();
        }
        if let Stage::Attached(live, epoch) = &self.stage {
            live.transmit(conn, *epoch);
        }
    }

    fn attach(&self, conn: &mut Conn<'_>, hello: &Hello) -> Stage {
        let who = self.table.who(&hello.auth, conn.data::<Principal>());
        match self.table.attach(conn.now, hello, who, &conn.sender()) {
            Answer::Attached(live, epoch) => Stage::Attached(live, epoch),
            Answer::Refused(welcome, code) => {
                transmit::refuse(conn, welcome, code);
                Stage::Refused
            }
        }
    }
}

impl SessionSocket {
    #[inline]
    fn message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match (&self.stage, message) {
            (Stage::Attached(live, epoch), message) => {
                self.was_read = true;
                live.receive(conn.now, *epoch, message);
            }
            (Stage::Waiting { .. }, Message::Binary(frame)) => {
                self.hello(conn, Hello::parse(&frame.into_bytes()));
            }
            (Stage::Waiting { .. }, Message::Text(_)) => {
                self.hello(conn, Err(Malformed::TextMessage));
            }
            _ => {}
        }
    }
}

impl App for SessionSocket {
    fn open(&mut self, conn: &mut Conn<'_>) {
        let Stage::Asked(hello) = &mut self.stage else { return };
        if let Some(hello) = hello.take() {
            return self.hello(conn, hello);
        }
        let (wait, sender) = (self.table.attach_timeout(), conn.sender());
        let reminder = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            sender.notify();
        });
        let reminder = reminder.abort_handle();
        self.stage = Stage::Waiting { until: conn.now + wait, reminder };
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
        if std::mem::take(&mut self.was_read)
            && let Stage::Attached(live, epoch) = &self.stage
        {
            live.transmit(conn, *epoch);
        }
    }

    fn notify(&mut self, conn: &mut Conn<'_>) {
        match &self.stage {
            Stage::Attached(live, epoch) => live.transmit(conn, *epoch),
            Stage::Waiting { until, .. } if *until <= clock::now() => {
                transmit::close(conn, Code::TIMEOUT);
                self.stage = Stage::Refused;
            }
            _ => {}
        }
    }

    fn drain(&mut self, conn: &mut Conn<'_>) {
        if let Stage::Attached(live, epoch) = &self.stage {
            live.go_away(conn.drain_advice());
            live.transmit(conn, *epoch);
        }
    }

    fn close(&mut self, _: &Shared, closure: &Closure) {
        match &self.stage {
            Stage::Attached(live, epoch) => live.closed(*epoch, closure),
            Stage::Waiting { reminder, .. } => reminder.abort(),
            _ => {}
        }
    }
}

impl Called for SessionSocket {}
