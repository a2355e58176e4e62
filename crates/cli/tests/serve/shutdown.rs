//! How it ends.

use rustix::process::Signal;

use crate::process::Server;

#[track_caller]
fn check(args: &[&str], signal: Signal, expected: u16) {
    let server = Server::start(args);
    let connections = ["/echo", "/chat", "/echo"].map(|path| server.connect(path));
    server.connections_until(|connections| connections.len() == 3);
    server.signal(signal);
    for connection in connections {
        assert_eq!(connection.closed(), (expected, String::new()));
    }
    let (status, said) = server.wait();
    assert_eq!(
        (status.code(), said),
        (Some(0), vec!["closed 3 connections cleanly, cut 0".into()])
    );
}

#[test]
fn sigint_says_goodbye() {
    check(&[], Signal::INT, 1001);
}

#[test]
fn sigterm_asks_to_come_back() {
    check(&[], Signal::TERM, 1012);
}

#[test]
fn sigterm_says_what_it_was_told_to() {
    check(&["--notice", "1001"], Signal::TERM, 1001);
}

#[test]
fn who_does_not_answer_is_cut_at_the_deadline() {
    let server = Server::start(&["--drain-deadline", "50ms"]);
    let mut mute = server.connect("/echo");
    server.signal(Signal::TERM);
    assert_eq!(mute.recv_close().0, 1012);
    let (status, said) = server.wait();
    assert_eq!(
        (status.code(), said),
        (Some(0), vec!["closed 0 connections cleanly, cut 1".into()])
    );
}

#[test]
fn clients_are_advised_when_to_come_back() {
    let server = Server::start(&["--drain-spread", "20s", "--drain-rate", "100"]);
    let connection = server.connect("/echo");
    server.connections_until(|connections| connections.len() == 1);
    server.signal(Signal::TERM);
    assert_eq!(connection.closed(), (1012, "retry=1000;spread=20000".into()));
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = Server::start(&["--drain-deadline", "1h"]);
        let mut mute = server.connect("/echo");
        server.signal(Signal::TERM);
        assert_eq!(mute.recv_close().0, 1012);
        server.signal(signal);
        let (status, said) = server.wait();
        assert_eq!((status.code(), said), (Some(code), vec![]));
    }
}

#[test]
fn without_certificates_and_terminal_sighup_is_ignored() {
    let server = Server::start(&[]);
    server.signal(Signal::HUP);
    server.connect("/echo").close();
    server.signal(Signal::INT);
    assert_eq!(server.wait().0.code(), Some(0));
}

/// The short form of `bench/lifecycle drain`.
#[test]
fn everybody_is_told_at_a_pace_and_nobody_is_reset() {
    let server = Server::start(&["--threads", "2", "--drain-rate", "200"]);
    let connections: Vec<_> = (0..200).map(|_| server.connect("/echo")).collect();
    server.connections_until(|connections| connections.len() == 200);
    server.signal(Signal::TERM);
    // All at once: who waits for its turn must answer too.
    let told = connections.into_iter().map(|c| std::thread::spawn(move || c.closed()));
    for told in told.collect::<Vec<_>>() {
        assert_eq!(told.join().unwrap(), (1012, String::new()));
    }
    let (status, said) = server.wait();
    assert_eq!(
        (status.code(), said),
        (Some(0), vec!["closed 200 connections cleanly, cut 0".into()])
    );
}
