//! Pings, and servers that stopped answering.

use std::{
    io::{Read, Write},
    thread,
};

use crate::{
    fixture::Fixture,
    run::{command, finish, run},
    scripted::{accept, answer, silent},
};

#[test]
fn pings_are_timed() {
    let fixture = Fixture::new();
    let ran = run(&["--ping=50ms", "--timeout", "5s", "-n9", &fixture.url("/echo")], "");
    assert_eq!(ran.status, 6);
    assert!(ran.stderr.matches("pong after ").count() >= 2, "{}", ran.stderr);
}

#[test]
fn a_silent_server_is_noticed() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        // Nothing more: not even a Pong.
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let mut child = command(&["--keepalive", "250ms/250ms", &url]).spawn().unwrap();
    let stdin = child.stdin.take();
    let ran = finish(child);
    assert_eq!(ran.status, 4);
    ran.says("--keepalive sets how soon this is noticed");
    drop(stdin);
    server.join().unwrap();
}
