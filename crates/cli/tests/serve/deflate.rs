//! `--deflate`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{admin::metrics, http, process::Server, websocket::WebSocket};

#[test]
fn what_was_agreed_on_is_shown() {
    let server = Server::start(&["--deflate", "dedicated"]);
    let offer = "permessage-deflate; server_max_window_bits=10; client_max_window_bits";
    let connect = |headers| WebSocket::open(http::connect(server.public()), "/echo", headers);
    let _plain = connect(&[]).unwrap();
    let _compressing = connect(&[("sec-websocket-extensions", offer)]).unwrap();
    let shown = server.connections_until(|connections| connections.len() == 2);
    let expected = serde_json::json!({
        "server_max_window_bits": 10,
        "server_no_context_takeover": false,
        "client_max_window_bits": 12,
        "client_no_context_takeover": false,
    });
    assert_eq!((&shown[0]["deflate"], &shown[1]["deflate"]), (&serde_json::Value::Null, &expected));
    let metrics = metrics(&server);
    assert_eq!(metrics.get("connections_deflate{context=\"kept\"}"), Some(&1.0));
    assert_eq!(metrics.get("connections_deflate{context=\"none\"}"), Some(&0.0));
}

#[test]
fn connect_and_serve_compress_what_both_want_compressed() {
    for (serve, connect, is_compressed) in [
        ("shared", "--deflate=shared", true),
        ("dedicated", "--deflate", true),
        ("off", "--deflate", false),
    ] {
        let server = Server::start(&["--deflate", serve, "--deflate-threshold", "100"]);
        let url = format!("ws://{}/echo", server.public());
        let mut client = Command::new(env!("CARGO_BIN_EXE_everwire"));
        client.env_clear().args(["connect", connect, "-n1", &url]);
        let mut client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let message = "all the same, ".repeat(300);
        let mut stdin = client.stdin.take().unwrap();
        writeln!(stdin, "{message}").unwrap();
        let output = client.wait_with_output().unwrap();
        drop(stdin);
        assert!(output.stdout == format!("{message}\n").as_bytes());
        server.connections_until(<[_]>::is_empty);
        let metrics = metrics(&server);
        for name in ["bytes_received_total", "bytes_sent_total"] {
            let bytes = metrics[name];
            assert_eq!(bytes < 1000.0, is_compressed, "{name} {bytes} {serve} {connect}");
        }
    }
}
