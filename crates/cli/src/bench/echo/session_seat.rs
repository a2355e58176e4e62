//! One connection of `bench echo --session`: its messages go through a session.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use everwire::{
    CloseCode, Closure, Conn, Handler, Message, MessageKind, Payload, SendError, Sender,
    session::{Kind, SUBPROTOCOL, SessionConfig},
};
use everwire_session::{ClientSession, Event, Lent, MessageRef, Meter, Transmit};

use super::{Shared, lock};

/// How often a thread looks whether something is due in its sessions.
const LOOK: Duration = Duration::from_millis(50);

/// The client's end of a session, shared by a connection's handler and by who sends. Only one thread
/// locks it.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<End>>);

struct End {
    session: ClientSession,
    /// What it keeps is counted, and of no interest.
    meter: Meter,
}

impl Line {
    pub(super) fn new(biggest: usize) -> Self {
        let mut config = SessionConfig::client();
        // It is looked after every 50 ms, and has to acknowledge within 200.
        config.ack_delay -= LOOK;
        config.max_message = config.max_message.max(2 * biggest as u64);
        // The bench is the one that counts what comes too late.
        config.probes = false;
        config.buffer.entries = usize::MAX;
        config.buffer.bytes = usize::MAX;
        let session = ClientSession::new(Instant::now(), Arc::new(config));
        Self(Arc::new(Mutex::new(End { session, meter: Meter::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a message; [`transmit`](Self::transmit) sends it.
    pub(super) fn send(&self, now: Instant, message: &Message<'_>) -> Result<(), SendError> {
        let kind = match message.kind() {
            MessageKind::Text => Kind::Text,
            MessageKind::Binary => Kind::Binary,
        };
        let End { session, meter } = &mut *self.lock();
        let sent = session.send_payload(now, kind, message.as_bytes(), meter);
        sent.map(drop).map_err(|_| SendError::Closed)
    }

    /// Sends what there is to send.
    fn transmit(&self, now: Instant, conn: &mut Conn<'_>) {
        let session = &mut self.lock().session;
        loop {
            while let Some(frame) = session.poll_message(now, 1) {
                let payload = match frame {
                    Lent::Small(frame) => Payload::Borrowed(frame),
                    Lent::Large(frame) => Payload::Shared(frame.clone()),
                };
                conn.send(Message::Binary(payload)).ok();
            }
            match session.poll_transmit(now, 1) {
                Some(Transmit::Frame(frame)) => {
                    conn.send(Message::Binary(Payload::Shared(frame))).ok();
                }
                Some(Transmit::Close(code)) => {
                    let code = CloseCode::new(code.number());
                    code.and_then(|code| conn.close(code, "").ok());
                    return;
                }
                None => return,
            }
        }
    }
}

/// One connection.
pub(super) struct SessionSeat {
    pub(super) accounts: Shared,
    pub(super) place: usize,
    /// The next message is sent when an answer comes.
    pub(super) follows: bool,
    pub(super) line: Line,
}

impl Handler for SessionSeat {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        if conn.subprotocol() != Some(SUBPROTOCOL) {
            lock(&self.accounts).refused("the server offers no sessions here");
            conn.close(CloseCode::NORMAL_CLOSURE, "").ok();
            return;
        }
        let attempt = self.line.lock().session.hello(Instant::now());
        if let Some(attempt) = attempt {
            conn.send(Message::Binary(Payload::Shared(attempt.hello))).ok();
        }
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        let now = Instant::now();
        let lent = self.line.lock().session.handle_lent(now, 1, message.as_bytes());
        if let Some(message) = lent {
            self.answered(now, message);
            return self.line.transmit(now, conn);
        }
        loop {
            let event = self.line.lock().session.poll_event(now);
            match event {
                Some(Event::Message(message)) => self.answered(now, message.lend()),
                Some(Event::Ended(end)) => {
                    let why = format!("the session ended with {} {}", end.code, end.reason);
                    lock(&self.accounts).refused(&why);
                }
                Some(_) => {}
                None => break,
            }
        }
        self.line.transmit(now, conn);
    }

    fn on_notify(&mut self, conn: &mut Conn<'_>) {
        self.line.transmit(Instant::now(), conn);
    }

    fn on_close(&mut self, closure: &Closure) {
        lock(&self.accounts).closed(closure);
    }
}

impl SessionSeat {
    fn answered(&self, now: Instant, message: MessageRef<'_>) {
        let message = match (message.kind, std::str::from_utf8(message.payload)) {
            (Kind::Text, Ok(text)) => Message::text(text),
            _ => Message::binary(message.payload),
        };
        let mut accounts = lock(&self.accounts);
        if accounts.received(self.place, &message, now) && self.follows {
            let due = accounts.since_start(now);
            accounts.send(self.place, due, |message| self.line.send(now, &message));
        }
    }
}

/// Looks after what is due in sessions whose connections are open.
pub(super) async fn look_after(lines: &[Line], senders: &[Option<Sender>]) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Instant::now();
        for (line, sender) in lines.iter().zip(senders) {
            let Some(sender) = sender else { continue };
            let session = &mut line.lock().session;
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
                sender.notify();
            }
        }
    }
}
