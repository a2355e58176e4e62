//! `docs/vectors.json`: frames and whole conversations, which other implementations run as well.

mod described;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use described::{event, frame, hex, unhex};
use everwire_session::{
    Acks, ClientSession, Code, Config, Event, Frame, Hello, Kind, Oversize, Prepared, Principal,
    Role, ServerSession, SessionId, StoreConfig, Ticket, Transmit,
};
use everwire_testkit::{session::Host, start};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../docs/vectors.json")).expect("it is JSON")
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("a list of {name}"))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("a text {name} in {value}"))
}

#[test]
fn valid_frames_mean_what_they_say_and_are_encoded_so() {
    for vector in list(&vectors(), "frames") {
        let name = text(vector, "name");
        let bytes = unhex(text(vector, "hex"));
        for (role, from) in [(Role::Client, "client"), (Role::Server, "server")] {
            let parsed = Frame::parse(role, &bytes);
            if [from, "both"].contains(&text(vector, "from")) {
                let parsed = parsed.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(frame(&parsed), vector["frame"], "{name}");
                assert_eq!(hex(&parsed.encode()), hex(&bytes), "{name}");
            } else {
                assert!(parsed.is_err(), "{name} from the {from}");
            }
        }
    }
}

#[test]
fn malformed_frames_are_refused() {
    for vector in list(&vectors(), "invalid") {
        let bytes = unhex(text(vector, "hex"));
        for (role, name) in [(Role::Client, "client"), (Role::Server, "server")] {
            if [name, "both"].contains(&text(vector, "from")) {
                let parsed = Frame::parse(role, &bytes);
                assert!(parsed.is_err(), "{}: {parsed:?}", text(vector, "name"));
            }
        }
    }
}

#[test]
fn upgrade_requests_have_the_hello_that_they_should() {
    for vector in list(&vectors(), "requests") {
        let texts = |name| list(vector, name).iter().map(|it| it.as_str().expect("a text"));
        let hello = Hello::in_request(texts("headers").map(str::as_bytes), texts("offers"));
        let found = match hello {
            None => Value::Null,
            Some(Ok(hello)) => hex(&Frame::Hello(hello).encode()).into(),
            Some(Err(_)) => "malformed".into(),
        };
        assert_eq!(found, vector["hello"], "{}", text(vector, "name"));
    }
}

/// The first byte of an acknowledgement.
const ACK: u8 = 0x20;

/// What an end said that no step has asked for yet.
#[derive(Default)]
struct Said {
    frames: BTreeMap<usize, VecDeque<Bytes>>,
    closes: VecDeque<(usize, Code)>,
    events: VecDeque<Value>,
}

impl Said {
    fn transmit(&mut self, socket: usize, transmit: Transmit) {
        match transmit {
            Transmit::Frame(frame) => self.frames.entry(socket).or_default().push_back(frame),
            Transmit::Close(code) => self.closes.push_back((socket, code)),
        }
    }

    fn expect_event(&mut self, expected: &Value, name: &str) {
        assert_eq!(self.events.pop_front().as_ref(), Some(expected), "{name}");
    }

    fn expect_close(&mut self, socket: usize, code: &Value, name: &str) {
        let expected = (socket, code_of(code));
        assert_eq!(self.closes.pop_front(), Some(expected), "{name}");
    }

    /// Passes over acknowledgements that were not asked for.
    fn next_frame(&mut self, socket: usize, role: Role, expected: Option<&Frame>) -> Option<Bytes> {
        let acked = |frame: &Frame| match frame {
            Frame::Ack(counts) => Some(counts.recv),
            _ => None,
        };
        loop {
            let bytes = self.frames.get_mut(&socket)?.pop_front()?;
            let recv = Frame::parse(role, &bytes).ok().and_then(|frame| acked(&frame));
            if recv.is_none() || expected.and_then(acked) == recv {
                return Some(bytes);
            }
        }
    }

    /// Checks that all was asked for that has been said so far, but acknowledgements.
    fn expect_nothing(&self, name: &str) {
        for (socket, frames) in &self.frames {
            let left = frames.iter().find(|frame| !frame.starts_with(&[ACK]));
            assert_eq!(left.map(|frame| hex(frame)), None, "{name}: left on socket {socket}");
        }
        assert!(self.events.is_empty(), "{name}: left {:?}", self.events);
        assert!(self.closes.is_empty(), "{name}: left {:?}", self.closes);
    }
}

fn code_of(value: &Value) -> Code {
    value.as_u64().and_then(Code::new).expect("a code")
}

/// Returns what a step does, without what qualifies it.
fn action<'v>(step: &'v Value, name: &str) -> (&'v str, &'v Value) {
    let qualifiers = ["socket", "volatile", "reason", "times"];
    let mut entries = step.as_object().into_iter().flatten();
    let found = entries.find(|(key, _)| !qualifiers.contains(&key.as_str()));
    found.map(|(key, value)| (key.as_str(), value)).unwrap_or_else(|| panic!("{name}: no step"))
}

