//! `/count`: a number four times a second, the same for everybody, so that who missed one can tell;
//! and what is said to it comes back.

use std::{convert::Infallible, time::Duration};

use everwire::{
    Conn, Handler, Message, PreparedMessage,
    session::{End, SessionHandler, SessionId, SessionMessage, SessionSender},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    audience::Audience,
    echo::{Echo, SessionEcho},
};

/// The time between two numbers.
const PERIOD: Duration = Duration::from_millis(250);

/// Counts for ever while somebody listens. A session without a connection does.
pub(super) async fn run(audience: &Audience) -> Infallible {
    let (start, mut number) = (Instant::now(), 0);
    loop {
        audience.somebody().await;
        // An ordinary connection that comes back finds that time has passed.
        number = u128::max(number, start.elapsed().as_millis() / PERIOD.as_millis());
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !audience.is_empty() {
            period.tick().await;
            number += 1;
            audience.tell(&PreparedMessage::new(Message::text(number.to_string())));
        }
    }
}

/// One connection that listens.
#[derive(Debug)]
pub(super) struct Listener(pub(super) Audience);

impl Handler for Listener {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.join(&conn.sender());
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        Echo.on_message(conn, message);
    }
}

/// One session that listens.
#[derive(Debug)]
pub(super) struct SessionListener {
    id: SessionId,
    audience: Audience,
    echo: SessionEcho,
}

impl SessionListener {
    pub(super) fn new(session: &SessionSender, audience: &Audience) -> Self {
        Self { id: session.id(), audience: audience.clone(), echo: SessionEcho::default() }
    }
}

impl SessionHandler for SessionListener {
    fn on_session(&mut self, session: &SessionSender) {
        self.audience.join_session(session);
    }

    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        self.echo.on_message(session, message);
    }

    fn on_detached(&mut self, session: &SessionSender) {
        self.echo.on_detached(session);
    }

    fn on_resumed(&mut self, session: &SessionSender) {
        self.echo.on_resumed(session);
    }

    fn on_writable(&mut self, session: &SessionSender) {
        self.echo.on_writable(session);
    }

    fn on_end(&mut self, _: &End) {
        self.audience.leave(self.id);
    }
}
