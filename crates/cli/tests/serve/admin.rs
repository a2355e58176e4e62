//! The admin API.

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
};

use crate::{
    http,
    process::{Server, command},
    websocket::{TEXT, WebSocket},
};

#[test]
fn a_connection_is_listed_while_it_is_open() {
    let server = Server::start(&[]);
    let mut ws = server.connect("/echo");
    ws.send(TEXT, b"hello");
    ws.recv();
    let list = server.connections_until(|list| list[0]["messages_sent"] == 1);
    let remote = ws.stream().local_addr().unwrap();
    let (since, last) = (list[0]["since"].as_str().unwrap(), &list[0]["last_received"]);
    assert!(since.starts_with("20") && since.ends_with('Z') && since.len() == 24, "{since}");
    assert!(last.as_str().unwrap() >= since, "{last} is not before {since}");
    let expected = serde_json::json!({
        "id": list[0]["id"].as_u64().unwrap(),
        "path": "/echo",
        "remote": remote.to_string(),
        "client_ip": "127.0.0.1",
        "since": since,
        "last_received": last,
        "bytes_received": 11,
        "bytes_sent": 7,
        "messages_received": 1,
        "messages_sent": 1,
        "rtt_ms": null,
        "queued_bytes": 0,
        "state": "open",
        "subprotocol": null,
        "deflate": null,
    });
    assert_eq!(list, [expected]);
    let one = http::get(server.admin(), &format!("/connections/{}", list[0]["id"]));
    let one: serde_json::Value = serde_json::from_str(&one.body).unwrap();
    assert_eq!((&one["id"], &one["path"]), (&list[0]["id"], &list[0]["path"]));
    ws.close();
    server.connections_until(<[_]>::is_empty);
    assert_eq!(http::get(server.admin(), &format!("/connections/{}", one["id"])).status, 404);
}

#[test]
fn a_connection_is_closed_by_its_id() {
    let server = Server::start(&[]);
    for (query, expected) in [
        ("?code=4000&reason=so%20long", (4000, "so long")),
        ("?reason=", (1000, "")),
        ("", (1000, "")),
    ] {
        let ws = server.connect("/echo");
        let id = server.connections_until(|list| list.len() == 1)[0]["id"].clone();
        let reply = http::post(server.admin(), &format!("/connections/{id}/close{query}"));
        assert_eq!(reply.status, 202);
        let shown: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((&shown["id"], &shown["code"]), (&id, &expected.0.into()));
        let (code, reason) = ws.closed();
        assert_eq!((code, reason.as_str()), expected);
        server.connections_until(<[_]>::is_empty);
    }
}

#[test]
fn what_cannot_be_closed_is_said() {
    let server = Server::start(&[]);
    let _ws = server.connect("/echo");
    let id = server.connections_until(|list| list.len() == 1)[0]["id"].clone();
    let status = |path: &str| http::post(server.admin(), path).status;
    assert_eq!(status("/connections/999999/close"), 404);
    assert_eq!(status("/connections/first/close"), 404);
    for code in ["1005", "1006", "1015", "999", "5000", "none"] {
        assert_eq!(status(&format!("/connections/{id}/close?code={code}")), 400, "{code}");
    }
    assert_eq!(http::get(server.admin(), &format!("/connections/{id}/close")).status, 405);
    assert_eq!(server.connections()[0]["state"], "open");
}

#[test]
fn who_is_closing_is_not_closed_with_another_code() {
    let server = Server::start(&[]);
    let mut ws = server.connect("/echo");
    let id = server.connections_until(|list| list.len() == 1)[0]["id"].clone();
    let close =
        |query: &str| http::post(server.admin(), &format!("/connections/{id}/close?{query}"));
    for query in ["code=4000&code=4001", "reason=a&reason=a", "code=&code=4000"] {
        let refused = close(query);
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.body.contains("is there twice"), "{}", refused.body);
    }
    assert_eq!(close("code=4000&reason=first").status, 202);
    assert_eq!(ws.recv_close(), (4000, "first".into()));
    // The client has not answered.
    let refused = close("code=4001");
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("is closing already"), "{}", refused.body);
}

