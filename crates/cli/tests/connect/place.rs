//! A server of sessions behind a proxy that cuts, and the program while it runs.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use everwire::{
    Conn, Handler, Message, Server,
    session::{SessionConfig, SessionHandler, SessionMessage, SessionSender, Sessions},
};
use everwire_testkit::{ChaosProxy, Cut, Plan};
use tokio::{
    net::TcpSocket,
    runtime::{Builder, Runtime},
};

use crate::run::{Ran, command};

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
pub(crate) struct Place {
    runtime: Runtime,
    server: Option<Server>,
    pub(crate) sessions: Sessions,
    /// Kept over restarts, so that nobody else gets its port.
    listener: TcpListener,
    pub(crate) proxy: ChaosProxy,
}

impl Place {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn restart(&mut self) {
        self.restart_with(SessionConfig::server());
    }

    /// The same, with sessions as these.
    pub(crate) fn restart_with(&mut self, config: SessionConfig) {
        self.stop();
        self.sessions = Sessions::builder().config(config).push(|_| Echo);
        let listener = self.listener.try_clone().unwrap();
        let server = Server::builder().listener(listener).push("/", |_| Echo);
        let server = self.runtime.block_on(server.sessions(&self.sessions).start());
        self.server = Some(server.unwrap());
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.proxy.cut(Cut::Reset);
            let now = everwire::Drain::restart().grace(Duration::ZERO).deadline(Duration::ZERO);
            self.runtime.block_on(server.shutdown(now)).ok();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.proxy.addr())
    }
}

/// The program, while it runs.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) stdout: mpsc::Receiver<String>,
    pub(crate) stderr: mpsc::Receiver<String>,
    pub(crate) said: Vec<String>,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr, said: Vec::new() }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn hears(&mut self, text: &str) {
        assert_eq!(next(&self.stdout).as_deref(), Some(text), "{:#?}", self.said);
    }

    /// Waits for a line on stderr that begins so.
    #[track_caller]
    pub(crate) fn tells(&mut self, text: &str) -> String {
        while let Some(line) = next(&self.stderr) {
            self.said.push(line.clone());
            if line.starts_with(text) {
                return line;
            }
        }
        panic!("no {text:?} in:\n{:#?}", self.said);
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }

    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([signal, &pid]).stderr(Stdio::null()).status().unwrap().success());
    }

    /// Ends its stdin, and waits for its end.
    pub(crate) fn finish(mut self) -> Ran {
        drop(self.child.stdin.take());
        self.end()
    }

    /// Waits for its end, which does not come from the end of its stdin.
    pub(crate) fn end(mut self) -> Ran {
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

pub(crate) fn lines(from: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

pub(crate) fn next(lines: &mpsc::Receiver<String>) -> Option<String> {
    lines.recv_timeout(Duration::from_secs(30)).ok()
}

/// A place where nobody listens, nor anybody else as long as the socket is there.
pub(crate) fn nowhere() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("ws://{}/", socket.local_addr().unwrap());
    (socket, url)
}
