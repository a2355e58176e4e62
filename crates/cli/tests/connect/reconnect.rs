//! `--reconnect`, and the keepalive that belongs to it.

use std::{io::Write, thread};

use crate::{
    fixture::Fixture,
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

#[test]
fn it_closes_at_the_end_of_stdin_like_any_other() {
    let fixture = Fixture::new();
    let ran = run(&["--reconnect", "-n2", &fixture.url("/echo")], "one\ntwo\n");
    ran.check(0, "one\ntwo\n");
    ran.says("closed with 1000");
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
