//! `--session`: one session over any number of connections.

use std::{
    io::Write,
    sync::mpsc,
    time::{Duration, Instant},
};

use everwire::session::{Code, SessionConfig};
use everwire_testkit::Cut;

use crate::{
    fixture::Fixture,
    place::{Place, Program, lines, next, nowhere},
    run::{Ran, command, finish, run},
    scripted::{accept, answer, silent},
};

#[test]
fn lines_are_sent_and_received_and_the_end_of_stdin_ends_the_session() {
    let place = Place::new();
    let ran = run(&["--session", "-n2", &place.url()], "one\ntwo\n");
    ran.check(0, "one\ntwo\n");
    ran.says("= connecting, attempt 1");
    ran.says("= attached, session ");
    ran.says("session ended by us with 1000");
    assert_eq!(place.sessions.stats().ended, 1);
}

#[test]
fn cuts_are_shown_and_cost_nothing() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    for (n, cut) in [Cut::Reset, Cut::Close, Cut::Server].into_iter().enumerate() {
        program.say(&format!("before {n}\n"));
        program.hears(&format!("before {n}"));
        place.proxy.cut(cut);
        program.say(&format!("behind {n}\n"));
        program.hears(&format!("behind {n}"));
        program.tells("= resumed, connection ");
    }
    let ran = program.finish();
    ran.check(0, "");
    ran.says("= detached");
}

#[test]
fn a_server_that_restarts_is_told_loudly_and_followed_by_a_new_session() {
    let mut place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    program.say("heard\n");
    program.hears("heard");
    place.restart();
    program.tells("! LOST: the server does not have the session any more");
    program.tells("= attached");
    program.say("afresh\n");
    program.hears("afresh");
    let ran = program.finish();
    ran.check(4, "");
}

#[test]
fn what_was_not_acknowledged_is_listed_when_it_is_lost() {
    let mut place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    // The server's thread hears nothing from here on.
    place.proxy.cut(Cut::Hole);
    while place.proxy.tally().cuts == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    program.say("into the \x1bvoid\n");
    let sessions = place.sessions.clone();
    place.restart();
    drop(sessions);
    program.tells("! LOST");
    program.tells("! 1 of ours not acknowledged");
    let shown = program.tells("!   into the ");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    program.finish().check(4, "");
}

#[test]
fn a_session_in_a_file_survives_a_kill_and_an_interrupt() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut program = Program::start(&args);
    program.tells("= attached");
    program.say("one\n");
    program.hears("one");
    // What was shown and not noted down would come again.
    let until = Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(&file).unwrap().contains("\"recv\":1") {
        assert!(Instant::now() < until, "it does not note down what it has shown");
        std::thread::sleep(Duration::from_millis(5));
    }
    program.kill();
    place.sessions.all()[0].send_text("while you were out").unwrap();
    let mut program = Program::start(&args);
    program.tells("= resumed, connection 2");
    program.hears("while you were out");
    program.interrupt();
    let line = program.tells("session left");
    let ran = program.finish();
    ran.check(0, "");
    assert!(line.contains("with its store"), "{line}");
    place.sessions.all()[0].send_text("again").unwrap();
    let mut program = Program::start(&args);
    program.tells("= resumed, connection 3");
    program.hears("again");
    program.finish().check(0, "");
    // Neither the session nor what kept others away from it is left behind.
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    assert_eq!(place.sessions.stats().opened, 1);
}

#[test]
fn an_interrupt_loses_nothing_and_doubles_nothing_that_waits_for_stdout() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut child = command(&args).spawn().unwrap();
    // More than a pipe takes, which nobody reads yet.
    let unread = child.stdout.take().unwrap();
    let stderr = lines(child.stderr.take().unwrap());
    let mut program = Program { child, stdout: mpsc::channel().1, stderr, said: Vec::new() };
    program.tells("= attached");
    let session = place.sessions.all().remove(0);
    let messages: Vec<String> = (0..100).map(|n| format!("{n:2000}")).collect();
    messages.iter().for_each(|message| session.send_text(message).unwrap());
    // Until stdout is full: a pipe takes 64 KiB, of which the last page may stay empty.
    let until = Instant::now() + Duration::from_secs(30);
    while rustix::io::ioctl_fionread(&unread).unwrap() < 56 << 10 {
        assert!(Instant::now() < until, "stdout does not get full");
        std::thread::sleep(Duration::from_millis(5));
    }
    program.interrupt();
    // Nothing shows that it was heard while stdout takes nothing. Were it too early, less would wait.
    std::thread::sleep(Duration::from_secs(1));
    program.stdout = lines(unread);
    program.tells("session left");
    let ran = program.finish();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let mut heard: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    assert!(!heard.is_empty());
    session.send_text("the last").unwrap();
    let program = Program::start(&args);
    while heard.last().is_none_or(|last| last != "the last") {
        heard.push(next(&program.stdout).expect("what was not shown comes again"));
    }
    let numbers: Vec<_> = heard.iter().map(|line| line.trim().parse().unwrap_or(100)).collect();
    assert_eq!(numbers, Vec::from_iter(0..=100));
    program.finish().check(0, "");
}

