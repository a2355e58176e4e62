//! Every order in which two ends of a session, their applications and the network can act: attach,
//! messages, acknowledgements, gaps, evictions, goodbye, an expired session, half-open sockets,
//! frames that are late or lost.
//!
//! The invariants are those of the protocol: what is delivered is what was accepted, in order, once,
//! or told to be missing; nobody acknowledges what was not sent; buffers hold what may be asked for;
//! from every state a good network brings both ends together, or ends the session loudly.

#[path = "session/ends.rs"]
mod ends;
#[path = "session/properties.rs"]
mod properties;
#[path = "session/wire.rs"]
mod wire;

use std::collections::BTreeSet;

use ends::{Client, Mutation, Session, Stream};
use properties::Wrong;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use wire::{Answer, Frame, Socket};

/// How far it is explored.
#[derive(Clone, Debug)]
struct Bounds {
    /// Messages of the client, and of the server.
    messages: (u8, u8),
    attempts: u8,
    queue: usize,
    without: Option<Mutation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    client: Client,
    sessions: Vec<Session>,
    sockets: Vec<Socket>,
    tokens: u8,
    expired: bool,
    evicted: bool,
    wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    ClientSays,
    ServerSays,
    ClientAcks,
    ServerAcks,
    Connect,
    Up(usize),
    Down(usize),
    CutUp(usize),
    CutDown(usize),
    ClientNotices,
    ServerNotices,
    ServerEvicts,
    ClientEvicts,
    Expire,
    Goodbye,
}

impl World {
    /// Both ends know each other, and no socket is there.
    fn new() -> Self {
        let client = Client {
            stream: Stream::NEW,
            incarnation: 1,
            attempt: 0,
            token: 1,
            epoch: 1,
            socket: None,
            attached: false,
            wants_bye: false,
            said_bye: false,
            end: None,
            losses: 0,
        };
        let session = Session {
            stream: Stream::NEW,
            incarnation: 1,
            epoch: 1,
            attempt: 0,
            socket: None,
            token: 1,
            previous: 0,
            confirmed: true,
            ended: false,
        };
        let (sessions, sockets) = (vec![session], Vec::new());
        Self { client, sessions, sockets, tokens: 1, expired: false, evicted: false, wrong: None }
    }

    fn connect(&mut self) {
        let mut socket = Socket::new(self.client.attempt + 1);
        self.client.hello(&mut socket.up);
        self.sockets.push(socket);
    }

    fn up(&mut self, at: usize, without: Option<Mutation>) {
        let frame = self.sockets[at].up.remove(0);
        let name = self.sockets[at].name;
        if let Frame::Hello { .. } = frame {
            return self.hello(at, name, &frame, without);
        }
        // The socket belongs to the newest session that it was attached to.
        let Some(session) = self.session_of(name) else { return };
        match session.take(name, &frame, without) {
            Ok(answer) => self.sockets[at].down.extend(answer),
            Err(what) => self.wrong = Some(what),
        }
    }

    fn hello(&mut self, at: usize, name: u8, hello: &Frame, without: Option<Mutation>) {
        let &Frame::Hello { attempt, token, recv, next, .. } = hello else { return };
        let fresh = self.tokens + 1;
        let known = self.sessions.iter_mut().find(|s| s.token == token || s.previous == token);
        let (answer, fenced) = match known {
            Some(session) => {
                let answer = session.attach(name, hello, fresh, without);
                // A HELLO that came too late may well be behind: attempts are looked at first.
                let is_behind = recv > session.stream.said || next <= session.stream.recv;
                if is_behind && matches!(answer.0, Answer::Resumed { .. }) {
                    self.wrong = Some(Wrong::Accused("a HELLO with other counters"));
                }
                answer
            }
            None => {
                let incarnation = self.sessions.last().map_or(2, |s| s.incarnation + 1);
                self.sessions.push(Session {
                    stream: Stream::NEW,
                    incarnation,
                    epoch: 1,
                    attempt,
                    socket: Some(name),
                    token: fresh,
                    previous: 0,
                    confirmed: false,
                    ended: false,
                });
                (Answer::Lost { token: fresh, incarnation }, None)
            }
        };
        let attached = matches!(answer, Answer::Resumed { .. } | Answer::Lost { .. });
        self.tokens += u8::from(attached);
        self.sockets[at].down.push(Frame::Welcome(answer));
        if attached && let Some(session) = self.sessions.iter_mut().find(|s| s.token == fresh) {
            session.flush(&mut self.sockets[at].down);
        }
        let fences = without != Some(Mutation::NoServerFence);
        if let Some(old) = self.sockets.iter_mut().find(|s| fences && Some(s.name) == fenced) {
            old.down.push(Frame::Superseded);
        }
    }

