//! Sessions on `/echo`, `/chat` and `/count`.

use std::time::Instant;

use rustix::process::Signal;

use crate::{
    DEADLINE,
    admin::metrics,
    http,
    process::Server,
    visitor::Visitor,
    websocket::{TEXT, WebSocket},
};

/// Asks for the sessions until they are in these states.
#[track_caller]
fn states_until(server: &Server, expected: &[&str]) -> Vec<serde_json::Value> {
    let start = Instant::now();
    loop {
        let reply = http::get(server.admin(), "/sessions");
        let list: Vec<serde_json::Value> = serde_json::from_str(&reply.body).unwrap();
        let mut states: Vec<&str> = list.iter().filter_map(|it| it["state"].as_str()).collect();
        states.sort_unstable();
        if states == expected {
            return list;
        }
        assert!(start.elapsed() < DEADLINE, "still {states:?}");
        std::thread::yield_now();
    }
}

#[test]
fn an_echo_survives_cuts_on_every_thread() {
    let server = Server::start(&["--threads", "3"]);
    let mut visitors = [(); 4].map(|()| Visitor::open(&server, "/echo"));
    for n in 0..16 {
        let visitor = &mut visitors[n % 4];
        visitor.say("before");
        assert_eq!(visitor.hear(), "before");
        visitor.cut();
        visitor.say("after");
        visitor.connect(&server);
        assert_eq!([visitor.hear(), visitor.hear()], ["resumed", "after"]);
    }
}

/// Says messages of this size, all at once, and hears them.
#[track_caller]
fn check_echo(args: &[&str], messages: usize, size: usize) {
    let server = Server::start(args);
    let mut visitor = Visitor::open(&server, "/echo");
    let messages: Vec<String> = (0..messages).map(|n| format!("{n:size$}")).collect();
    messages.iter().for_each(|message| visitor.say(message));
    for message in &messages {
        assert_eq!(visitor.hear(), *message);
    }
}

#[test]
fn an_echo_gives_back_more_than_a_session_keeps() {
    check_echo(&["--session-buffer", "10KiB"], 30, 5000);
}

#[test]
fn an_echo_gives_back_more_than_may_be_under_way() {
    check_echo(&[], 100, 10_000);
    check_echo(&[], 3000, 300);
}

#[test]
fn an_echo_that_its_client_does_not_take_is_missing() {
    let server = Server::start(&[]);
    let mut visitor = Visitor::taking(&server, "/echo", 4);
    ["1", "too long", "3"].iter().for_each(|text| visitor.say(text));
    assert_eq!([visitor.hear(), visitor.hear(), visitor.hear()], ["1", "gap In 2-2", "3"]);
}

#[test]
fn sessions_and_connections_talk_to_each_other() {
    let server = Server::start(&["--threads", "2"]);
    let mut plain = server.connect("/chat");
    let mut visitors = [(); 2].map(|()| Visitor::open(&server, "/chat"));
    server.connections_until(|connections| connections.len() == 3);
    plain.send(TEXT, b"from a connection");
    assert_eq!(plain.recv(), (TEXT, b"from a connection".into()));
    visitors[0].say("wait");
    visitors.iter_mut().for_each(|it| assert_eq!(it.hear(), "from a connection"));
    visitors.iter_mut().for_each(|it| assert_eq!(it.hear(), "wait"));
    visitors[1].say("from a session");
    assert_eq!(plain.recv(), (TEXT, b"wait".into()));
    assert_eq!(plain.recv(), (TEXT, b"from a session".into()));
}

#[test]
fn who_was_cut_off_hears_what_was_said() {
    let server = Server::start(&["--threads", "2"]);
    let [mut away, mut here] = [(); 2].map(|()| Visitor::open(&server, "/chat"));
    away.cut();
    states_until(&server, &["attached", "detached"]);
    away.say("said while away");
    here.say("did you hear?");
    assert_eq!(here.hear(), "did you hear?");
    away.connect(&server);
    for expected in ["resumed", "did you hear?", "said while away"] {
        assert_eq!(away.hear(), expected);
    }
    assert_eq!(here.hear(), "said while away");
}

#[test]
fn who_was_away_for_too_much_is_told_what_is_missing() {
    let server = Server::start(&["--session-buffer", "1KiB"]);
    let (mut away, mut here) = (Visitor::open(&server, "/chat"), server.connect("/chat"));
    away.cut();
    states_until(&server, &["detached"]);
    for n in 0..5 {
        let message = format!("{n:400}").into_bytes();
        here.send(TEXT, &message);
        assert_eq!(here.recv(), (TEXT, message));
    }
    away.connect(&server);
    assert_eq!([away.hear(), away.hear()], ["resumed", "gap In 1-3"]);
    assert_eq!([away.hear(), away.hear()], [3, 4].map(|n| format!("{n:400}")));
    let missing = metrics(&server)["session_messages_missing_total{path=\"/chat\"}"];
    assert_eq!(missing, 3.0);
}

