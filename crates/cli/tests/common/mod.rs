//! What the tests of the program share: an environment that is ours, and an end in bounded time.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What a run of the program came to; a status below 0 is a signal, or a run that took too long.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Returns a command of the program with pipes, and without what the environment says of ours and
/// of proxies.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.args(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("EVERWIRE") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end. A run that hangs is a failure, and not a test that hangs.
pub(crate) fn finish(mut child: Child) -> Finished {
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
    let stderr = String::from_utf8(err.join().unwrap()).unwrap();
    Finished { status, stdout: out.join().unwrap(), stderr }
}

fn read(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.map(|mut from| from.read_to_end(&mut bytes));
        bytes
    })
}
