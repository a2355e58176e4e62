//! Runs the binary and takes what it says apart.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status and some figures.
    #[track_caller]
    pub(crate) fn check(&self, status: i32, expected: &[(&str, f64)]) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        for (name, value) in expected {
            assert_eq!(json["metrics"][name].as_f64(), Some(*value), "{name} of {}", self.stdout);
        }
        json
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.stdout.contains(text), "no {text:?} in:\n{}{}", self.stdout, self.stderr);
    }
}

/// Returns the program with none of our variables set.
pub(crate) fn command(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.arg(subcommand);
    for (name, _) in std::env::vars() {
        if name.starts_with("EVERWIRE") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `bench` with these arguments. Nothing here depends on how fast this machine is.
pub(crate) fn run(args: &[&str]) -> Ran {
    finish(command("bench").args(args).spawn().unwrap())
}

/// Runs a scenario with `--json`, for a second.
pub(crate) fn report(scenario: &str, args: &[&str]) -> Ran {
    let mut command = command("bench");
    command.args([scenario, "--json", "--allow-late"]).args(args);
    finish(command.env("EVERWIRE_BENCH_DURATION", "1s").spawn().unwrap())
}

pub(crate) fn finish(mut child: Child) -> Ran {
    fn read(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut text = String::new();
            from.map(|mut from| from.read_to_string(&mut text));
            text
        })
    }
    // A run that hangs is a failure, and not a test that hangs.
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let until = Instant::now() + Duration::from_secs(60);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code().unwrap_or(-1),
            None if Instant::now() > until => {
                child.kill().unwrap();
                break -2;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    Ran { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

/// A running `everwire serve` on a free port.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = command("serve");
        command.args(["--listen", "127.0.0.1:0", "--admin", "off"]).args(args);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).ok();
            sender.send(line).ok();
            // Whatever it says later must not fill the pipe.
            stdout.read_to_string(&mut String::new()).ok();
        });
        let line = line.recv_timeout(Duration::from_secs(10)).expect("the server says where it is");
        let (_, rest) = line.split_once("://").unwrap();
        let address = rest.split_once('/').unwrap().0.to_owned();
        Self { child, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