    fn down(&mut self, at: usize, without: Option<Mutation>) {
        let frame = self.sockets[at].down.remove(0);
        let name = self.sockets[at].name;
        let mut said = Vec::new();
        if let Err(what) = self.client.take(name, &frame, &mut said, without) {
            self.wrong = Some(what);
        }
        self.client.flush(&mut said);
        self.client_sends(said);
    }

    fn client_sends(&mut self, frames: Vec<Frame>) {
        let newest = self.client.socket;
        if let Some(socket) = self.sockets.iter_mut().find(|s| Some(s.name) == newest)
            && socket.up_works
        {
            socket.up.extend(frames);
        }
    }

    /// Returns the session that once attached this socket.
    fn session_of(&mut self, name: u8) -> Option<&mut Session> {
        let attached = self.sessions.iter().rposition(|s| s.socket == Some(name));
        // Without its fence a session goes on listening to older sockets.
        let at = attached.or(self.sessions.len().checked_sub(1))?;
        self.sessions.get_mut(at)
    }

    fn server_flushes(&mut self) {
        for session in &mut self.sessions {
            if let Some(socket) = self.sockets.iter_mut().find(|s| Some(s.name) == session.socket) {
                session.flush(&mut socket.down);
            }
        }
    }

    /// Frames that are sent into a direction that does not work are lost. So are those that nobody listens to
    /// any more, which changes nothing: a state is the same whatever is on its way there.
    fn lose(&mut self, without: Option<Mutation>) {
        let hears = |mutation| without == Some(mutation);
        let newest = self.client.socket;
        for socket in &mut self.sockets {
            let has_hello = matches!(socket.up.first(), Some(Frame::Hello { .. }));
            let is_attached = self.sessions.iter().any(|s| s.socket == Some(socket.name));
            socket.up_works &= has_hello || is_attached || hears(Mutation::NoServerFence);
            socket.down_works &= newest == Some(socket.name) || hears(Mutation::NoClientFence);
        }
        for socket in &mut self.sockets {
            if !socket.up_works {
                socket.up.clear();
            }
            if !socket.down_works {
                socket.down.clear();
            }
        }
        // A socket that can carry nothing, and that neither end holds, is nothing any more.
        let (client, sessions) = (self.client.socket, &self.sessions);
        self.sockets.retain(|socket| {
            let is_held = client == Some(socket.name)
                || sessions.iter().any(|session| session.socket == Some(socket.name));
            is_held || !socket.up.is_empty() || !socket.down.is_empty()
        });
    }

    fn session(&self) -> Option<&Session> {
        self.sessions.iter().find(|session| session.incarnation == self.client.incarnation)
    }
}

