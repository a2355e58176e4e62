//! How it ends, and the status that says so.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use everwire::CloseCode;

use crate::{
    fixture::Fixture,
    place::Program,
    run::{command, finish, run},
    scripted::{accept, answer, silent},
};

#[test]
fn close_sends_its_code_and_reason() {
    let fixture = Fixture::new();
    run(&["--close", "4001", "bye", &fixture.url("/echo"), "-n1"], "hi\n").check(0, "hi\n");
    let closure = fixture.closure();
    assert_eq!((u16::from(closure.code()), closure.reason()), (4001, "bye"));
}

#[test]
fn the_status_says_how_the_server_closed() {
    #[track_caller]
    fn check(path: &str, status: i32, says: &str) {
        let fixture = Fixture::new();
        // Stdin stays open, so that the server is first.
        let mut child = command(&[&fixture.url(path)]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"x\n").unwrap();
        let ran = finish(child);
        assert_eq!(ran.status, status, "{path}: {}", ran.stderr);
        ran.says(says);
        drop(stdin);
    }
    check("/bye", 0, "closed by the server with 1000 \"bye\" (normal closure");
    check("/away", 0, "closed by the server with 1001 (going away");
    check("/fail", 4, "closed by the server with 1011 \"no \\u{1b} luck\" (internal error");
    check("/private", 4, "closed by the server with 4001 (private");
    check("/abort", 4, "browsers call this 1006");
}

#[test]
fn too_few_messages_are_a_failure() {
    let fixture = Fixture::new();
    let ran = run(&["-n2", &fixture.url("/bye")], "x\n");
    assert_eq!(ran.status, 4);
    ran.says("; 0 of 2 messages came");
}

#[test]
fn a_closed_stdout_ends_quietly() {
    let fixture = Fixture::new();
    let mut child = command(&[&fixture.url("/echo")]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").unwrap();
    let ran = finish(child);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
    drop(stdin);
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let fixture = Fixture::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command(&["-n1", &fixture.url("/echo")]).stdout(full).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8(stderr).unwrap().contains("cannot write to stdout"));
}

#[test]
fn a_stdout_that_cannot_be_written_is_told() {
    let fixture = Fixture::new();
    for how in [">&-", "1</dev/null"] {
        let script = format!("yes | \"$0\" connect {} {how}", fixture.url("/echo"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_everwire")]).env_clear();
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let ran = finish(shell.env("PATH", "/usr/bin:/bin").spawn().unwrap());
        assert_eq!(ran.status, 1, "{how}: {}", ran.stderr);
        ran.says("everwire: cannot write to stdout: Bad file descriptor");
    }
}

#[test]
fn a_signal_closes_properly() {
    let fixture = Fixture::new();
    let mut child = command(&[&fixture.url("/echo")]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(finish(child).status, 0);
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
    drop(stdin);
}

/// As shells write it: with `--reconnect` and with a session as without.
#[test]
fn the_status_says_which_signal_ended_it() {
    let (url, listener) = silent();
    for how in [&["--timeout", "1m"][..], &["--reconnect"], &["--session"]] {
        for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
            // Nobody answers the opening handshake.
            let program = Program::start(&[how, &[&url]].concat());
            let _stream = accept(&listener);
            program.signal(signal);
            program.signal(signal); // As often as it takes.
            program.end().check(status, "");
        }
    }
    let fixture = Fixture::new();
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        let mut program = Program::start(&["-n2", &fixture.url("/echo")]);
        program.say("one\n");
        program.hears("one");
        program.signal(signal);
        program.end().check(status, "");
    }
}

#[test]
fn what_comes_until_the_server_answers_the_close_is_printed() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        let mut close = [0; 8];
        stream.read_exact(&mut close).unwrap();
        assert_eq!(close[0], 0x88);
        for text in [b"\x81\x01a", b"\x81\x01b", b"\x81\x01c", b"\x81\x01d"] {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(text).unwrap();
        }
        stream.write_all(b"\x88\x02\x03\xe8").unwrap();
    });
    run(&[&url], "").check(0, "a\nb\nc\nd\n");
    server.join().unwrap();
}

#[test]
fn who_reads_what_is_printed_slowly_gets_all_of_it() {
    let fixture = Fixture::new();
    let mut child = command(&[&fixture.url("/echo")]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = format!("{}\n", "x".repeat(1000)).repeat(3000);
    let expected = lines.clone();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    // Longer than an application of the library has by default.
    thread::sleep(Duration::from_secs(2));
    let ran = finish(child);
    writer.join().unwrap();
    assert_eq!((ran.status, ran.stdout.len()), (0, expected.len()), "{}", ran.stderr);
}

#[test]
fn a_server_that_never_answers_the_close_has_the_time_that_was_set() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let ran = run(&["--close-timeout", "100ms", &url], "");
    ran.check(4, "");
    ran.says("--close-timeout");
    server.join().unwrap();
}

#[test]
fn timeouts_are_told_apart() {
    let (url, _listener) = silent();
    let ran = run(&["--connect-timeout", "1s", &url], "hi\n");
    ran.check(3, "");
    ran.says("timed out after 1s in the opening handshake");
    let ran = run(&["--timeout", "200ms", &url], "hi\n");
    ran.check(6, "");
    ran.says("timed out after 200ms: no connection yet");
    let fixture = Fixture::new();
    let ran = run(&["--timeout", "5s", "-n2", &fixture.url("/echo")], "hi\n");
    ran.check(6, "hi\n");
    ran.says("timed out after 5s: 1 of 2 messages came");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}
