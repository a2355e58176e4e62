//! Limits and trust.

use std::{
    io::{Read, Write},
    process::Command,
    time::Instant,
};

use crate::{
    DEADLINE, http,
    process::{Server, command},
    websocket::{TEXT, WebSocket},
};

fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
    WebSocket::open(http::connect(server.public()), path, headers).map(WebSocket::close)
}

#[test]
fn a_message_over_the_limit_ends_with_1009() {
    let server = Server::start(&["--max-message", "1KiB"]);
    let mut ws = server.connect("/echo");
    ws.send(TEXT, &[b'x'; 1024]);
    assert_eq!(ws.recv().1.len(), 1024);
    ws.send(TEXT, &[b'x'; 1025]);
    assert_eq!(ws.recv_close().0, 1009);
}

#[test]
fn pages_of_other_origins_connect_only_if_listed() {
    let same = [("origin", "http://server.test")];
    let listed = [("origin", "https://listed.test")];
    let other = [("origin", "https://other.test")];
    let server = Server::start(&["--origin", "https://listed.test"]);
    assert_eq!(
        [same, listed, other].map(|o| open(&server, "/echo", &o)),
        [Ok(()), Ok(()), Err(403)]
    );
    let server = Server::start(&[]);
    assert_eq!([same, listed].map(|o| open(&server, "/echo", &o)), [Ok(()), Err(403)]);
    let server = Server::start(&["--danger-any-origin"]);
    assert_eq!(open(&server, "/echo", &other), Ok(()));
    assert_eq!(open(&server, "/nowhere", &[]), Err(404));
}

#[test]
fn one_connection_too_many_is_refused() {
    for option in ["--max-connections", "--max-connections-per-address"] {
        let server = Server::start(&[option, "1"]);
        let _first = server.connect("/echo");
        assert_eq!(open(&server, "/echo", &[]), Err(503), "{option}");
    }
}

#[test]
fn nine_tenths_of_the_descriptors_are_for_connections() {
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -n 400 && exec \"$0\" serve \"$@\"",
        env!("CARGO_BIN_EXE_everwire"),
    ]);
    limited.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", "1"]);
    let server = Server::spawn(limited, 2);
    assert_eq!(crate::admin::metrics(&server)["connections_limit"], 360.0);
    let mut connections: Vec<_> = (0..360).map(|_| server.connect("/echo")).collect();
    let refused = http::get(server.public(), "/echo");
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("\r\nretry-after: "), "{}", refused.head);
    // Who is connected is served, the admin port answers, and a place that is free is given away.
    connections[0].send(TEXT, b"alive");
    assert_eq!(connections[0].recv().1, b"alive");
    connections.pop().unwrap().close();
    server.connections_until(|list| list.len() == 359);
    let start = Instant::now();
    while let Err(status) = open(&server, "/echo", &[]) {
        assert!(status == 503 && start.elapsed() < DEADLINE, "{status}");
    }
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let told = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.8")];
    for (args, expected) in [
        (&[][..], "127.0.0.1"),
        (&["--trusted-proxy", "127.0.0.0/8"], "203.0.113.7"),
        (&["--trusted-proxy", "127.0.0.1", "--forwarded-header", "forwarded"], "203.0.113.8"),
    ] {
        let server = Server::start(args);
        let stream = http::connect(server.public());
        let ws = WebSocket::open(stream, "/echo", &told).unwrap();
        let connections = server.connections();
        assert_eq!(connections[0]["client_ip"], expected);
        let remote = ws.stream().local_addr().unwrap().to_string();
        assert_eq!(connections[0]["remote"], remote);
    }
}

#[test]
fn the_proxy_protocol_is_expected_if_asked_for() {
    let server = Server::start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]);
    let mut stream = http::connect(server.public());
    stream.write_all(b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n").unwrap();
    let _ws = WebSocket::open(stream, "/echo", &[]).unwrap();
    assert_eq!(server.connections()[0]["client_ip"], "203.0.113.9");
}

#[test]
fn a_missing_proxy_header_is_counted_and_said_now_and_then() {
    let (start, log) = (Instant::now(), tempfile::NamedTempFile::new().unwrap());
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]);
    let server = Server::spawn_logging(command, log.reopen().unwrap());
    for _ in 0..3 {
        let mut stream = http::connect(server.public());
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_or_default(), 0);
    }
    let name = "handshakes_failed_total{reason=\"proxy_header\"}";
    while crate::admin::metrics(&server).get(name) != Some(&3.0) {
        assert!(start.elapsed() < DEADLINE, "not all are counted");
    }
    let log = std::fs::read_to_string(log.path()).unwrap();
    let n_warnings = log.matches("let it send the PROXY protocol").count();
    let most = 1 + start.elapsed().as_secs() / 5;
    assert!((1..=most).contains(&(n_warnings as u64)), "{n_warnings} of {most} in {log}");
    assert!(log.contains(" remote=127.0.0.1:"), "{log}");
}

#[test]
fn a_silent_client_is_pinged_and_given_up() {
    let server = Server::start(&["--keepalive", "100ms/100ms"]);
    let mut ws = server.connect("/echo");
    assert_eq!(ws.recv().0, 9, "a ping");
    assert_eq!(ws.recv_close(), (1011, "keepalive timeout".into()));
}