impl Bounds {
    /// Adds what may happen to a session at the server.
    fn server_actions(&self, world: &World, session: &Session, actions: &mut Vec<Action>) {
        if session.stream.said < self.messages.1 {
            actions.push(Action::ServerSays);
        }
        let detached = session.socket.is_none();
        let keeps = session.stream.first <= session.stream.said;
        if detached && keeps && !world.evicted {
            actions.push(Action::ServerEvicts);
        }
        if detached && !world.expired {
            actions.push(Action::Expire);
        }
        if session.socket.is_some() {
            actions.push(Action::ServerNotices);
            if session.stream.told < session.stream.recv {
                actions.push(Action::ServerAcks);
            }
        }
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.wrong.is_some() {
            return;
        }
        let client = &world.client;
        let session = world.sessions.last();
        let lives = client.end.is_none();
        let room = |queue: &Vec<Frame>| queue.len() < self.queue;
        if lives && !client.wants_bye && client.stream.said < self.messages.0 {
            actions.push(Action::ClientSays);
        }
        if let Some(session) = session.filter(|session| !session.ended) {
            self.server_actions(world, session, actions);
        }
        if lives && client.attempt < self.attempts {
            actions.push(Action::Connect);
        }
        if lives && client.attached && client.stream.told < client.stream.recv {
            actions.push(Action::ClientAcks);
        }
        if lives && client.socket.is_some() {
            actions.push(Action::ClientNotices);
        }
        if lives
            && client.socket.is_none()
            && !world.evicted
            && client.stream.first <= client.stream.said
        {
            actions.push(Action::ClientEvicts);
        }
        if lives && !client.wants_bye {
            actions.push(Action::Goodbye);
        }
        for (at, socket) in world.sockets.iter().enumerate() {
            if !socket.up.is_empty() && room(&socket.down) {
                actions.push(Action::Up(at));
            }
            if !socket.down.is_empty() && room(&socket.up) {
                actions.push(Action::Down(at));
            }
            if socket.up_works {
                actions.push(Action::CutUp(at));
            }
            if socket.down_works {
                actions.push(Action::CutDown(at));
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::ClientSays => {
                world.client.stream.said += 1;
                let mut said = Vec::new();
                world.client.flush(&mut said);
                world.client_sends(said);
            }
            Action::ServerSays => {
                world.sessions.last_mut()?.stream.said += 1;
                world.server_flushes();
            }
            Action::ClientAcks => {
                let mut said = Vec::new();
                world.client.ack(&mut said);
                world.client_sends(said);
            }
            Action::ServerAcks => {
                let session = world.sessions.last_mut()?;
                let socket = world.sockets.iter_mut().find(|s| Some(s.name) == session.socket)?;
                session.ack(&mut socket.down);
            }
            Action::Connect => world.connect(),
            Action::Up(at) => world.up(at, self.without),
            Action::Down(at) => world.down(at, self.without),
            Action::CutUp(at) => world.sockets[at].up_works = false,
            Action::CutDown(at) => world.sockets[at].down_works = false,
            Action::ClientNotices => (world.client.socket, world.client.attached) = (None, false),
            Action::ServerNotices => world.sessions.last_mut()?.socket = None,
            Action::ServerEvicts => {
                world.sessions.last_mut()?.stream.evict();
                world.evicted = true;
            }
            Action::ClientEvicts => {
                world.client.stream.evict();
                world.evicted = true;
            }
            Action::Expire => {
                world.sessions.pop();
                world.expired = true;
            }
            Action::Goodbye => {
                world.client.wants_bye = true;
                let mut said = Vec::new();
                world.client.flush(&mut said);
                world.client_sends(said);
            }
        }
        world.lose(self.without);
        let full = |socket: &Socket| socket.up.len().max(socket.down.len()) > self.queue;
        (!world.sockets.iter().any(full) && world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// Returns how many states there are, and which properties do not hold in one of them; stops at the first
/// that violates `wanted`, if that is looked for.
fn explore(bounds: Bounds, wanted: Option<&'static str>) -> (usize, BTreeSet<&'static str>) {
    let finish = match wanted {
        Some(wanted) => HasDiscoveries::AllOf([wanted].into()),
        None => HasDiscoveries::AnyFailures,
    };
    let properties = bounds.properties();
    let checker = bounds.checker().threads(2).finish_when(finish).spawn_bfs().join();
    if wanted.is_none() {
        checker.assert_properties();
    }
    let fails = |p: &&Property<_>| {
        p.expectation == Expectation::Always && checker.discovery(p.name).is_some()
    };
    let failed = properties.iter().filter(fails).map(|p| p.name).collect();
    (checker.unique_state_count(), failed)
}

/// Explores all that there is with so many messages of the client and of the server. A socket holds all of
/// them at once, with what goes before and behind.
#[track_caller]
fn holds(messages: (u8, u8), attempts: u8, at_least: usize) {
    let queue = usize::from(messages.0.max(messages.1)) + 2;
    let bounds = Bounds { messages, attempts, queue, without: None };
    let (states, failed) = explore(bounds, None);
    println!("{messages:?} messages, {attempts} sockets: {states} states");
    assert!(failed.is_empty() && states >= at_least, "{states} states, {failed:?}");
}

/// Whether there is time for what takes minutes: `./test --full`.
fn in_full() -> bool {
    std::env::var_os("EVERWIRE_MODEL_IN_FULL").is_some()
}

#[test]
fn no_order_of_events_loses_or_doubles_a_message() {
    holds((1, 1), 2, 100_000);
    if in_full() {
        holds((1, 1), 3, 2_000_000);
        holds((2, 1), 3, 2_000_000);
    }
}

#[test]
fn two_messages_each_way_are_neither_lost_nor_doubled() {
    holds((2, 2), 2, 1_000_000);
}

#[test]
fn three_messages_one_way_are_neither_lost_nor_doubled() {
    holds((3, 0), 2, 100_000);
    holds((0, 3), 2, 100_000);
    if in_full() {
        holds((3, 3), 2, 2_000_000);
    }
}

/// Without the rule, this does not hold.
#[track_caller]
fn needed(rule: Mutation, property: &'static str) {
    let bounds = Bounds { messages: (1, 1), attempts: 2, queue: 3, without: Some(rule) };
    let (states, failed) = explore(bounds, Some(property));
    println!("without {rule:?}, {states} states: {failed:?}");
    assert!(failed.contains(property), "by {states} states without {rule:?}: {failed:?}");
}

#[test]
fn without_the_servers_fence_a_message_comes_twice() {
    needed(Mutation::NoServerFence, properties::ONCE);
}

#[test]
fn without_the_clients_fence_a_message_comes_twice() {
    needed(Mutation::NoClientFence, properties::ONCE);
}

#[test]
fn with_attaches_in_order_of_arrival_an_abandoned_socket_takes_the_session() {
    needed(Mutation::ArrivalOrder, properties::FREE);
}

#[test]
fn without_the_grace_of_the_old_token_a_lost_welcome_locks_the_client_out() {
    needed(Mutation::NoTokenGrace, properties::FREE);
}
