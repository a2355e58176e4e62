//! `--session`: one session over any number of connections.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use everwire::{
    Conn, Handler, Message, Server,
    session::{Code, SessionHandler, SessionMessage, SessionSender, Sessions},
};
use everwire_testkit::{ChaosProxy, Cut, Plan};
use tokio::runtime::{Builder, Runtime};

use crate::{
    fixture::Fixture,
    run::{Ran, command, finish, run},
    scripted::{accept, answer, silent},
};

struct Echo;

impl SessionHandler for Echo {
    fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
        session.send_message(&message).ok();
    }
}

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

/// A server whose sessions echo, and a proxy in front of it.
struct Place {
    runtime: Runtime,
    server: Option<Server>,
    sessions: Sessions,
    /// Kept over restarts, so that nobody else gets its port.
    listener: TcpListener,
    proxy: ChaosProxy,
}

impl Place {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let proxy = runtime.block_on(ChaosProxy::start(listen, addr, Plan::calm())).unwrap().0;
        let sessions = Sessions::builder().push(|_| Echo);
        let mut this = Self { runtime, server: None, sessions, listener, proxy };
        this.restart();
        this
    }

    /// Takes the place of the server, if there is one, without a word and without its sessions.
    fn restart(&mut self) {
        self.stop();
        self.sessions = Sessions::builder().push(|_| Echo);
        let listener = self.listener.try_clone().unwrap();
        let server = Server::builder().listener(listener).push("/", |_| Echo);
        let server = self.runtime.block_on(server.sessions(&self.sessions).start());
        self.server = Some(server.unwrap());
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.proxy.cut(Cut::Reset);
            let now = everwire::Drain::restart().grace(Duration::ZERO).deadline(Duration::ZERO);
            self.runtime.block_on(server.shutdown(now)).ok();
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.proxy.addr())
    }
}

/// The program, while it runs.
struct Program {
    child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr, said: Vec::new() }
    }

    fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn hears(&mut self, text: &str) {
        assert_eq!(next(&self.stdout).as_deref(), Some(text), "{:#?}", self.said);
    }

    /// Waits for a line on stderr that begins so.
    #[track_caller]
    fn tells(&mut self, text: &str) -> String {
        while let Some(line) = next(&self.stderr) {
            self.said.push(line.clone());
            if line.starts_with(text) {
                return line;
            }
        }
        panic!("no {text:?} in:\n{:#?}", self.said);
    }

    fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-INT", &pid]).stderr(Stdio::null()).status().unwrap().success());
    }

    /// Ends its stdin, and waits for its end.
    fn finish(mut self) -> Ran {
        drop(self.child.stdin.take());
        // Its stderr ends with it.
        while let Some(line) = next(&self.stderr) {
            self.said.push(line);
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().unwrap().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().ok(); // If it hangs.
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        let stdout: String = self.stdout.iter().map(|line| line + "\n").collect();
        Ran { status, stdout: stdout.into_bytes(), stderr: self.said.join("\n") }
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

fn next(lines: &mpsc::Receiver<String>) -> Option<String> {
    lines.recv_timeout(Duration::from_secs(30)).ok()
}

#[test]
fn lines_are_sent_and_received_and_the_end_of_stdin_ends_the_session() {
    let place = Place::new();
    let ran = run(&["--session", "-n2", &place.url()], "one\ntwo\n");
    ran.check(0, "one\ntwo\n");
    ran.says("= connecting, attempt 1");
    ran.says("= attached, session ");
    ran.says("session ended by us with 1000");
    assert_eq!(place.sessions.stats().ended, 1);
}

#[test]
fn cuts_are_shown_and_cost_nothing() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    for (n, cut) in [Cut::Reset, Cut::Close, Cut::Server].into_iter().enumerate() {
        program.say(&format!("before {n}\n"));
        program.hears(&format!("before {n}"));
        place.proxy.cut(cut);
        program.say(&format!("behind {n}\n"));
        program.hears(&format!("behind {n}"));
        program.tells("= resumed, connection ");
    }
    let ran = program.finish();
    ran.check(0, "");
    ran.says("= detached");
}

#[test]
fn a_server_that_restarts_is_told_loudly_and_followed_by_a_new_session() {
    let mut place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    program.say("heard\n");
    program.hears("heard");
    place.restart();
    program.tells("! LOST: the server does not have the session any more");
    program.tells("= attached");
    program.say("afresh\n");
    program.hears("afresh");
    let ran = program.finish();
    ran.check(4, "");
}

#[test]
fn what_was_not_acknowledged_is_listed_when_it_is_lost() {
    let mut place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    // The server's thread hears nothing from here on.
    place.proxy.cut(Cut::Hole);
    while place.proxy.tally().cuts == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    program.say("into the \x1bvoid\n");
    let sessions = place.sessions.clone();
    place.restart();
    drop(sessions);
    program.tells("! LOST");
    program.tells("! 1 of ours not acknowledged");
    let shown = program.tells("!   into the ");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    program.finish().check(4, "");
}

#[test]
fn a_session_in_a_file_survives_a_kill_and_an_interrupt() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut program = Program::start(&args);
    program.tells("= attached");
    program.say("one\n");
    program.hears("one");
    // What was shown and not noted down would come again.
    let until = Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(&file).unwrap().contains("\"recv\":1") {
        assert!(Instant::now() < until, "it does not note down what it has shown");
        std::thread::sleep(Duration::from_millis(5));
    }
    program.kill();
    place.sessions.all()[0].send_text("while you were out").unwrap();
    let mut program = Program::start(&args);
    program.tells("= resumed, connection 2");
    program.hears("while you were out");
    program.interrupt();
    let line = program.tells("session left");
    let ran = program.finish();
    ran.check(0, "");
    assert!(line.contains("with its store"), "{line}");
    place.sessions.all()[0].send_text("again").unwrap();
    let mut program = Program::start(&args);
    program.tells("= resumed, connection 3");
    program.hears("again");
    program.finish().check(0, "");
    assert!(!file.exists());
    assert_eq!(place.sessions.stats().opened, 1);
}

