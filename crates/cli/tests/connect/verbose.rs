//! `-v`.

use crate::{fixture::Fixture, run::run};

#[test]
fn verbose_shows_heads_and_frames_without_secrets() {
    let fixture = Fixture::new();
    let args = ["-v", "-n1", "-H", "Authorization: Bearer hunter2", "-H", "Cookie: id=hunter2"];
    let more = ["-H", "Proxy-Authorization: Basic hunter2", "--close", "1000", "bye"];
    let offer = ["--subprotocol", "chat.v2", "--subprotocol", "everwire.bearer.aHVudGVyMg"];
    let ran = run(
        &[&args[..], &more, &offer, &[&fixture.url("/echo?x=y&token=hunter2")]].concat(),
        "hello\n",
    );
    ran.check(0, "hello\n");
    for line in [
        "> GET /echo?x=y&token=*** HTTP/1.1\n",
        "> authorization: Bearer ***\n",
        "> proxy-authorization: Basic ***\n",
        "> cookie: ***\n",
        "> sec-websocket-protocol: chat.v2, everwire.bearer.***\n",
        "< HTTP/1.1 101 Switching Protocols\n",
        "< sec-websocket-protocol: chat.v2\n",
        "> TEXT \"hello\" [5 bytes]\n",
        "< TEXT \"hello\" [5 bytes]\n",
        "> CLOSE 1000 \"bye\"\n",
    ] {
        ran.says(line);
    }
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("aHVudGVyMg"));
    let url = fixture.url("/echo").replace("ws://", "ws://user:hunter2@");
    let ran = run(&["-v", &url], "");
    ran.check(0, "");
    ran.says("> authorization: Basic ***\n");
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("dXNlcjpodW50ZXIy"));
}

#[test]
fn verbose_calls_a_connection_open_when_it_is() {
    let fixture = Fixture::new();
    let ran = run(&["-v", "-n1", &fixture.url("/echo")], "hello\n");
    let at = |line: &str| ran.stderr.find(line).unwrap_or_else(|| panic!("{}", ran.stderr));
    let handshake = at(&format!("= opening handshake with ws://{}\n", fixture.addr));
    assert!(handshake < at("> GET /echo HTTP/1.1\n"));
    assert!(at("< HTTP/1.1 101 Switching Protocols\n") < at("= open\n"));
    assert!(at("= open\n") < at("> TEXT \"hello\" [5 bytes]\n"));
    let ran = run(&["-v", &fixture.url("/nowhere")], "");
    ran.says("< HTTP/1.1 404 Not Found\n");
    assert!(!ran.stderr.contains("= open\n") && !ran.stderr.contains("connected"));
}