#[test]
fn only_this_machine_and_its_own_pages_may_ask() {
    let server = Server::start(&["--admin-host", "ops.test"]);
    let status = |headers: &[(&str, &str)]| {
        http::request(server.admin(), "GET", "/connections", headers).status
    };
    let own = format!("http://{}", server.admin());
    let public = format!("http://{}", server.public());
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&[("host", "localhost:8081")]), 200);
    assert_eq!(status(&[("host", "ops.test")]), 200);
    assert_eq!(status(&[("origin", &own), ("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(status(&[("host", "evil.test")]), 403);
    assert_eq!(status(&[("origin", "http://evil.test")]), 403);
    assert_eq!(status(&[("origin", "null")]), 403);
    assert_eq!(status(&[("origin", &public)]), 403);
    assert_eq!(status(&[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(status(&[("sec-fetch-site", "same-site")]), 403);
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let server = Server::start(&["--admin-token", "sesame"]);
    let ask =
        |path: &str, headers: &[(&str, &str)]| http::request(server.admin(), "GET", path, headers);
    let refused = ask("/connections", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("www-authenticate: bearer"));
    assert_eq!(ask("/metrics", &[("authorization", "Bearer guess")]).status, 401);
    assert_eq!(ask("/connections", &[("authorization", "Bearer sesame")]).status, 200);
    assert_eq!(ask("/healthz", &[]).body, "ok");
}

#[test]
fn on_every_address_it_is_called_by_each_of_them() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--admin-token", "sesame"]);
    command.args(["--admin-host", "a.test", "--admin-host", "b.test,c.test"]);
    let server = Server::spawn(command, 2);
    let (_, rest) = server.said[1].split_once("localhost:").unwrap();
    let port = rest.split('/').next().unwrap().parse().unwrap();
    let status = |addr: SocketAddr, headers: &[(&str, &str)]| {
        let headers = [headers, &[("authorization", "Bearer sesame")]].concat();
        http::request(addr, "GET", "/connections", &headers).status
    };
    let loopback = SocketAddr::from(([127, 0, 0, 1], port));
    for host in ["a.test", "b.test", "c.test:80", "localhost"] {
        assert_eq!(status(loopback, &[("host", host)]), 200, "{host}");
    }
    for host in ["d.test", "198.51.100.1", "198.51.100.1:80"] {
        assert_eq!(status(loopback, &[("host", host)]), 403, "{host}");
    }
    let Some(own) = own_address(port) else { return eprintln!("skipped: there is no network") };
    assert_eq!(status(own, &[]), 200);
    assert_eq!(http::get(own, "/connections").status, 401);
    assert_eq!(status(loopback, &[("host", &own.to_string())]), 403, "it was not connected to");
}

/// Returns an address of this machine that is not a loopback one, if it has any.
fn own_address(port: u16) -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses the address that would be used.
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback()).then_some(SocketAddr::new(ip, port))
}

#[test]
fn the_round_trip_time_is_shown_once_a_ping_was_answered() {
    let server = Server::start(&["--keepalive", "100ms/20s"]);
    let mut ws = server.connect("/echo");
    let (_quiet, (opcode, ping)) = (server.connect("/echo"), ws.recv());
    assert_eq!(opcode, 9);
    ws.send(10, &ping);
    let list = server.connections_until(|list| list.iter().any(|c| !c["rtt_ms"].is_null()));
    assert_eq!(list.iter().filter(|connection| connection["rtt_ms"].is_null()).count(), 1);
    let rtt = list.iter().find_map(|connection| connection["rtt_ms"].as_f64()).unwrap();
    assert!(rtt > 0.0, "{rtt}");
    let metrics = metrics(&server);
    assert_eq!(metrics["rtt_connections"], 1.0);
    assert!(metrics["rtt_mean_seconds"] > 0.0, "{metrics:?}");
}

/// Reads the text format of Prometheus.
pub(crate) fn metrics(server: &Server) -> HashMap<String, f64> {
    let reply = http::get(server.admin(), "/metrics");
    assert!(reply.head.contains("content-type: text/plain; version=0.0.4"));
    let mut typed = None;
    let mut values = HashMap::new();
    for line in reply.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed = rest.split(' ').next().map(str::to_owned);
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), typed.as_deref(), "{line} has its type before it");
            values.insert(name.strip_prefix("everwire_").unwrap().into(), value.parse().unwrap());
        }
    }
    values
}

#[test]
fn metrics_count_live_and_ended_connections() {
    let server = Server::start(&["--max-connections", "50"]);
    for path in ["/nowhere", "/neither"] {
        assert_eq!(WebSocket::open(http::connect(server.public()), path, &[]).err(), Some(404));
    }
    let mut ended = server.connect("/echo");
    ended.send(TEXT, b"hello");
    ended.recv();
    ended.close();
    drop(server.connect("/echo"));
    server.connections_until(<[_]>::is_empty);
    let mut live = server.connect("/echo");
    live.send(TEXT, b"hello");
    live.recv();
    server.connections_until(|list| list[0]["messages_sent"] == 1);
    let metrics = metrics(&server);
    for (name, expected) in [
        (concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("connections_limit", 50.0),
        ("connections_open", 1.0),
        ("connections_opened_total", 3.0),
        ("connections_closed_total{cause=\"peer_closed\"}", 1.0),
        ("connections_closed_total{cause=\"eof_between_frames\"}", 1.0),
        ("close_codes_received_total{code=\"1000\"}", 1.0),
        ("close_codes_received_total{code=\"1006\"}", 1.0),
        ("handshakes_refused_total{status=\"404\"}", 2.0),
        ("send_queued_bytes", 0.0),
        ("send_queues_full", 0.0),
        ("messages_received_total", 2.0),
        ("messages_sent_total", 2.0),
        // A masked header has six bytes, that of a Close frame too, and its code two.
        ("bytes_received_total", 11.0 + 8.0 + 11.0),
        ("bytes_sent_total", 7.0 + 4.0 + 7.0),
    ] {
        assert_eq!(metrics.get(name), Some(&expected), "{name} of {metrics:?}");
    }
}
