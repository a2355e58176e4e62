//! `everwire connect`, the real binary, against servers in this process.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use everwire::{
    BoundAddr, CloseCode, Closure, Conn, Handler, Message, OriginPolicy, Server, UpgradeRequest,
    tls::{PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::Runtime;

/// A server with one path for each kind of behaviour.
struct Fixture {
    addr: SocketAddr,
    closures: mpsc::Receiver<Closure>,
    _server: Server,
    _runtime: Runtime,
}

/// Says something first, echoes, and does what it is asked.
struct Peer {
    first: Option<Message<'static>>,
    close: Option<(u16, &'static str)>,
    aborts: bool,
    closures: mpsc::Sender<Closure>,
}

impl Peer {
    fn new(request: &UpgradeRequest, closures: mpsc::Sender<Closure>) -> Self {
        let close = match request.path() {
            "/fail" => Some((1011, "no \x1b luck")),
            "/bye" => Some((1000, "bye")),
            "/away" => Some((1001, "")),
            "/private" => Some((4001, "")),
            _ => None,
        };
        let first = match request.path() {
            "/evil" => Some(Message::text("a\x1b[31mb\r\u{202e}c")),
            "/bytes" => Some(Message::binary(vec![0, 1, 255, b'x'])),
            "/headers" => Some(Message::text(shown(request.headers()))),
            _ => None,
        };
        Self { first, close, aborts: request.path() == "/abort", closures }
    }
}

fn shown(headers: &http::HeaderMap) -> String {
    let names = ["x-test", "origin", "sec-websocket-protocol", "authorization"];
    let lines = names.iter().flat_map(|name| {
        let values = headers.get_all(*name).iter();
        values.map(move |value| format!("{name}={} ", value.to_str().unwrap()))
    });
    lines.collect()
}

impl Handler for Peer {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        if let Some(first) = self.first.take() {
            conn.send(first).unwrap();
        }
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        if let Some((code, reason)) = self.close {
            conn.close(CloseCode::new(code).unwrap(), reason).unwrap();
        } else if self.aborts {
            conn.abort();
        } else {
            conn.send(message).ok();
        }
    }

    fn on_close(&mut self, closure: &Closure) {
        self.closures.send(closure.clone()).ok();
    }
}

impl Fixture {
    fn new() -> Self {
        Self::with_tls(None)
    }

    fn with_tls(tls: Option<ServerTls>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (sender, closures) = mpsc::channel();
        let mut builder = Server::builder()
            .bind("127.0.0.1:0")
            .origin(OriginPolicy::DangerAnyOrigin)
            .subprotocols(["chat.v2"]);
        for path in
            ["/echo", "/abort", "/fail", "/bye", "/away", "/private", "/evil", "/bytes", "/headers"]
        {
            let sender = sender.clone();
            builder = builder.push(path, move |request| Peer::new(request, sender.clone()));
        }
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        let server = runtime.block_on(builder.start()).unwrap();
        let BoundAddr::Tcp(addr) = server.addrs()[0] else { panic!("no tcp address") };
        Self { addr, closures, _server: server, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    fn closure(&self) -> Closure {
        self.closures.recv_timeout(Duration::from_secs(10)).expect("the server saw the end")
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
struct Ran {
    status: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn check(&self, status: i32, stdout: &str) {
        assert_eq!((self.status, self.text()), (status, stdout), "{}", self.stderr);
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "no {text:?} in:\n{}", self.stderr);
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.arg("connect").args(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("EVERWIRE") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(mut child: Child) -> Ran {
    // A run that hangs is a failure, and not a test that hangs.
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        out.as_mut().map(|out| out.read_to_end(&mut bytes));
        bytes
    });
    let err = thread::spawn(move || {
        let mut text = String::new();
        err.as_mut().map(|err| err.read_to_string(&mut text));
        text
    });
    let until = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code().unwrap_or(-1),
            None if Instant::now() > until => {
                child.kill().unwrap();
                break -2;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    Ran { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn run_command(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).ok();
    finish(child)
}

fn run(args: &[&str], stdin: &str) -> Ran {
    run_command(command(args), stdin.as_bytes())
}

// ------------------------------------------------------------------ lines and messages

#[test]
fn a_reply_is_waited_for_although_stdin_ended() {
    let fixture = Fixture::new();
    let ran = run(&["-n1", &fixture.url("/echo")], "hi\n");
    ran.check(0, "hi\n");
    ran.says("closed with 1000 (normal closure");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}

#[test]
fn every_line_is_a_message_and_the_end_of_stdin_closes() {
    let fixture = Fixture::new();
    run(&[&fixture.url("/echo")], "a\n\ngrößer\r\nlast").check(0, "a\n\ngrößer\nlast\n");
    assert_eq!(fixture.closure().counters.messages_received, 4);
    run(&[&fixture.url("/echo")], "").check(0, "");
}

#[test]
fn n_counts_exactly_wherever_it_stands() {
    let fixture = Fixture::new();
    let url = fixture.url("/echo");
    run(&[&url, "-n", "2"], "a\nb\nc\nd\n").check(0, "a\nb\n");
    run(&["--count=3", &url], "a\nb\nc\n").check(0, "a\nb\nc\n");
}

#[test]
fn a_long_line_goes_through() {
    let fixture = Fixture::new();
    let long = "x".repeat(1_000_000);
    run(&["-n1", &fixture.url("/echo")], &format!("{long}\n")).check(0, &format!("{long}\n"));
}

#[test]
fn in_a_pipe_a_message_is_written_as_it_is() {
    let fixture = Fixture::new();
    let ran = run(&["-n1", &fixture.url("/evil")], "");
    ran.check(0, "a\x1b[31mb\r\u{202e}c\n");
    let ran = run(&["-n1", &fixture.url("/bytes")], "");
    assert_eq!(ran.stdout, b"\x00\x01\xffx\n");
}

#[test]
fn bin_sends_and_writes_bytes() {
    let fixture = Fixture::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let ran = run_command(command(&["--bin", "-n1", &fixture.url("/echo")]), &bytes);
    assert_eq!((ran.status, ran.stdout == bytes), (0, true), "{}", ran.stderr);
    assert_eq!(fixture.closure().counters.messages_received, 1);
}

#[test]
fn stdin_that_is_not_utf_8_is_named() {
    let fixture = Fixture::new();
    let ran = run_command(command(&[&fixture.url("/echo")]), b"fine\n\xff\n");
    assert_eq!(ran.status, 2);
    ran.says("everwire: line 2 of stdin is not UTF-8: send it with --bin");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}

// ------------------------------------------------------------------ the end

#[test]
fn close_sends_its_code_and_reason() {
    let fixture = Fixture::new();
    run(&["--close", "4001", "bye", &fixture.url("/echo"), "-n1"], "hi\n").check(0, "hi\n");
    let closure = fixture.closure();
    assert_eq!((u16::from(closure.code()), closure.reason()), (4001, "bye"));
    let ran = run(&["--close", "1006", "x", &fixture.url("/echo")], "hi\n");
    assert_eq!(ran.status, 2);
    assert_eq!(run(&["--close", "x", "y", &fixture.url("/echo")], "").status, 2);
}

#[test]
fn the_status_says_how_the_server_closed() {
    #[track_caller]
    fn check(path: &str, status: i32, says: &str) {
        let fixture = Fixture::new();
        // Stdin stays open, so that the server is first.
        let mut child = command(&[&fixture.url(path)]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"x\n").unwrap();
        let ran = finish(child);
        assert_eq!(ran.status, status, "{path}: {}", ran.stderr);
        ran.says(says);
        drop(stdin);
    }
    check("/bye", 0, "closed by the server with 1000 \"bye\" (normal closure");
    check("/away", 0, "closed by the server with 1001 (going away");
    check("/fail", 4, "closed by the server with 1011 \"no \\u{1b} luck\" (internal error");
    check("/private", 4, "closed by the server with 4001 (private");
    check("/abort", 4, "browsers call this 1006");
}

#[test]
fn too_few_messages_are_a_failure() {
    let fixture = Fixture::new();
    let ran = run(&["-n2", &fixture.url("/bye")], "x\n");
    assert_eq!(ran.status, 4);
    ran.says("; 0 of 2 messages came");
}

#[test]
fn a_closed_stdout_ends_quietly() {
    let fixture = Fixture::new();
    let mut child = command(&[&fixture.url("/echo")]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").unwrap();
    let ran = finish(child);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
    drop(stdin);
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let fixture = Fixture::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command(&["-n1", &fixture.url("/echo")]).stdout(full).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8(stderr).unwrap().contains("cannot write to stdout"));
}

#[test]
fn a_signal_closes_properly() {
    let fixture = Fixture::new();
    let mut child = command(&[&fixture.url("/echo")]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(finish(child).status, 0);
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
    drop(stdin);
}

// ------------------------------------------------------------------ no connection

#[test]
fn a_refusal_is_told() {
    let fixture = Fixture::new();
    let ran = run(&[&fixture.url("/nowhere")], "hi\n");
    ran.check(3, "");
    ran.says("everwire: server refuses with status 404 Not Found instead of 101");
    let ran = run(&["ws://127.0.0.1:1/"], "hi\n");
    ran.check(3, "");
    ran.says("could not connect to 127.0.0.1:1");
}

#[test]
fn wrong_usage_is_told() {
    for (args, says) in [
        (&["ftp://h/"][..], "url scheme \"ftp\" is not supported"),
        (&["ws://h/", "-H", "nonsense"], "NAME: VALUE"),
        (&["ws://h/", "-H", "Upgrade: h2c"], "header upgrade is set by the handshake"),
        (&["ws://h/", "-n0"], "0"),
        (&["ws://h/", "--ca", "/no/such.pem"], "/no/such.pem"),
        (&["ws://h/", "--cert", "x.pem"], "--key"),
        (&["ws://h/", "--proxy", "ftp://p"], "ftp"),
        (&["ws://h/", "--keepalive", "often"], "INTERVAL/TIMEOUT"),
        (&[], "URL"),
    ] {
        let ran = run(args, "");
        ran.check(2, "");
        ran.says(says);
    }
}

/// A server that reads and never answers.
fn silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (format!("ws://{}/", listener.local_addr().unwrap()), listener)
}

#[test]
fn timeouts_are_told_apart() {
    let (url, _listener) = silent();
    let ran = run(&["--connect-timeout", "200ms", &url], "hi\n");
    ran.check(3, "");
    ran.says("timed out after 200ms in the opening handshake");
    let ran = run(&["--timeout", "200ms", &url], "hi\n");
    ran.check(6, "");
    ran.says("timed out after 200ms: no connection yet");
    let fixture = Fixture::new();
    let ran = run(&["--timeout", "300ms", "-n2", &fixture.url("/echo")], "hi\n");
    ran.check(6, "hi\n");
    ran.says("timed out after 300ms: 1 of 2 messages came");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}

// ------------------------------------------------------------------ the request

#[test]
fn what_is_asked_for_is_sent() {
    let fixture = Fixture::new();
    let args = ["-n1", "-H", "X-Test: 1", "--header", "x-test:2", "--origin", "https://page.test"];
    let ran = run(
        &[
            &args[..],
            &["--subprotocol", "a", "--subprotocol", "chat.v2"],
            &[&fixture.url("/headers")],
        ]
        .concat(),
        "",
    );
    ran.check(0, "x-test=1 x-test=2 origin=https://page.test sec-websocket-protocol=a, chat.v2 \n");
    let url = fixture.url("/headers").replace("ws://", "ws://u:p@");
    run(&["-n1", &url], "").check(0, "authorization=Basic dTpw \n");
}

#[test]
fn the_environment_sets_flags() {
    let fixture = Fixture::new();
    let mut command = command(&[]);
    command.env("EVERWIRE_URL", fixture.url("/headers"));
    command.env("EVERWIRE_HEADER", "X-Test: env").env("EVERWIRE_COUNT", "1");
    command.env("EVERWIRE_VERBOSE", "1").env("EVERWIRE_BIN", "0");
    let ran = run_command(command, b"");
    ran.check(0, "x-test=env \n");
    ran.says("< HTTP/1.1 101 Switching Protocols");
}

#[test]
fn verbose_shows_heads_and_frames_without_secrets() {
    let fixture = Fixture::new();
    let args = ["-v", "-n1", "-H", "Authorization: Bearer hunter2", "-H", "Cookie: id=hunter2"];
    let more = ["-H", "Proxy-Authorization: Basic hunter2", "--close", "1000", "bye"];
    let offer = ["--subprotocol", "chat.v2", "--subprotocol", "everwire.bearer.aHVudGVyMg"];
    let ran = run(&[&args[..], &more, &offer, &[&fixture.url("/echo?x=y")]].concat(), "hello\n");
    ran.check(0, "hello\n");
    for line in [
        "> GET /echo?x=y HTTP/1.1\n",
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
}

#[test]
fn pings_are_timed() {
    let fixture = Fixture::new();
    let ran = run(&["--ping=50ms", "--timeout", "500ms", "-n9", &fixture.url("/echo")], "");
    assert_eq!(ran.status, 6);
    assert!(ran.stderr.matches("pong after ").count() >= 2, "{}", ran.stderr);
}

#[test]
fn a_silent_server_is_noticed() {
    let (url, listener) = silent();
    let server = thread::spawn(move || {
        let (mut stream, head) = accept(&listener);
        stream.write_all(answer(&head).as_bytes()).unwrap();
        // Nothing more: not even a Pong.
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let mut child = command(&["--keepalive", "250ms/250ms", &url]).spawn().unwrap();
    let stdin = child.stdin.take();
    let ran = finish(child);
    assert_eq!(ran.status, 4);
    ran.says("--keepalive sets how soon this is noticed");
    drop(stdin);
    server.join().unwrap();
}

#[test]
fn a_message_over_the_limit_is_refused() {
    let fixture = Fixture::new();
    let ran = run(&["--max-message", "1KiB", "-n1", &fixture.url("/echo")], &"x".repeat(2000));
    assert_eq!(ran.status, 4);
    ran.says("--max-message");
    assert_eq!(fixture.closure().code(), CloseCode::MESSAGE_TOO_BIG);
}

/// Accepts a connection and reads its request.
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

fn answer(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = everwire_proto::handshake::accept_key(key.unwrap());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[test]
fn redirects_are_followed_on_request() {
    let fixture = Fixture::new();
    let (url, listener) = silent();
    let there = fixture.url("/echo");
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n");
            accept(&listener).0.write_all(answer.as_bytes()).unwrap();
        }
    });
    let ran = run(&["-n1", &url], "hi\n");
    ran.check(3, "");
    ran.says("302 Found");
    run(&["-n1", "--redirects", "1", &url], "hi\n").check(0, "hi\n");
    server.join().unwrap();
}

#[test]
fn a_proxy_is_used_unless_told_otherwise() {
    let fixture = Fixture::new();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://u:p@{}", proxy.local_addr().unwrap());
    let target = fixture.addr;
    let server = thread::spawn(move || {
        let (mut near, head) = accept(&proxy);
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("Basic dTpw"), "{head}");
        let mut far = TcpStream::connect(target).unwrap();
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut near2, mut far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let back = thread::spawn(move || std::io::copy(&mut far2, &mut near2).ok());
        std::io::copy(&mut near, &mut far).ok();
        back.join().unwrap();
    });
    run(&["-n1", "--proxy", &proxy_url, &fixture.url("/echo")], "hi\n").check(0, "hi\n");
    server.join().unwrap();
    let mut command = command(&["-n1", "--no-proxy", "--connect-timeout", "5s", "ws://u.test/"]);
    command.env("http_proxy", "http://127.0.0.1:1");
    let ran = run_command(command, b"hi\n");
    ran.check(3, "");
    ran.says("could not resolve u.test");
}

// ------------------------------------------------------------------ TLS

/// Writes an authority and a certificate of it for loopback into `dir`.
fn certificates(dir: &Path) -> ServerTls {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), params.signed_by(&key, &ca).unwrap().pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let file = |name| PemSource::file(dir.join(name));
    ServerTls::load(ServerTlsConfig::new(file("cert.pem"), file("key.pem"))).unwrap()
}

#[test]
fn tls_is_verified_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::with_tls(Some(certificates(dir.path())));
    let url = fixture.url("/echo").replace("ws://", "wss://");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    run(&["-n1", "--ca", &path("ca.pem"), &url], "hi\n").check(0, "hi\n");
    run(&["-n1", "-k", &url], "hi\n").check(0, "hi\n");
    let identity = ["--cert", &path("cert.pem"), "--key", &path("key.pem")];
    run(&[&["-n1", "-k", &url], &identity[..]].concat(), "hi\n").check(0, "hi\n");
    let own = ["--ca", &path("cert.pem")];
    let ran = run(&[&["-n1", &url], &own[..]].concat(), "hi\n");
    ran.check(3, "");
    ran.says("certificate");
    let ran = run(&["-n1", &url.replace("wss://", "ws://")], "hi\n");
    assert_eq!(ran.status, 3);
}

// ------------------------------------------------------------------ a terminal

/// Runs in a terminal of `script`, with what is to be typed; `None` where there is no `script`.
fn run_in_terminal(args: &[&str], state: &Path, typed: &[(&str, &str)]) -> Option<(String, i32)> {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("'{}' connect {}", env!("CARGO_BIN_EXE_everwire"), quoted.join(" "));
    let mut child = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("XDG_STATE_HOME", state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stdout.read(&mut chunk) {
            sender.send(chunk[..n].to_vec()).unwrap();
        }
    });
    let (mut screen, mut seen) = (String::new(), 0);
    let until = Instant::now() + Duration::from_secs(20);
    let next = || chunks.recv_timeout(until.saturating_duration_since(Instant::now()));
    for (wait_for, keys) in typed {
        while !screen[seen..].contains(wait_for) {
            let chunk = next().unwrap_or_else(|_| panic!("no {wait_for:?} on: {screen}"));
            screen += &String::from_utf8_lossy(&chunk);
        }
        seen += screen[seen..].find(wait_for).unwrap() + wait_for.len();
        stdin.write_all(keys.as_bytes()).unwrap();
    }
    while let Ok(chunk) = next() {
        screen += &String::from_utf8_lossy(&chunk);
    }
    let status = child.wait().unwrap().code().unwrap_or(-1);
    Some((screen, status))
}

#[test]
fn lines_are_edited_and_remembered() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    // "hxi", back over the i, x deleted; then the line again from the history.
    let typed = [("> ", "hxi\x1b[D\x7f\r"), ("\x1b[Khi", "\x1b[A\r"), ("\x1b[Khi", "\x04")];
    let Some((screen, status)) = run_in_terminal(&[&fixture.url("/echo")], state.path(), &typed)
    else {
        return eprintln!("skipped: there is no script(1)");
    };
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("closed with 1000"), "{screen}");
    let history = fs::read_to_string(state.path().join("everwire/history")).unwrap();
    assert!(history.lines().any(|line| line == "hi"), "{history}");
    assert_eq!(fixture.closure().counters.messages_received, 2);
}

#[test]
fn ctrl_c_closes_properly() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    let typed = [("> ", "\x03")];
    let Some((screen, status)) = run_in_terminal(&[&fixture.url("/echo")], state.path(), &typed)
    else {
        return;
    };
    assert_eq!(status, 0, "{screen}");
    assert_eq!(fixture.closure().code(), CloseCode::NORMAL_CLOSURE);
}

#[test]
fn a_terminal_is_not_commanded() {
    let (fixture, state) = (Fixture::new(), tempfile::tempdir().unwrap());
    let args = ["-n1", &fixture.url("/evil")];
    let Some((screen, _)) = run_in_terminal(&args, state.path(), &[]) else { return };
    assert!(screen.contains("a\\u{1b}[31mb\\r\\u{202e}c"), "{screen:?}");
    let args = ["-n1", &fixture.url("/bytes")];
    let (screen, _) = run_in_terminal(&args, state.path(), &[]).unwrap();
    assert!(screen.contains("00000000  00 01 ff 78  "), "{screen:?}");
}
