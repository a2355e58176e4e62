//! Runs the binary and takes what it says apart.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
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
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.stdout.contains(text), "no {text:?} in:\n{}{}", self.stdout, self.stderr);
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status and the ids of all faults.
    #[track_caller]
    pub(crate) fn faults(&self, status: i32, expected: &[&str]) -> Value {
        let json = self.json();
        let faults: Vec<&str> = json["faults"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault["id"].as_str().unwrap())
            .collect();
        assert_eq!((self.status, &faults[..]), (status, expected), "{}", self.stdout);
        json
    }
}

/// Runs `probe` with these arguments. A step has a second, so that what never comes costs little.
pub(crate) fn run(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.arg("probe").args(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("EVERWIRE") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("EVERWIRE_PROBE_TIMEOUT", "1s").env("EVERWIRE_PROBE_MAX_MESSAGE", "64KiB");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// Runs `probe --json`.
pub(crate) fn report(args: &[&str]) -> Ran {
    run(&[&["--json"], args].concat())
}

fn finish(mut child: Child) -> Ran {
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
