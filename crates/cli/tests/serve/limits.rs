//! Limits and trust.

use crate::{
    http,
    process::Server,
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
    use std::io::Write;
    let server = Server::start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]);
    let mut stream = http::connect(server.public());
    stream.write_all(b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n").unwrap();
    let _ws = WebSocket::open(stream, "/echo", &[]).unwrap();
    assert_eq!(server.connections()[0]["client_ip"], "203.0.113.9");
}

#[test]
fn a_silent_client_is_pinged_and_given_up() {
    let server = Server::start(&["--keepalive", "100ms/100ms"]);
    let mut ws = server.connect("/echo");
    assert_eq!(ws.recv().0, 9, "a ping");
    assert_eq!(ws.recv_close(), (1011, "keepalive timeout".into()));
}