#[test]
fn an_interrupt_loses_nothing_and_doubles_nothing_that_waits_for_stdout() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut child = command(&args).spawn().unwrap();
    // More than a pipe takes, which nobody reads yet.
    let unread = child.stdout.take().unwrap();
    let stderr = lines(child.stderr.take().unwrap());
    let mut program = Program { child, stdout: mpsc::channel().1, stderr, said: Vec::new() };
    program.tells("= attached");
    let session = place.sessions.all().remove(0);
    let messages: Vec<String> = (0..100).map(|n| format!("{n:2000}")).collect();
    messages.iter().for_each(|message| session.send_text(message).unwrap());
    // Until stdout is full. Were it too early, less would wait.
    std::thread::sleep(Duration::from_secs(2));
    program.interrupt();
    std::thread::sleep(Duration::from_secs(1));
    program.stdout = lines(unread);
    program.tells("session left");
    let ran = program.finish();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let mut heard: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    assert!(!heard.is_empty());
    session.send_text("the last").unwrap();
    let program = Program::start(&args);
    while heard.last().is_none_or(|last| last != "the last") {
        heard.push(next(&program.stdout).expect("what was not shown comes again"));
    }
    let numbers: Vec<_> = heard.iter().map(|line| line.trim().parse().unwrap_or(100)).collect();
    assert_eq!(numbers, Vec::from_iter(0..=100));
    program.finish().check(0, "");
}

#[test]
fn one_program_has_a_file_at_a_time() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut program = Program::start(&args);
    program.tells("= attached");
    let ran = run(&args, "");
    ran.check(2, "");
    ran.says("in use by another process");
    program.finish().check(0, "");
}

#[test]
fn a_server_that_throws_the_session_out_is_an_end() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    place.sessions.all()[0].end(Code::ENDED, "kicked");
    program.tells("session ended by the server with 4503 \"kicked\"");
    program.finish().check(4, "");
}

#[test]
fn a_server_without_sessions_is_named() {
    let fixture = Fixture::new();
    let ran = run(&["--session", &fixture.url("/echo")], "");
    ran.check(3, "");
    ran.says("server offers no sessions here");
    let ran = run(&["--session", &fixture.url("/nowhere")], "");
    ran.check(3, "");
    ran.says("status 404");
}