const STORE_FAILS: &str =
    " WARN session cannot be stored: it goes on, and would not survive this process error=";

/// Runs it while its store fails and recovers; and fails again before it is interrupted.
fn with_a_store_that_fails(is_left: bool) -> Ran {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("within");
    std::fs::create_dir(&within).unwrap();
    let file = within.join("session.json");
    let mut program = Program::start(&["--session-store", file.to_str().unwrap(), &place.url()]);
    program.tells("= attached");
    std::fs::remove_dir_all(&within).unwrap();
    for line in ["1", "2", "3"] {
        program.say(&format!("{line}\n"));
        program.hears(line);
    }
    program.tells(&format!("{STORE_FAILS}{}: No such file", file.display()));
    std::fs::create_dir(&within).unwrap();
    program.say("4\n");
    program.hears("4");
    program.tells(" WARN session is stored again");
    if !is_left {
        return program.finish();
    }
    std::fs::remove_dir_all(&within).unwrap();
    program.say("5\n");
    program.hears("5");
    program.interrupt();
    program.end()
}

#[test]
fn a_store_that_fails_is_told_once_and_again_when_it_has_recovered() {
    let ran = with_a_store_that_fails(false);
    ran.check(0, "");
    assert_eq!(ran.stderr.matches(STORE_FAILS).count(), 1, "{}", ran.stderr);
}

#[test]
fn a_session_that_is_left_and_could_not_be_stored_is_a_failure() {
    let ran = with_a_store_that_fails(true);
    ran.check(4, "");
    ran.says("session left, but not stored: the next run does not find it as it is");
}

#[test]
fn one_program_has_a_file_at_a_time() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &place.url()];
    let mut program = Program::start(&args);
    program.tells("= attached");
    let ran = run(&args, "");
    ran.check(2, "");
    let file = file.display();
    ran.says(&format!("invalid '--session-store': {file} is in use by another process\n"));
    program.finish().check(0, "");
}

#[test]
fn a_server_that_throws_the_session_out_is_an_end() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    place.sessions.all()[0].end(Code::ENDED, "kicked");
    program.tells("session ended by the server with 4503 \"kicked\"");
    program.finish().check(4, "");
}

/// The code says that it makes sense to come back, so another session follows.
#[test]
fn a_session_that_the_server_ends_for_another_one_says_who_ended_it_and_why() {
    let place = Place::new();
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    place.sessions.all()[0].end(Code::new(4000).unwrap(), "start afresh");
    let line = program.tells("! LOST: ");
    assert_eq!(
        line,
        "! LOST: session ended by the server with 4000 \"start afresh\"; messages of the server may be missing"
    );
    program.tells("= attached");
    program.say("afresh\n");
    program.hears("afresh");
    let ran = program.finish();
    ran.check(4, "");
    assert!(!ran.stderr.contains("silent"), "{}", ran.stderr);
}

