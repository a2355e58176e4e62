//! The opening handshake, answered well and badly.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use everwire_proto::handshake::{AcceptOptions, Extension, accept_key};

use crate::{
    peer::{Peer, serve},
    process::{report, run},
};

/// Answers every request with these bytes, in which `ACCEPT` stands for the right value.
fn answer(bytes: &'static [u8]) -> String {
    serve(move |mut stream| {
        let Some(key) = read_key(&mut stream) else { return };
        let text = bytes.escape_ascii().to_string();
        let answer = match text.contains("ACCEPT") {
            true => {
                String::from_utf8_lossy(bytes).replace("ACCEPT", &accept_key(&key)).into_bytes()
            }
            false => bytes.to_vec(),
        };
        stream.write_all(&answer).ok();
        stream.read_exact(&mut [0]).ok();
    })
}

fn read_key(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let line =
        text.lines().find(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[track_caller]
fn check(bytes: &'static [u8], status: i32, fault: &str) {
    report(&[&answer(bytes)]).faults(status, &[fault]);
}

#[test]
fn a_refusal_is_no_connection() {
    check(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 3, "upgrade.refused");
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 3, "upgrade.refused");
    let ran = run(&[&answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno \x1b[31m\n")]);
    ran.says("came      403 Forbidden: \"no \\u{1b}[31m\"");
    let ran = run(&[&answer(b"HTTP/1.1 302 Found\r\nLocation: wss://b.test/?token=hush\r\n\r\n")]);
    let chunked = b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno db\n\r\n0\r\n\r\n";
    run(&[&answer(chunked)]).says("came      500 Internal Server Error: \"no db\"");
    ran.says("it redirects to wss://b.test/?token=***: probe that");
    let ran = run(&[&answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n")]);
    ran.says("try again later (Retry-After: 7)");
}

#[test]
fn a_wrong_101_is_something_wrong() {
    let plain = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    check(plain, 1, "upgrade.accept");
    check(
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        1,
        "upgrade.accept",
    );
    check(
        b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        1,
        "upgrade.headers",
    );
    check(
        b"HTTP/1.0 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
        1,
        "upgrade.http_version",
    );
}

#[test]
fn what_was_not_offered_must_not_be_chosen() {
    fn head(line: &str) -> &'static [u8] {
        format!(
            "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n{line}\r\n\r\n"
        )
        .leak()
        .as_bytes()
    }
    check(head("Sec-WebSocket-Protocol: a"), 1, "upgrade.subprotocol");
    check(head("Sec-WebSocket-Extensions: permessage-deflate"), 1, "upgrade.extension");
}

#[test]
fn garbage_stalls_and_ends_are_survived() {
    check(b"SSH-2.0-OpenSSH\r\n\x1b[31m", 3, "upgrade.not_http");
    check(b"\x00\x01\x02", 3, "upgrade.not_http");
    check(b"HTTP/1.1 101 Switching", 3, "upgrade.timeout");
    report(&[&serve(drop)]).faults(3, &["upgrade.cut"]);
    let flood = serve(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    report(&[&flood]).faults(3, &["upgrade.not_http"]);
    let drip = serve(|mut stream| {
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    report(&[&drip]).faults(3, &["upgrade.timeout"]);
}

#[test]
fn nothing_of_a_peer_reaches_the_terminal_raw() {
    let ran = run(&[&answer(b"GARB\xffAGE \x1b]0;owned\x07\r\n\r\n")]);
    assert!(!ran.stdout.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.stdout);
    ran.says("[upgrade.not_http]");
}

#[test]
fn an_interim_response_is_passed_over() {
    let url = serve(|mut stream| {
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n").ok();
        if let Some(peer) = Peer::accept(stream, AcceptOptions::default()) {
            peer.behave();
        }
    });
    report(&[&url]).faults(0, &[]);
}

#[test]
fn the_subprotocol_and_the_extensions_are_told() {
    let url = serve(|stream| {
        let mut head = vec![0; 4096];
        let n = stream.peek(&mut head).unwrap();
        let offers = String::from_utf8_lossy(&head[..n]).contains("permessage-deflate");
        let deflate = Extension::new("permessage-deflate").unwrap();
        let mut options =
            AcceptOptions { subprotocol: Some("b".to_owned()), ..AcceptOptions::default() };
        options.extensions = offers.then_some(deflate).into_iter().collect();
        if let Some(peer) = Peer::accept(stream, options) {
            peer.behave();
        }
    });
    let json = report(&["--subprotocol", "a", "--subprotocol", "b", &url]).faults(0, &[]);
    assert_eq!(json["upgrade"]["subprotocol"], "b");
    assert_eq!(json["extensions"]["accepted"][0], "permessage-deflate");
}

#[test]
fn a_server_that_cannot_bear_an_offer_is_named() {
    let url = serve(|mut stream| {
        let mut head = vec![0; 4096];
        let n = stream.peek(&mut head).unwrap();
        if String::from_utf8_lossy(&head[..n]).contains("permessage-deflate") {
            stream.read_exact(&mut head[..n]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        } else if let Some(peer) = Peer::accept(stream, AcceptOptions::default()) {
            peer.behave();
        }
    });
    let json = report(&[&url]).faults(1, &["upgrade.refused"]);
    assert_eq!(json["faults"][0]["came"], "400 Bad Request; to an offer of permessage-deflate");
}

#[test]
fn browsers_want_one_of_their_subprotocols() {
    let url = crate::peer::peers(Peer::behave);
    report(&["--subprotocol", "a", &url]).faults(1, &["upgrade.no_subprotocol"]);
}

#[test]
fn secrets_are_sent_and_not_shown() {
    let url = crate::peer::peers(Peer::behave);
    let url = format!("{}?token=hush&room=1", url.replace("ws://", "ws://user:hush@"));
    let args = ["-v", "-H", "X-Api-Key: hush", "--subprotocol", "everwire.bearer.hush", &url];
    for ran in [run(&args), report(&args)] {
        assert!(!ran.stdout.contains("hush") && !ran.stdout.contains("aHVzaA"), "{}", ran.stdout);
        ran.says("?token=***&room=1");
        ran.says("x-api-key: ***");
        ran.says("authorization: Basic ***");
    }
}
