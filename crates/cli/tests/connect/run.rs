//! The program under test.

use std::{
    io::Write,
    process::{Child, Command},
};

use crate::common::{self, Finished};

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
    common::program(&[&["connect"], args].concat())
}

pub(crate) fn finish(child: Child) -> Ran {
    let Finished { status, stdout, stderr } = common::finish(child);
    Ran { status, stdout, stderr }
}

pub(crate) fn run_command(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).ok();
    finish(child)
}

pub(crate) fn run(args: &[&str], stdin: &str) -> Ran {
    run_command(command(args), stdin.as_bytes())
}