/// However small they are.
#[test]
fn a_larger_buffer_keeps_more_messages() {
    let server = Server::start(&["--session-buffer", "1MiB", "--threads", "1"]);
    let (mut away, mut here) = (Visitor::open(&server, "/chat"), server.connect("/chat"));
    away.cut();
    states_until(&server, &["detached"]);
    let messages = Vec::from_iter((0..5000).map(|n| n.to_string()));
    for message in &messages {
        here.send(TEXT, message.as_bytes());
        assert_eq!(here.recv().1, message.as_bytes());
    }
    away.connect(&server);
    assert_eq!(away.hear(), "resumed");
    for message in &messages {
        assert_eq!(away.hear(), *message);
    }
}

#[test]
fn the_count_goes_on_without_a_gap_for_who_was_away() {
    let server = Server::start(&["--threads", "2"]);
    let mut visitor = Visitor::open(&server, "/count");
    let first: u64 = visitor.hear().parse().unwrap();
    for number in first + 1..first + 3 {
        assert_eq!(visitor.hear(), number.to_string());
    }
    visitor.cut();
    visitor.say("I was away");
    visitor.connect(&server);
    assert_eq!(visitor.hear(), "resumed");
    let mut heard = (first + 3..).map(|number| number.to_string());
    let mut expected = heard.next().unwrap();
    for _ in 0..6 {
        match visitor.hear() {
            answer if answer == "I was away" => {}
            number => {
                assert_eq!(number, expected);
                expected = heard.next().unwrap();
            }
        }
    }
}

#[test]
fn sessions_are_listed_and_counted() {
    let server = Server::start(&[]);
    let mut visitor = Visitor::open(&server, "/echo");
    visitor.say("hello");
    assert_eq!(visitor.hear(), "hello");
    visitor.cut();
    let list = states_until(&server, &["detached"]);
    assert_eq!((&list[0]["path"], &list[0]["connections"]), (&"/echo".into(), &1.into()));
    assert_eq!(list[0]["id"].as_str().unwrap().len(), 32);
    let before = metrics(&server);
    visitor.connect(&server);
    assert_eq!(visitor.hear(), "resumed");
    let after = metrics(&server);
    for (name, expected) in [
        ("sessions{path=\"/echo\"}", [1.0, 1.0]),
        ("sessions_detached{path=\"/echo\"}", [1.0, 0.0]),
        ("sessions_opened_total{path=\"/echo\"}", [1.0, 1.0]),
        ("sessions_resumed_total{path=\"/echo\"}", [0.0, 1.0]),
        ("session_connections_lost_total{path=\"/echo\"}", [1.0, 1.0]),
        ("sessions{path=\"/chat\"}", [0.0, 0.0]),
    ] {
        assert_eq!([before[name], after[name]], expected, "{name}");
    }
}

#[test]
fn a_goodbye_ends_a_session_at_once() {
    let server = Server::start(&[]);
    for path in ["/echo", "/chat"] {
        let mut visitor = Visitor::open(&server, path);
        visitor.say("hello");
        assert_eq!(visitor.hear(), "hello");
        visitor.close();
        assert_eq!(visitor.hear(), "ended 1000 by Us");
        states_until(&server, &[]);
    }
}

#[test]
fn a_session_is_kept_as_long_as_the_server_says() {
    let server = Server::start(&["--session-ttl-limit", "50ms"]);
    let mut visitor = Visitor::open(&server, "/echo");
    visitor.cut();
    visitor.say("never heard");
    states_until(&server, &[]);
    visitor.connect(&server);
    assert_eq!([visitor.hear(), visitor.hear()], ["lost 1", "opened"]);
    assert_eq!(metrics(&server)["sessions_expired_total{path=\"/echo\"}"], 1.0);
}

#[test]
fn no_more_sessions_without_a_connection_than_allowed() {
    let server = Server::start(&["--max-detached-sessions", "1"]);
    let mut visitors = [(); 2].map(|()| Visitor::open(&server, "/echo"));
    visitors.iter_mut().for_each(Visitor::cut);
    states_until(&server, &["detached"]);
}

#[test]
fn clients_are_advised_to_move_before_the_server_leaves() {
    let server = Server::start(&["--threads", "2", "--drain-spread", "20s"]);
    let mut visitors = ["/echo", "/chat"].map(|path| Visitor::open(&server, path));
    server.signal(Signal::TERM);
    for visitor in &mut visitors {
        assert_eq!(visitor.hear(), "go away, 20000 ms");
    }
    for visitor in visitors {
        assert_eq!(visitor.closed(), 1012);
    }
    let (status, said) = server.wait();
    assert_eq!(
        (status.code(), said),
        (Some(0), vec!["closed 2 connections cleanly, cut 0".into()])
    );
}

#[test]
fn without_sessions_connections_are_ordinary() {
    let server = Server::start(&["--no-sessions"]);
    for path in ["/echo", "/chat", "/count"] {
        let offer = [("sec-websocket-protocol", "everwire.v1")];
        let stream = http::connect(server.public());
        let mut ws = WebSocket::open(stream, path, &offer).unwrap();
        assert!(!ws.head().contains("Sec-WebSocket-Protocol"), "{}", ws.head());
        ws.send(TEXT, b"hello");
        while ws.recv() != (TEXT, b"hello".into()) {}
        ws.close();
    }
    assert!(!metrics(&server).contains_key("sessions{path=\"/echo\"}"));
}