/// A place where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}/", listener.local_addr().unwrap())
}

#[test]
fn time_that_is_up_is_the_end_where_nothing_was_ever_attached() {
    let ran = run(&["--session", "--timeout", "2s", &nowhere()], "hi\n");
    ran.check(6, "");
    ran.says("timed out after 2s: no connection yet");
    ran.says("! 1 of ours not sent:\n!   hi");
    assert!(!ran.stderr.contains("may have arrived"), "{}", ran.stderr);
}

#[test]
fn time_that_is_up_does_not_wait_for_a_server_that_is_gone() {
    let mut place = Place::new();
    let url = place.url();
    let args = ["--session", "--timeout", "6s", "--close-timeout", "100ms", &url];
    let mut program = Program::start(&args);
    program.tells("= attached");
    program.say("heard\n");
    program.hears("heard");
    place.stop();
    program.tells("= detached");
    program.say("unheard\n");
    program.tells("!   unheard");
    let ran = program.finish();
    ran.says("of ours not acknowledged; each may have arrived:");
    ran.check(6, "");
    ran.says("timed out after 6s: 1 messages came");
}

#[test]
fn one_interrupt_is_the_end_where_nothing_was_ever_attached() {
    let mut program = Program::start(&["--session", &nowhere()]);
    program.tells("= connecting in ");
    program.interrupt();
    program.finish().check(130, "");
}

#[test]
fn a_ticket_that_is_refused_is_a_failure() {
    let (url, listener) = silent();
    let server = std::thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        let selects = "\r\nSec-WebSocket-Protocol: everwire.v1\r\n\r\n";
        stream.write_all(answer(&head).replace("\r\n\r\n", selects).as_bytes()).unwrap();
        // WELCOME, status AUTH, and a Close with 4501.
        stream.write_all(b"\x82\x02\x60\x06\x88\x02\x11\x95").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let ran = run(&["--session", &url], "hi\n");
    ran.check(3, "");
    ran.says("session ended by us with 4501 \"ticket refused\"");
    server.join().unwrap();
}

#[test]
fn the_token_is_not_shown() {
    let place = Place::new();
    for early in ["ws", "inline"] {
        let mut args = vec!["--session", "-v", "-n1"];
        let url = place.url();
        args.push(&url);
        if early == "inline" {
            args.insert(0, "--redirects=1"); // Then the HELLO is a message.
        }
        let mut child = command(&args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        let ran = finish(child);
        ran.check(0, "hello\n");
        ran.says("< BINARY WELCOME *** [");
        if early == "inline" {
            ran.says("> BINARY HELLO *** [");
        } else {
            ran.says("> everwire-hello: ***");
        }
    }
}

#[test]
fn the_token_is_not_shown_in_fragments() {
    // The kind of the message, its rest; or nothing at first.
    for [first, rest] in [[&b"\x60\x00"[..], b"secret"], [b"", b"\x60\x00secret"]] {
        let (url, listener) = silent();
        let mut program = Program::start(&["--session", "-v", &url]);
        let (mut stream, head) = accept(&listener);
        let answer = answer(&head);
        let answer = answer.strip_suffix("\r\n").unwrap();
        write!(stream, "{answer}Sec-WebSocket-Protocol: everwire.v1\r\n\r\n").unwrap();
        for (head, payload) in [(0x02, first), (0x89, b"shown"), (0x80, rest)] {
            stream.write_all(&[head, u8::try_from(payload.len()).unwrap()]).unwrap();
            stream.write_all(payload).unwrap();
        }
        program.tells("< PING");
        let line = program.tells("< CONTINUATION");
        assert_eq!(line, format!("< CONTINUATION *** [{} bytes]", rest.len()));
        program.kill();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    run(&["--session", "--reconnect", "ws://h/"], "").check(2, "");
    run(&["--session", "--ping", "ws://h/"], "").check(2, "");
    let ran = run(&["--session", "--close", "1008", "", "ws://h/"], "");
    ran.check(2, "");
    ran.says("a session ends with 1000, or 3000 to 4999");
    let ran = run(&["--session-store", "/nowhere/at/all", "ws://h/"], "");
    ran.check(2, "");
    ran.says("invalid '--session-store': /nowhere/at/all: ");
}