#[test]
fn a_client_holds_the_conversations() {
    for vector in list(&vectors(), "client") {
        let name = text(vector, "name");
        let mut client = Client::new(&vector["config"]);
        for (at, step) in list(vector, "steps").iter().enumerate() {
            client.step(step, &format!("{name}, step {at}: {step}"));
        }
        client.said.expect_nothing(name);
    }
}

struct Client {
    session: ClientSession,
    now: Instant,
    attempt: usize,
    said: Said,
}

/// Sets what a conversation says about its end.
fn configured(mut config: Config, settings: &Value) -> Config {
    config.window = settings["window"].as_u64().unwrap_or(config.window);
    config.max_message = settings["max_message"].as_u64().unwrap_or(config.max_message);
    config.probes = settings["probes"].as_bool().unwrap_or(false);
    if let Some(entries) = settings["entries"].as_u64() {
        config.buffer.entries = entries as usize;
    }
    if settings["hold"].as_bool().unwrap_or(false) {
        config.acks = Acks::Released;
    }
    config
}

impl Client {
    fn new(settings: &Value) -> Self {
        let config = configured(Config::client(), settings);
        let now = start();
        let mut session = ClientSession::new(now, Arc::new(config));
        session.set_ticket("ticket");
        Self { session, now, attempt: 0, said: Said::default() }
    }

    fn step(&mut self, step: &Value, name: &str) {
        let (kind, value) = action(step, name);
        let socket = step["socket"].as_u64().map_or(self.attempt, |n| n as usize);
        let words = value.as_str().unwrap_or_default();
        if !["output", "event", "closes"].contains(&kind) {
            self.said.expect_nothing(name);
        }
        match kind {
            "open" => {
                let attempt = self.session.hello(self.now).expect("it has not ended");
                self.attempt = attempt.number as usize;
                self.said.transmit(self.attempt, Transmit::Frame(attempt.hello));
            }
            "output" => {
                let expected = unhex(words);
                let frame = Frame::parse(Role::Client, &expected).expect("a frame");
                let next = self.said.next_frame(socket, Role::Client, Some(&frame));
                assert_eq!(next.as_deref().map(hex), Some(hex(&expected)), "{name}");
            }
            "input" => self.session.handle_message(self.now, socket as u64, &unhex(words)),
            "input_text" => self.session.handle_text(socket as u64),
            "cut" => self.session.handle_closed(socket as u64, value.as_u64().map(|n| n as u16)),
            "wait" => self.wait(value.as_u64().expect("milliseconds")),
            "send" if step["volatile"] == true => {
                self.session.send_volatile(Kind::Text, words.as_bytes());
            }
            "send" => {
                self.session.send(self.now, Prepared::text(words)).expect("there is room");
            }
            "close" => {
                let reason = step["reason"].as_str().unwrap_or_default();
                self.session.close(code_of(value), reason, None);
            }
            "release" => self.session.release(self.now, value.as_u64().expect("a number")),
            "authenticate" => self.session.authenticate(words.to_owned()),
            "ticket" => self.session.set_ticket(words.to_owned()),
            "event" => self.said.expect_event(value, name),
            "closes" => self.said.expect_close(socket, value, name),
            _ => panic!("{name}: an unknown step"),
        }
        self.poll();
    }

    fn wait(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.poll();
        }
        self.now = until;
    }

    fn poll(&mut self) {
        let socket = self.attempt as u64;
        self.poll_events();
        while self.session.has_socket(socket)
            && let Some(transmit) = self.session.poll_transmit(self.now, socket)
        {
            self.said.transmit(self.attempt, transmit);
        }
        self.poll_events();
    }

    fn poll_events(&mut self) {
        while let Some(happened) = self.session.poll_event(self.now) {
            // The application is not told of it.
            if !matches!(happened, Event::TicketAccepted(_)) {
                self.said.events.push_back(event(&happened, None));
            }
        }
    }
}

#[test]
fn a_server_holds_the_conversations() {
    for vector in list(&vectors(), "server") {
        let name = text(vector, "name");
        let mut server = Server::new(&vector["config"]);
        for (at, step) in list(vector, "steps").iter().enumerate() {
            server.step(step, &format!("{name}, step {at}: {step}"));
        }
        server.said.expect_nothing(name);
    }
}

struct Server {
    host: Host,
    now: Instant,
    sockets: usize,
    session: Option<SessionId>,
    principals: BTreeMap<SessionId, String>,
    said: Said,
    names: BTreeMap<String, String>,
}

impl Server {
    fn new(settings: &Value) -> Self {
        let config = configured(Config::server(), settings);
        let mut this = Self {
            host: Host::new(config, StoreConfig::default(), 7),
            now: start(),
            sockets: 0,
            session: None,
            principals: BTreeMap::new(),
            said: Said::default(),
            names: BTreeMap::new(),
        };
        this.open(1);
        this
    }