#[test]
fn how_long_a_session_is_kept_is_for_the_server_to_say() {
    let mut place = Place::new();
    let mut config = SessionConfig::server();
    config.terms.ttl = Duration::from_millis(100);
    place.restart_with(config);
    let mut program = Program::start(&["--session", &place.url()]);
    program.tells("= attached");
    program.kill();
    let until = Instant::now() + Duration::from_secs(30);
    while place.sessions.stats().expired == 0 {
        assert!(Instant::now() < until, "it is kept for longer: {:?}", place.sessions.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_without_sessions_is_named() {
    let fixture = Fixture::new();
    let ran = run(&["--session", &fixture.url("/echo")], "");
    ran.check(3, "");
    ran.says("server offers no sessions here: expected it to select the subprotocol everwire.v1");
    ran.says("(connect without --session)");
    let ran = run(&["--session", &fixture.url("/nowhere")], "");
    ran.check(3, "");
    ran.says("status 404");
}

#[test]
fn time_that_is_up_is_the_end_where_nothing_was_ever_attached() {
    let (_socket, url) = nowhere();
    let ran = run(&["--session", "--timeout", "2s", &url], "hi\n");
    ran.check(6, "");
    ran.says("timed out after 2s: no connection yet");
    ran.says("! 1 of ours not sent:\n!   hi");
    assert!(!ran.stderr.contains("may have arrived"), "{}", ran.stderr);
}

#[test]
fn time_that_is_up_does_not_wait_for_a_server_that_is_gone() {
    let mut place = Place::new();
    let url = place.url();
    let args = ["--session", "--timeout", "6s", "--close-timeout", "100ms", &url];
    let mut program = Program::start(&args);
    program.tells("= attached");
    program.say("heard\n");
    program.hears("heard");
    place.stop();
    program.tells("= detached");
    program.say("unheard\n");
    program.tells("!   unheard");
    let ran = program.finish();
    ran.says("of ours not acknowledged; each may have arrived:");
    ran.check(6, "");
    ran.says("timed out after 6s: 1 messages came");
}

#[test]
fn one_interrupt_is_the_end_where_nothing_was_ever_attached() {
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        let (_socket, url) = nowhere();
        let mut program = Program::start(&["--session", &url]);
        program.tells("= attempt 1 failed: ");
        program.signal(signal);
        program.end().check(status, "");
    }
}

#[test]
fn a_ticket_that_is_refused_is_a_failure() {
    let (url, listener) = silent();
    let server = std::thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        let selects = "\r\nSec-WebSocket-Protocol: everwire.v1\r\n\r\n";
        stream.write_all(answer(&head).replace("\r\n\r\n", selects).as_bytes()).unwrap();
        // WELCOME, status AUTH, and a Close with 4501.
        stream.write_all(b"\x82\x02\x60\x06\x88\x02\x11\x95").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let ran = run(&["--session", &url], "hi\n");
    ran.check(3, "");
    ran.says("session ended by us with 4501 \"ticket refused\"");
    server.join().unwrap();
}

#[test]
fn the_token_is_not_shown() {
    let place = Place::new();
    for early in ["ws", "inline"] {
        let mut args = vec!["--session", "-v", "-n1"];
        let url = place.url();
        args.push(&url);
        if early == "inline" {
            args.insert(0, "--redirects=1"); // Then the HELLO is a message.
        }
        let mut child = command(&args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        let ran = finish(child);
        ran.check(0, "hello\n");
        ran.says("< BINARY WELCOME *** [");
        if early == "inline" {
            ran.says("> BINARY HELLO *** [");
        } else {
            ran.says("> everwire-hello: ***");
        }
    }
}

#[test]
fn the_token_is_not_shown_in_fragments() {
    // The kind of the message, its rest; or nothing at first.
    for [first, rest] in [[&b"\x60\x00"[..], b"secret"], [b"", b"\x60\x00secret"]] {
        let (url, listener) = silent();
        let mut program = Program::start(&["--session", "-v", &url]);
        let (mut stream, head) = accept(&listener);
        let answer = answer(&head);
        let answer = answer.strip_suffix("\r\n").unwrap();
        write!(stream, "{answer}Sec-WebSocket-Protocol: everwire.v1\r\n\r\n").unwrap();
        for (head, payload) in [(0x02, first), (0x89, b"shown"), (0x80, rest)] {
            stream.write_all(&[head, u8::try_from(payload.len()).unwrap()]).unwrap();
            stream.write_all(payload).unwrap();
        }
        program.tells("< PING");
        let line = program.tells("< CONTINUATION");
        assert_eq!(line, format!("< CONTINUATION *** [{} bytes]", rest.len()));
        program.kill();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    run(&["--session", "--reconnect", "ws://h/"], "").check(2, "");
    run(&["--session", "--ping", "ws://h/"], "").check(2, "");
    let ran = run(&["--session", "--close", "1008", "", "ws://h/"], "");
    ran.check(2, "");
    ran.says("a session ends with 1000, or 3000 to 4999");
    let ran = run(&["--session-store", "/nowhere/at/all", "ws://h/"], "");
    ran.check(2, "");
    ran.says("invalid '--session-store': /nowhere/at/all.lock: No such file or directory");
}
