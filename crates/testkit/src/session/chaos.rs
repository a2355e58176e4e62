//! A client and a server over sockets that are cut at random bytes, in virtual time.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use everwire_session::{
    Acks, ClientSession, Code, Config, Direction, EndedBy, Event, Kind, Meter, Mutation, Overflow,
    SendError, SessionId, StoreConfig, Transmit,
};

use super::{
    Failure, Fault, Host, Ledger, Report,
    told::Told,
    wire::{Item, Socket, whole},
};
use crate::Rng;

/// How long nothing may be heard, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of a WebSocket frame beside its payload: upwards with a mask.
const OVERHEAD: (u64, u64) = (6, 2);

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Buffers that hold what outages last: nothing may be missing.
    Roomy,
    /// Buffers that overflow: what is missing must be told.
    Tight,
}

/// A run: its seed decides everything.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// Decides everything.
    pub seed: u64,
    /// Cuts to make before the network heals.
    pub cuts: u64,
    /// How large the buffers are.
    pub profile: Profile,
    /// A rule to leave out, where the crate was built with `mutations`.
    pub mutation: Option<Mutation>,
}

impl Chaos {
    /// Runs it.
    ///
    /// # Errors
    /// If a message was lost, doubled, reordered or changed, or missing without being told, or if
    /// the session ended otherwise than by the client's goodbye.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut world = World::new(self);
        let outcome = world.run();
        let unheard = world.up.unheard() + world.down.unheard();
        let fail = |fault| Failure { seed: self.seed, cuts: world.report.cuts, unheard, fault };
        outcome.map_err(fail)?;
        Ok(world.report)
    }
}

struct World {
    plan: Chaos,
    rng: Rng,
    began: Instant,
    now: Instant,
    config: Arc<Config>,
    client: ClientSession,
    /// What the client's application was lent, and has not looked at.
    lent: VecDeque<Event>,
    told: Told,
    /// The session's name, which a client that was killed has to learn again.
    id: Bytes,
    host: Host,
    sockets: Vec<Socket>,
    opened: usize,
    /// When the client opens its next socket.
    connect_at: Option<Instant>,
    say_at: Instant,
    /// When the client's application looks at its events.
    listen_at: Instant,
    up: Ledger,
    down: Ledger,
    says_goodbye: bool,
    ends: (bool, bool),
    last_progress: Instant,
    /// The last message that the client's application has heard.
    dealt_with: u64,
    longest: usize,
    report: Report,
}

