//! The program under test.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{DEADLINE, http, websocket::WebSocket};

/// Returns the program with an empty environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.env_clear().stdin(Stdio::null()).arg("serve");
    command
}

/// Runs the program with arguments that it must refuse; returns the one line that it says.
#[track_caller]
pub(crate) fn refused(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = command().args(args).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout), (Some(2), Vec::new()), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// A running server on free ports.
pub(crate) struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What it said when it started.
    pub(crate) said: Vec<String>,
}

impl Server {
    /// Starts a server with an admin API, and more arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(args);
        Self::spawn(command, 2)
    }

    /// Starts a server with an admin API that logs into a file.
    pub(crate) fn spawn_logging(mut command: Command, log: File) -> Self {
        command.stderr(log);
        Self::spawn(command, 2)
    }

    /// Starts a server that says this many lines.
    pub(crate) fn spawn(mut command: Command, n_lines: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        });
        let mut server = Self { child, lines, said: Vec::new() };
        server.said = (0..n_lines).map(|_| server.line()).collect();
        server
    }

    /// Waits for the next line on stdout.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("the server says something")
    }

    /// Returns the public address.
    pub(crate) fn public(&self) -> SocketAddr {
        address(self.said.iter().find(|line| !line.contains("admin")).unwrap())
    }

    /// Returns the admin address.
    pub(crate) fn admin(&self) -> SocketAddr {
        address(self.said.iter().find(|line| line.contains("admin")).unwrap())
    }

    /// Opens a connection to a path.
    pub(crate) fn connect(&self, path: &str) -> WebSocket<TcpStream> {
        WebSocket::open(http::connect(self.public()), path, &[]).unwrap()
    }

    /// Returns what the admin API lists.
    pub(crate) fn connections(&self) -> Vec<serde_json::Value> {
        let reply = http::get(self.admin(), "/connections");
        assert_eq!(reply.status, 200);
        serde_json::from_str(&reply.body).unwrap()
    }

    /// Asks the admin API until its list of connections is as expected.
    #[track_caller]
    pub(crate) fn connections_until(
        &self,
        is_expected: impl Fn(&[serde_json::Value]) -> bool,
    ) -> Vec<serde_json::Value> {
        let start = std::time::Instant::now();
        loop {
            let connections = self.connections();
            if is_expected(&connections) {
                return connections;
            }
            assert!(start.elapsed() < DEADLINE, "still {connections:?}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; returns what it said meanwhile.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => said.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the address in a line with a URL.
fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("://").unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}