    fn open(&mut self, socket: usize) {
        while self.sockets < socket {
            self.sockets += 1;
            self.host.open(self.now, self.sockets);
        }
    }

    fn step(&mut self, step: &Value, name: &str) {
        let (kind, value) = action(step, name);
        let socket = step["socket"].as_u64().unwrap_or(1) as usize;
        self.open(socket);
        let words = value.as_str().unwrap_or_default();
        if !["output", "event", "closes"].contains(&kind) {
            self.said.expect_nothing(name);
        }
        match kind {
            "output" => self.output(socket, words, name),
            "input" => {
                let message = unhex(&self.filled(words));
                for _ in 0..step["times"].as_u64().unwrap_or(1) {
                    self.host.handle_message(self.now, socket, &message);
                }
            }
            "cut" => {
                if value == 1009 {
                    self.act(|session, _| session.handle_too_big(session.epoch(), Oversize::Ours));
                }
                self.host.handle_closed(self.now, socket);
            }
            "wait" => self.wait(value.as_u64().expect("milliseconds")),
            "send" => self.act(|session, now| {
                session.send(now, Prepared::text(words)).expect("room");
            }),
            "release" => {
                let number = value.as_u64().expect("a number");
                self.act(|session, now| session.release(now, number));
            }
            "end" | "close" => {
                let (code, reason) = (code_of(value), step["reason"].as_str().unwrap_or_default());
                self.act(|session, _| match kind {
                    "end" => session.end(code, reason),
                    _ => session.close(code, reason, None),
                });
            }
            "event" => self.said.expect_event(value, name),
            "closes" => self.said.expect_close(socket, value, name),
            _ => panic!("{name}: an unknown step"),
        }
        self.poll();
    }

    /// Does something with the session of which something was heard last.
    fn act(&mut self, act: impl FnOnce(&mut ServerSession, Instant)) {
        let session = self.session.and_then(|id| self.host.session(id)).expect("a session");
        act(&mut session.borrow_mut(), self.now);
        self.host.settle(self.now);
    }

    /// Judges a ticket: it is the name of a principal, or nobody's.
    fn judge(&mut self, ticket: &[u8]) {
        let who = str::from_utf8(ticket).ok().filter(|name| !name.is_empty()).map(Principal::new);
        self.act(|session, now| match who {
            Some(who) => session.authenticated(now, &who, None),
            None => session.end(Code::UNAUTHENTICATED, "ticket refused"),
        });
    }

    fn output(&mut self, socket: usize, pattern: &str, name: &str) {
        let ack = pattern.starts_with("20").then(|| unhex(pattern));
        let ack = ack.map(|bytes| Frame::parse(Role::Server, &bytes).expect("a frame"));
        let next = self.said.next_frame(socket, Role::Server, ack.as_ref());
        let actual = next.as_deref().map(hex).unwrap_or_else(|| panic!("{name}: nothing sent"));
        let (mut rest, mut at) = (pattern, 0);
        while let Some((before, hole)) = rest.split_once('<') {
            let (hole, after) = hole.split_once('>').expect("it ends");
            let (variable, len) = hole.split_once(':').expect("a name and a length");
            assert_eq!(actual[at..].get(..before.len()), Some(before), "{name}: {actual}");
            let from = at + before.len();
            at = from + 2 * len.parse::<usize>().expect("a length");
            self.names.insert(variable.to_owned(), actual[from..at].to_owned());
            rest = after;
        }
        assert_eq!(&actual[at..], rest, "{name}: {actual}");
    }

    fn filled(&self, pattern: &str) -> String {
        let fill = |text: String, (name, value): (&String, &String)| {
            text.replace(&format!("<{name}>"), value)
        };
        self.names.iter().fold(pattern.to_owned(), fill)
    }

    fn wait(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.host.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.host.handle_timeout(self.now);
            self.poll();
        }
        self.now = until;
        self.host.handle_timeout(until);
        self.poll();
    }

    fn poll(&mut self) {
        for socket in 1..=self.sockets {
            while let Some(transmit) = self.host.poll_transmit(self.now, socket) {
                self.said.transmit(socket, transmit);
            }
        }
        while let Some((id, happened)) = self.host.poll_event(self.now) {
            if let Some(session) = self.host.session(id) {
                let name = session.borrow().principal().name().unwrap_or_default().to_owned();
                self.principals.insert(id, name);
            }
            self.session = Some(id);
            if let Event::Ticket(Ticket(ticket)) = happened {
                self.judge(&ticket);
                return self.poll();
            }
            let principal = self.principals.get(&id).map(String::as_str);
            self.said.events.push_back(event(&happened, principal.or(Some(""))));
        }
    }
}
