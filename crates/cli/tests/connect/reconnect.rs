//! `--reconnect`, and the keepalive that belongs to it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    fixture::Fixture,
    place::Program,
    run::{command, run, run_command},
    scripted::{accept, answer, silent},
};

#[test]
fn it_connects_again_and_says_so() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        for text in [*b"\x81\x01a", *b"\x81\x01b"] {
            let (mut stream, head) = accept(&listener);
            stream.write_all(&[answer(&head).as_bytes(), &text[..]].concat()).unwrap();
        }
    });
    let ran = run(&["--reconnect", "-n2", &url], "");
    assert_eq!(ran.text(), "a\nb\n", "{}", ran.stderr);
    for line in [
        "= connecting, attempt 1",
        "= open, connection 1",
        "= connecting in ",
        "= open, connection 2",
    ] {
        ran.says(line);
    }
    server.join().unwrap();
}

/// Reads a Ping and returns its payload.
fn read_ping(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).unwrap();
    assert_eq!((head[0], head[1] & 0x80), (0x89, 0x80));
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).unwrap();
    payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    payload
}

#[test]
fn each_connection_is_pinged() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, head) = accept(&listener);
            stream.write_all(answer(&head).as_bytes()).unwrap();
            let ping = read_ping(&mut stream);
            stream.write_all(&[&[0x8a, ping.len() as u8], &ping[..]].concat()).unwrap();
            // The next Ping shows that the Pong came.
            read_ping(&mut stream);
            stream.write_all(b"\x81\x01a").unwrap();
        }
    });
    let ran = run(&["--reconnect", "--ping=50ms", "-n2", &url], "");
    assert_eq!(ran.text(), "a\na\n", "{}", ran.stderr);
    assert!(ran.stderr.matches("pong after ").count() >= 2, "{}", ran.stderr);
    server.join().unwrap();
}

#[test]
fn it_closes_at_the_end_of_stdin_like_any_other() {
    let fixture = Fixture::new();
    let ran = run(&["--reconnect", "-n2", &fixture.url("/echo")], "one\ntwo\n");
    ran.check(0, "one\ntwo\n");
    ran.says("closed with 1000");
}

#[test]
fn each_attempt_that_fails_and_each_connection_that_ends_says_why() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        drop(accept(&listener));
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        drop(stream);
        drop(accept(&listener));
    });
    let mut program = Program::start(&["--reconnect", &url]);
    let line = program.tells("= attempt 1 failed: ");
    assert!(line.contains("closed the connection without an answer"), "{line}");
    program.tells("= connecting");
    program.tells("= open, connection 1");
    let line = program.tells("= ended: ");
    assert!(line.contains("without a Close"), "{line}");
    program.tells("= connecting");
    program.tells("= attempt 3 failed: "); // The second was no lasting connection.
    program.interrupt();
    server.join().unwrap();
    let ran = program.end();
    ran.check(130, "");
    let mut lines: Vec<_> =
        ran.stderr.lines().filter(|line| !line.contains("connecting")).collect();
    let n_told = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), n_told), (4, 4), "{}", ran.stderr);
}

#[test]
fn an_end_of_stdin_ends_it_while_the_server_refuses() {
    let (url, listener) = silent();
    drop(listener);
    let ran = run(&["--reconnect", &url], "");
    ran.check(3, "");
    ran.says("= connecting, attempt 1");
    ran.says("closed while no connection was open");
}

#[test]
fn a_line_that_waits_is_sent_before_the_end_of_stdin_counts() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        // The first attempt is turned away, the second one gets the line and then the Close.
        drop(accept(&listener));
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        let mut line = [0; 6 + 4];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(line[0], 0x81);
        let mut close = [0; 6 + 2];
        stream.read_exact(&mut close).unwrap();
        assert_eq!(close[0], 0x88);
        stream.write_all(b"\x81\x04late\x88\x02\x03\xe8").unwrap();
    });
    let ran = run(&["--reconnect", &url], "line\n");
    ran.check(0, "late\n");
    server.join().unwrap();
}

#[test]
fn it_stops_where_another_attempt_makes_no_sense() {
    let fixture = Fixture::new();
    let ran = run(&["--reconnect", &fixture.url("/nowhere")], "");
    ran.check(3, "");
    ran.says("status 404");
}

#[test]
fn an_adaptive_keepalive_needs_reconnect() {
    let ran = run(&["--keepalive", "adaptive", "ws://h/"], "");
    ran.check(2, "");
    ran.says("expected '--reconnect' with it");
    let fixture = Fixture::new();
    let home = tempfile::tempdir().unwrap();
    let mut with = command(&["--reconnect", "--keepalive", "adaptive", &fixture.url("/echo")]);
    with.env("XDG_STATE_HOME", home.path());
    run_command(with, b"").check(0, "");
    assert!(home.path().join("everwire").is_dir());
}