impl World {
    fn new(plan: &Chaos) -> Self {
        let mut rng = Rng::new(plan.seed);
        let (mut client, mut server) = (Config::client(), Config::server());
        let windows = [1, 200, 2_000, 1 << 18];
        client.window = windows[rng.below(windows.len())];
        server.window = windows[rng.below(windows.len())];
        server.terms.attach_burst = [5, 1_000_000][rng.below(2)];
        server.terms.ttl = Duration::from_secs(3600);
        server.terms.ttl_limit = Duration::from_secs(3600);
        server.terms.unconfirmed_ttl = Duration::from_secs(3600);
        client.ttl = Duration::from_secs(3600);
        // Some paths take 15 s; a goodbye that is given up is told, but is not what is tried here.
        client.bye_timeout = PATIENCE;
        server.bye_timeout = PATIENCE;
        server.buffer.overflow = Overflow::Refuse;
        if plan.profile == Profile::Tight {
            server.buffer.overflow = Overflow::Evict;
            client.buffer.bytes = 200 + rng.below(2_000);
            client.buffer.overflow = Overflow::Evict;
            server.buffer.entries = 1 + rng.below(20);
            if rng.below(2) == 0 {
                server.buffer.age = Some(Duration::from_millis(rng.below(5_000) as u64));
            }
        }
        client.acks = [Acks::Automatic, Acks::Released, Acks::Manual][rng.below(3)];
        mutate(&mut client, plan.mutation);
        mutate(&mut server, plan.mutation);
        let now = crate::start();
        let config = Arc::new(client);
        let mut session = ClientSession::new(now, config.clone());
        session.set_ticket("alice");
        Self {
            plan: plan.clone(),
            config,
            client: session,
            lent: VecDeque::new(),
            told: Told::default(),
            id: Bytes::new(),
            host: Host::new(server, StoreConfig::default(), plan.seed),
            sockets: Vec::new(),
            opened: 0,
            connect_at: Some(now),
            say_at: now,
            listen_at: now,
            up: Ledger::default(),
            down: Ledger::default(),
            says_goodbye: false,
            ends: (false, false),
            last_progress: now,
            dealt_with: 0,
            longest: [8, 200, 2_000][rng.below(3)] + 1,
            report: Report::default(),
            began: now,
            now,
            rng,
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        while self.ends != (true, true) {
            self.report.steps += 1;
            self.now = self.next_at().max(self.now);
            if self.now.duration_since(self.last_progress) > PATIENCE {
                let (attached, sockets) = (self.client.is_attached(), self.sockets.len());
                let how = format!("attached {attached}, {sockets} sockets");
                return Err(Fault::Stuck(how));
            }
            self.cuts();
            self.arrivals();
            if !self.client.id().is_empty() {
                self.id = self.client.id().clone();
            }
            self.client.handle_timeout(self.now);
            self.host.handle_timeout(self.now);
            self.connect();
            self.say()?;
            self.pump()?;
        }
        self.up.finish()?;
        self.down.finish()?;
        self.report.messages = self.up.messages + self.down.messages;
        self.report.missing = self.up.missing + self.down.missing;
        self.report.seconds = self.now.duration_since(self.began).as_secs();
        if self.plan.profile == Profile::Roomy && self.report.missing > 0 {
            return Err(Fault::Other(format!("{} messages missing", self.report.missing)));
        }
        Ok(())
    }

    fn next_at(&self) -> Instant {
        let sockets = self.sockets.iter().filter_map(Socket::next_at);
        let timeouts = [self.client.poll_timeout(), self.host.poll_timeout(), self.connect_at];
        let own = [self.say_at, self.listen_at];
        let at = sockets.chain(timeouts.into_iter().flatten()).chain(own).min();
        at.unwrap_or(self.say_at)
    }

    /// Delivers what arrives by now.
    fn arrivals(&mut self) {
        for socket in &mut self.sockets {
            while let Some(item) = socket.up.take(self.now) {
                match item {
                    Item::Message(message) if socket.server_open => {
                        self.host.handle_message(self.now, socket.id, &message);
                    }
                    Item::Message(_) => {}
                    Item::Closed(_) => socket.server_told_at = Some(self.now),
                }
            }
            if take_due(&mut socket.server_told_at, self.now) && socket.server_open {
                socket.server_open = false;
                self.host.handle_closed(self.now, socket.id);
            }
            let mut told = None;
            while let Some(item) = socket.down.take(self.now) {
                match item {
                    // An application that listens is lent a part of the messages.
                    Item::Message(message)
                        if self.listen_at <= self.now && message.len() % 3 == 0 =>
                    {
                        let lent = self.client.handle_lent(self.now, socket.attempt, &message);
                        self.lent.extend(lent.map(|message| Event::Message(message.to_message())));
                    }
                    Item::Message(message) => {
                        self.client.handle_message(self.now, socket.attempt, &message);
                    }
                    Item::Closed(code) => told = Some(code),
                }
            }
            if take_due(&mut socket.client_told_at, self.now) {
                told = told.or(Some(None));
            }
            if let Some(code) = told.filter(|_| socket.client_open) {
                socket.client_open = false;
                let had_socket = self.client.has_socket(socket.attempt);
                self.client.handle_closed(socket.attempt, code);
                if had_socket && self.connect_at.is_none() {
                    self.connect_at = Some(self.now);
                }
            }
        }
        let client = &self.client;
        self.sockets.retain(|s| !s.is_over() || s.client_open && client.has_socket(s.attempt));
    }

    /// Opens a socket, when it is time.
    fn connect(&mut self) {
        if !take_due(&mut self.connect_at, self.now) || self.client.is_ended() {
            return;
        }
        if self.client.is_attached() && !self.client.is_suspected() && self.rng.below(4) > 0 {
            return; // The suspicion is over; now and then it moves all the same.
        }
        self.restart();
        let Some(attempt) = self.client.hello(self.now) else { return };
        for socket in &mut self.sockets {
            // An old socket is closed, or forgotten; what it still says is ignored.
            if socket.client_open && self.rng.below(2) == 0 {
                socket.client_open = false;
                socket.up.send(self.now, Item::Closed(None), OVERHEAD.0);
            }
        }
        self.opened += 1;
        let is_cut = self.report.cuts < self.plan.cuts;
        let mut socket = Socket::open(self.now, self.opened, attempt.number, &mut self.rng, is_cut);
        self.host.open(self.now, self.opened);
        let was_cut = socket.up.send(self.now, Item::Message(attempt.hello), OVERHEAD.0);
        self.sockets.push(socket);
        if was_cut {
            self.cut(self.sockets.len() - 1, true);
        }
    }

    /// Kills the client's process, now and then, if its application says what it has dealt with:
    /// what it had only heard comes again.
    fn restart(&mut self) {
        let stores = self.config.acks == Acks::Manual && self.plan.profile == Profile::Roomy;
        if !stores || self.rng.below(20) > 0 {
            return;
        }
        let snapshot = self.client.snapshot();
        self.down.rewind(snapshot.recv);
        self.dealt_with = snapshot.recv;
        self.lent.clear();
        self.told = Told::default();
        self.client = ClientSession::restored(self.now, self.config.clone(), snapshot);
        self.client.set_ticket("alice");
        self.report.restarts += 1;
    }

    /// Lets both applications say something, now and then.
    fn say(&mut self) -> Result<(), Fault> {
        if self.say_at > self.now {
            return Ok(());
        }
        self.say_at = self.now + Duration::from_millis(self.rng.below(1_000) as u64);
        if self.says_goodbye {
            return Ok(());
        }
        for _ in 0..self.rng.below(4) {
            let payload = self.up.compose(&mut self.rng, self.longest);
            let meter = Meter::default();
            let sent = self.client.send_payload(self.now, Kind::Binary, &payload, &meter);
            accepted(sent, &mut self.up)?;
        }
        let known = |id: &SessionId| *id.as_bytes() == *self.id;
        if let Some(session) = self.host.sessions().into_iter().find(known) {
            let session = self.host.session(session).expect("it has just been there");
            for _ in 0..self.rng.below(4) {
                let payload = self.down.compose(&mut self.rng, self.longest);
                let (mut session, meter) = (session.borrow_mut(), self.host.store().meter());
                let sent = session.send_payload(self.now, Kind::Binary, &payload, meter);
                accepted(sent, &mut self.down)?;
            }
        }
        // The server has said its last word then: nothing of it is cut off by the goodbye.
        self.says_goodbye = self.report.cuts >= self.plan.cuts && !self.id.is_empty();
        Ok(())
    }

    /// Does what both ends want until nothing is left to do now.
    fn pump(&mut self) -> Result<(), Fault> {
        loop {
            let listened = self.listen()?;
            let sent = self.transmit();
            if !listened && !sent {
                break;
            }
        }
        // Goodbye is said when the server has nothing left to say.
        if self.says_goodbye && self.down.finish().is_ok() {
            self.client.close(Code::NORMAL, "", None);
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<bool, Fault> {
        let mut listened = false;
        while let Some((id, event)) = self.host.poll_event(self.now) {
            listened = true;
            self.server_event(id, event)?;
        }
        while let Some(event) = self.lent.pop_front() {
            listened = true;
            self.client_event(event)?;
        }
        if self.listen_at > self.now {
            return Ok(listened);
        }
        // What was heard the last time has been dealt with by now.
        self.client.release(self.now, self.dealt_with);
        let nap = if self.rng.below(10) == 0 { self.rng.below(2_000) } else { 50 };
        let mut is_busy = false;
        while let Some(event) = self.client.poll_event(self.now) {
            listened = true;
            is_busy = matches!(event, Event::Message(_)) && self.rng.below(20) == 0;
            self.client_event(event)?;
            if is_busy {
                break;
            }
        }
        if is_busy || !listened {
            self.listen_at = self.now + Duration::from_millis(nap as u64 + 1);
        }
        Ok(listened)
    }

    fn server_event(&mut self, id: SessionId, event: Event) -> Result<(), Fault> {
        match event {
            // A first WELCOME that was lost leaves a session behind that nobody knows.
            _ if *id.as_bytes() != *self.id => Ok(()),
            Event::Message(message) => {
                self.last_progress = self.now;
                self.up.hear(&message)
            }
            Event::Gap(Direction::In, gap) => self.up.miss(&gap),
            Event::Gap(Direction::Out, gap) => {
                self.down.missing_told_to_sender += gap.to - gap.from + 1;
                Ok(())
            }
            Event::Ended(end) if end.code == Code::NORMAL && end.unacknowledged.is_empty() => {
                self.ends.1 = true;
                Ok(())
            }
            Event::Ended(end) => Err(Fault::Ended(format!("at the server: {end:?}"))),
            Event::Resumed { .. } => {
                self.report.attaches += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn client_event(&mut self, event: Event) -> Result<(), Fault> {
        self.told.hear(&event).map_err(Fault::Other)?;
        match event {
            Event::Message(message) => {
                self.last_progress = self.now;
                self.dealt_with = message.number.unwrap_or(self.dealt_with);
                self.down.hear(&message)
            }
            Event::Gap(Direction::In, gap) => self.down.miss(&gap),
            Event::Gap(Direction::Out, gap) => {
                self.up.missing_told_to_sender += gap.to - gap.from + 1;
                Ok(())
            }
            Event::Lost { .. } => Err(Fault::Ended("the server has lost it".into())),
            Event::Ended(end) if end.code == Code::NORMAL && end.unacknowledged.is_empty() => {
                self.ends.0 = true;
                Ok(())
            }
            Event::Ended(end) if end.by == EndedBy::Superseded => Err(Fault::LockedOut),
            Event::Ended(end) => Err(Fault::Ended(format!("at the client: {end:?}"))),
            Event::Detached | Event::Refused(_) | Event::Suspected => {
                let delay = Duration::from_millis(self.rng.below(500) as u64);
                self.connect_at.get_or_insert(self.now + delay);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends what both ends want to send.
    fn transmit(&mut self) -> bool {
        let mut sent = false;
        for at in 0..self.sockets.len() {
            let socket = &mut self.sockets[at];
            while socket.client_open
                && self.client.has_socket(socket.attempt)
                && let Some(transmit) = whole(self.client.poll_message(self.now, socket.attempt))
                    .or_else(|| self.client.poll_transmit(self.now, socket.attempt))
            {
                sent = true;
                if matches!(transmit, Transmit::Close(_)) {
                    socket.client_open = false;
                    self.connect_at.get_or_insert(self.now);
                }
                if socket.up.send(self.now, transmit.into(), OVERHEAD.0) {
                    self.cut(at, true);
                    break;
                }
            }
            let socket = &mut self.sockets[at];
            while socket.server_open
                && let Some(transmit) = self.host.poll_transmit(self.now, socket.id)
            {
                sent = true;
                if matches!(transmit, Transmit::Close(_)) {
                    socket.server_open = false;
                    self.host.handle_closed(self.now, socket.id);
                }
                if socket.down.send(self.now, transmit.into(), OVERHEAD.1) {
                    self.cut(at, false);
                    break;
                }
            }
        }
        sent
    }

    /// Cuts sockets whose byte does not come.
    fn cuts(&mut self) {
        for at in 0..self.sockets.len() {
            if take_due(&mut self.sockets[at].cut_at, self.now) {
                let upwards = self.rng.below(2) == 0;
                self.cut(at, upwards);
            }
        }
    }

    fn cut(&mut self, at: usize, upwards: bool) {
        self.report.cuts += 1;
        self.last_progress = self.now;
        self.sockets[at].cut(self.now, &mut self.rng, upwards);
    }
}

fn accepted(sent: Result<u64, SendError>, ledger: &mut Ledger) -> Result<(), Fault> {
    match sent {
        Ok(number) => ledger.accept(number),
        // The end of the session is told by an event, and judged then.
        Err(SendError::Full { .. } | SendError::Closed) => Ok(()),
        Err(error) => Err(Fault::Other(error.to_string())),
    }
}

fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

#[cfg(feature = "mutations")]
fn mutate(config: &mut Config, mutation: Option<Mutation>) {
    config.mutation = mutation;
}

#[cfg(not(feature = "mutations"))]
fn mutate(_: &mut Config, mutation: Option<Mutation>) {
    assert!(mutation.is_none(), "build with the feature `mutations`");
}
