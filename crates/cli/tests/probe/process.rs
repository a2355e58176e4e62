//! Runs the binary and takes what it says apart.

use std::process::Stdio;

use serde_json::Value;

use crate::common::{self, Finished};

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
    let mut command = common::program(&[&["probe"], args].concat());
    command.env("EVERWIRE_PROBE_TIMEOUT", "1s").env("EVERWIRE_PROBE_MAX_MESSAGE", "64KiB");
    let Finished { status, stdout, stderr } =
        common::finish(command.stdin(Stdio::null()).spawn().unwrap());
    Ran { status, stdout: String::from_utf8(stdout).unwrap(), stderr }
}

/// Runs `probe --json`.
pub(crate) fn report(args: &[&str]) -> Ran {
    run(&[&["--json"], args].concat())
}
