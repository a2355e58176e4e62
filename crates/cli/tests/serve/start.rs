//! How it starts, or why it does not.

use std::{net::TcpListener, process::Stdio};

use crate::{
    http,
    process::{Server, command, refused},
    websocket::{BINARY, TEXT},
};

#[test]
fn it_says_where_it_is_in_a_line_each() {
    let server = Server::start(&[]);
    let (public, admin) = (server.public(), server.admin());
    let expected = [
        format!("everwire listening on http://{public}/  (try /echo and /chat)"),
        format!("admin API on http://{admin}/  (/connections and /metrics)"),
    ];
    assert_eq!(server.said, expected);
}

#[test]
fn every_option_is_a_variable_of_the_environment() {
    let mut command = command();
    command.envs([
        ("EVERWIRE_LISTEN", "127.0.0.1:0,127.0.0.1:0"),
        ("EVERWIRE_ADMIN", "off"),
        ("EVERWIRE_THREADS", "1"),
    ]);
    let server = Server::spawn(command, 2);
    assert!(server.said.iter().all(|line| line.starts_with("everwire listening on")));
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let help = command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variables = help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap());
    let variables: Vec<&str> = variables.collect();
    assert!(variables.contains(&"EVERWIRE_ADMIN_TOKEN") && variables.len() >= 20, "{variables:?}");
    let mut command = command();
    command.envs(variables.into_iter().map(|name| (name, "")));
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let server = Server::spawn(command, 2);
    assert_eq!(http::get(server.admin(), "/connections").status, 200, "no token is asked for");
}

#[test]
fn the_public_address_speaks_http() {
    let public = Server::start(&[]);
    let addr = public.public();
    let health = http::get(addr, "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok"));
    for (path, scripts) in [("/", "'self' 'sha256-"), ("/plain", "'sha256-")] {
        let page = http::get(addr, path);
        assert_eq!(page.status, 200);
        let policy = "content-security-policy: default-src 'none'; script-src ";
        assert!(page.head.contains(&format!("{policy}{scripts}")), "{}", page.head);
        assert!(page.body.starts_with("<!doctype html>"));
    }
    let client = http::get(addr, "/everwire.js");
    assert!(client.head.contains("content-type: text/javascript"), "{}", client.head);
    assert_eq!(client.body, include_str!("../../../../clients/js/dist/everwire.js"));
    assert_eq!(http::get(addr, "/nowhere").status, 404);
    assert_eq!(http::get(addr, "/echo").status, 426);
}

#[test]
fn the_echo_sends_text_and_binary_back() {
    let server = Server::start(&["--threads", "2"]);
    let mut ws = server.connect("/echo");
    for len in [0, 5, 200, 70_000] {
        let payload = vec![b'x'; len];
        ws.send(TEXT, &payload);
        assert_eq!(ws.recv(), (TEXT, payload.clone()));
        ws.send(BINARY, &payload);
        assert_eq!(ws.recv(), (BINARY, payload));
    }
    ws.close();
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let in_use =
        format!("everwire: cannot listen on {addr}: Address already in use (os error 98)\n");
    assert_eq!(refused(&["--listen", &addr, "--admin", "off"]), in_use);
    assert_eq!(refused(&["--listen", "127.0.0.1:0", "--admin", &addr]), in_use);
    for (args, expected) in [
        (&["--frob"][..], "unexpected argument '--frob' found"),
        (&["--max-message", "16potatoes"], "expected a size such as 16MiB"),
        (&["--drain-deadline", "10"], "expected a duration such as 10s"),
        (&["--keepalive", "never"], "expected INTERVAL/TIMEOUT such as 25s/20s, fast, standard"),
        (&["--keepalive", "5s"], "expected INTERVAL/TIMEOUT"),
        (&["--listen", "8080"], "expected ADDR:PORT"),
        (&["--origin", "example.com"], "expected an origin such as https://example.com"),
        (&["--notice", "1000"], "expected 1012 or 1001"),
        (&["--threads", "0"], "'--threads <N>': expected a whole number from 1 to 1024"),
        (&["--max-connections", "x"], "expected a whole number, 1 or more"),
        (&["--max-connections-per-address", "0"], "expected a whole number, 1 or more"),
        (&["--drain-rate", "fast"], "expected a whole number from 0 to 4294967295"),
        (&["--max-age", "0s"], "expected a duration of more than 0s"),
        (&["--trusted-proxy", "nope"], "\"nope\" is not a network"),
        (&["--log", "loud=very"], "expected error, warn, info"),
        (&["--log", "blah="], "'blah=' for '--log <LEVEL>': expected error, warn, info"),
        (&["--tls-cert", "/nope"], "--tls-key"),
        (&["--tls-cert", "/nope", "--tls-key", "/nope"], "could not read /nope: No such file"),
        (&["--admin", "0.0.0.0:0"], "it needs --admin-token"),
        (&["--admin-token", ""], "--admin-token"),
        // What would be changed or left out without a word.
        (&["--session-ttl", "20m"], "--session-ttl 20m exceeds --session-ttl-limit 10m"),
        (&["--session-ttl", "2s", "--session-ttl-limit", "1s"], "exceeds --session-ttl-limit 1s"),
        (&["--session-ttl", "999us"], "expected a duration of at least 1ms"),
        (&["--session-ttl-limit", "0s"], "expected a duration of at least 1ms"),
        (&["--session-buffer", "1GiB"], "--session-buffer of 1073741824 bytes exceeds"),
        (&["--no-sessions", "--session-ttl", "1s"], "cannot be used with"),
        (&["--no-sessions", "--max-detached-sessions", "1"], "cannot be used with"),
        (&["--deflate-threshold", "1KiB"], "not provided: --deflate <shared|dedicated|off>"),
        (&["--max-connections", "99999999999"], "99999999999 connections need as many descriptors"),
    ] {
        let line = refused(args);
        assert!(line.starts_with("everwire: ") && line.contains(expected), "{line}");
    }
}

/// A default gives way to a limit, and a flag that is off contradicts nothing.
#[test]
fn what_was_not_said_contradicts_nothing() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--session-ttl-limit", "1s"]);
    command.args(["--session-memory", "1KiB"]);
    command.env("EVERWIRE_NO_SESSIONS", "0").env("EVERWIRE_PROXY_PROTOCOL", "no");
    command.env("EVERWIRE_DANGER_ANY_ORIGIN", "off").env("EVERWIRE_ORIGIN", "https://a.example");
    Server::spawn(command, 1);
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, expected) in [
        ("EVERWIRE_THREADS", "x", "'x' for EVERWIRE_THREADS: expected a whole number from 1"),
        ("EVERWIRE_LISTEN", "127.0.0.1:0,8080", "'8080' for EVERWIRE_LISTEN: expected ADDR:PORT"),
        ("EVERWIRE_DANGER_ANY_ORIGIN", "x", "for EVERWIRE_DANGER_ANY_ORIGIN: expected 1, true"),
    ] {
        let output = command().env(name, value).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn nobody_needs_to_read_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut command = command();
    command.args(["--listen", &format!("unix:{}", path.display()), "--admin", "off"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    crate::listen::connect_unix(&path);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
