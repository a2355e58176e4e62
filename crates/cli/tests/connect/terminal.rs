//! On a terminal.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use everwire::CloseCode;

use crate::{fixture::Fixture, place::nowhere};

/// Runs in a terminal of `script`, with what is to be typed; `None` where there is no `script`.
fn run_in_terminal(args: &[&str], state: &Path, typed: &[(&str, &str)]) -> Option<(String, i32)> {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("'{}' connect {}", env!("CARGO_BIN_EXE_everwire"), quoted.join(" "));
    let mut child = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("XDG_STATE_HOME", state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stdout.read(&mut chunk) {
            sender.send(chunk[..n].to_vec()).unwrap();
        }
    });
    let (mut screen, mut seen) = (String::new(), 0);
    let until = Instant::now() + Duration::from_secs(20);
    let next = || chunks.recv_timeout(until.saturating_duration_since(Instant::now()));
    for (wait_for, keys) in typed {
        while !screen[seen..].contains(wait_for) {
            let chunk = next().unwrap_or_else(|_| panic!("no {wait_for:?} on: {screen}"));
            screen += &String::from_utf8_lossy(&chunk);
        }
        seen += screen[seen..].find(wait_for).unwrap() + wait_for.len();
        stdin.write_all(keys.as_bytes()).unwrap();
    }
    while let Ok(chunk) = next() {
        screen += &String::from_utf8_lossy(&chunk);
    }
    let status = child.wait().unwrap().code().unwrap_or(-1);
    Some((screen, status))
}

#[test]
fn lines_are_edited_and_remembered() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    // "hxi", back over the i, x deleted; then the line again from the history.
    // Its answer comes before the next prompt or above it: then that is drawn again.
    let typed = [
        ("> ", "hxi\x1b[D\x7f\r"),
        ("hi\r\n", ""),
        ("> ", "\x1b[A\r"),
        ("hi\r\n", ""),
        ("> ", "\x04"),
    ];
    let Some((screen, status)) = run_in_terminal(&[&fixture.url("/echo")], state.path(), &typed)
    else {
        return eprintln!("skipped: there is no script(1)");
    };
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("closed with 1000"), "{screen}");
    let history = fs::read_to_string(state.path().join("everwire/history")).unwrap();
    assert!(history.lines().any(|line| line == "hi"), "{history}");
    assert_eq!(fixture.closure().counters.messages_received, 2);
}

/// Many lines come in one go when they are pasted.
#[test]
fn every_line_that_is_pasted_is_sent() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    let typed =
        [("> ", "one\rtwo\rthree\rfour\r"), ("four\r\n", ""), ("four\r\n", ""), ("> ", "\x04")];
    let Some((screen, status)) = run_in_terminal(&[&fixture.url("/echo")], state.path(), &typed)
    else {
        return;
    };
    assert_eq!(status, 0, "{screen}");
    assert_eq!(fixture.closure().counters.messages_received, 4, "{screen}");
}

#[test]
fn ctrl_c_closes_properly() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    let typed = [("> ", "\x03")];
    let Some((screen, status)) = run_in_terminal(&[&fixture.url("/echo")], state.path(), &typed)
    else {
        return;
    };
    assert_eq!(status, 0, "{screen}");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}

#[test]
fn a_terminal_is_not_commanded() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    let args = ["-n1", &fixture.url("/evil")];
    let Some((screen, _)) = run_in_terminal(&args, state.path(), &[]) else { return };
    assert!(screen.contains("a\\u{1b}[31mb\\r\\u{202e}c"), "{screen:?}");
    let args = ["-n1", &fixture.url("/bytes")];
    let (screen, _) = run_in_terminal(&args, state.path(), &[]).unwrap();
    assert!(screen.contains("00000000  00 01 ff 78  "), "{screen:?}");
}

/// Above the line that is edited, each in a line of its own.
#[test]
fn attempts_that_fail_are_told_on_a_terminal_too() {
    let (_socket, url) = nowhere();
    let state = tempfile::tempdir().unwrap();
    let typed =
        [("= attempt 1 failed: could not connect to ", ""), ("= attempt 2 failed: ", "\x03")];
    let args = ["--reconnect", &url];
    let Some((screen, status)) = run_in_terminal(&args, state.path(), &typed) else { return };
    assert_eq!(status, 130, "{screen}");
    for attempt in [1, 2] {
        let line = format!("= attempt {attempt} failed: could not connect to ");
        assert_eq!(screen.matches(&line).count(), 1, "{screen:?}");
        let begins = screen.lines().filter(|shown| shown.contains(&line));
        assert!(begins.into_iter().all(|shown| !shown.starts_with("> =")), "{screen:?}");
    }
}
