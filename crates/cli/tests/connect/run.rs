//! The program under test.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn check(&self, status: i32, stdout: &str) {
        assert_eq!((self.status, self.text()), (status, stdout), "{}", self.stderr);
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "no {text:?} in:\n{}", self.stderr);
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.arg("connect").args(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("EVERWIRE") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn finish(mut child: Child) -> Ran {
    // A run that hangs is a failure, and not a test that hangs.
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        out.as_mut().map(|out| out.read_to_end(&mut bytes));
        bytes
    });
    let err = thread::spawn(move || {
        let mut text = String::new();
        err.as_mut().map(|err| err.read_to_string(&mut text));
        text
    });
    let until = Instant::now() + Duration::from_secs(30);
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

pub(crate) fn run_command(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).ok();
    finish(child)
}

pub(crate) fn run(args: &[&str], stdin: &str) -> Ran {
    run_command(command(args), stdin.as_bytes())
}
