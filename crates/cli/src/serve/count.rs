//! `/count`: a number four times a second, the same for everybody, so that who missed one can tell;
//! and what is said to it comes back.

use std::{convert::Infallible, sync::Arc, time::Duration};

use everwire::{
    Conn, Group, Handler, Message, PreparedMessage,
    session::{SessionHandler, SessionMessage, SessionSender},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    chat,
    echo::{Echo, SessionEcho},
};

/// The time between two numbers.
const PERIOD: Duration = Duration::from_millis(250);

/// Those who listen. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Count {
    group: Group,
    arrived: Arc<Notify>,
}

impl Default for Count {
    fn default() -> Self {
        Self { group: chat::group(), arrived: Arc::default() }
    }
}

impl Count {
    /// Counts for ever while somebody listens. A session without a connection does.
    pub(super) async fn run(&self) -> Infallible {
        let (start, mut number) = (Instant::now(), 0);
        loop {
            self.arrived.notified().await;
            // An ordinary connection that comes back finds that time has passed.
            number = u128::max(number, start.elapsed().as_millis() / PERIOD.as_millis());
            let mut period = interval(PERIOD);
            period.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !self.group.is_empty() {
                period.tick().await;
                number += 1;
                self.group.broadcast(&PreparedMessage::new(number.to_string()));
            }
        }
    }

    /// Returns the handler of one connection, or of one session.
    pub(super) fn listener(&self) -> Listener {
        Listener { count: self.clone(), echo: SessionEcho::default() }
    }
}

/// One connection that listens, or one session.
#[derive(Debug)]
pub(super) struct Listener {
    count: Count,
    echo: SessionEcho,
}

impl Handler for Listener {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.count.group.join(&conn.sender());
        self.count.arrived.notify_one();
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        Echo.on_message(conn, message);
    }
}

impl SessionHandler for Listener {
    fn on_session(&mut self, session: &SessionSender) {
        self.count.group.join_session(session);
        self.count.arrived.notify_one();
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
}
