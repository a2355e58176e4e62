//! What `--session` tells of its connections.

use std::io::Write;

use everwire_testkit::Cut;

use crate::{
    place::{Place, Program, nowhere},
    scripted::{accept, answer, silent},
};

/// Returns what kinds of lines about connections were told, without what differs from run to run.
fn kinds(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("= "));
    lines
        .map(|line| match line.split_once([',', ':']) {
            Some((kind, _)) if kind.starts_with("connecting in ") => "connecting in".to_owned(),
            Some((kind, _)) => kind.to_owned(),
            None => line.to_owned(),
        })
        .collect()
}

#[test]
fn each_state_is_told_once_and_behind_the_loss_that_it_mends() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    for n in 0..4 {
        place.proxy.cut(Cut::Reset);
        program.tells("= resumed, connection ");
        program.say(&format!("{n}\n"));
        program.hears(&n.to_string());
    }
    let ran = program.finish();
    ran.check(0, "");
    let mut told = kinds(&ran.stderr);
    // A wait that is as good as none is not told.
    told.retain(|kind| kind != "connecting in");
    let mut expected = vec!["connecting", "attached"];
    (0..4).for_each(|_| expected.extend(["detached", "connecting", "resumed"]));
    assert_eq!(told, expected, "{}", ran.stderr);
    let mut lines: Vec<_> = ran.stderr.lines().collect();
    lines.dedup();
    assert_eq!(lines, ran.stderr.lines().collect::<Vec<_>>());
}

#[test]
fn each_attempt_that_fails_says_why() {
    let (_socket, url) = nowhere();
    let mut program = Program::start(&["--session", &url]);
    let addr = url.trim_start_matches("ws://").trim_end_matches('/');
    let line = |attempt| format!("= attempt {attempt} failed: could not connect to {addr}: ");
    program.tells(&line(1));
    program.tells(&line(2));
    program.interrupt();
    let ran = program.end();
    ran.check(130, "");
    for line in [line(1), line(2), "= connecting, attempt 1\n".to_owned()] {
        assert_eq!(ran.stderr.matches(&line).count(), 1, "{line:?}:\n{}", ran.stderr);
    }
    assert_eq!(kinds(&ran.stderr)[..2], ["connecting", "attempt 1 failed"], "{}", ran.stderr);
}

/// There was a connection, which is not an attached session.
#[test]
fn a_server_that_closes_or_refuses_instead_of_attaching_is_told_as_that() {
    let (url, listener) = silent();
    let server = std::thread::spawn(move || {
        // A Close with 1011; and a WELCOME that says BUSY, after 0 s within 0 s.
        for frames in [&b"\x88\x02\x03\xf3"[..], b"\x82\x04\x60\x04\x00\x00\x88\x02\x11\x30"] {
            let (mut stream, head) = accept(&listener);
            let selects = "\r\nSec-WebSocket-Protocol: everwire.v1\r\n\r\n";
            stream.write_all(answer(&head).replace("\r\n\r\n", selects).as_bytes()).unwrap();
            stream.write_all(frames).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        }
    });
    let mut program = Program::start(&["--session", &url]);
    let line = program.tells("= attempt 1 failed: ");
    assert!(line.contains("1011"), "{line}");
    let line = program.tells("= attempt 2 failed: ");
    assert!(line.contains("it is busy, and wants to be tried again after 0ns"), "{line}");
    program.tells("= connecting, attempt 3");
    program.kill();
    server.join().unwrap();
}
