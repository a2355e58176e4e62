//! What is told before there is a connection.

use crate::{
    fixture::Fixture,
    run::{command, run, run_command},
};

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
        (&["ws://h/", "-n0"], "'0' for '--count <N>': expected a whole number, 1 or more"),
        (&["ws://h/", "--redirects", "x"], "expected a whole number from 0 to 100"),
        (&["ws://h/", "--ping=0s"], "expected a duration of more than 0s"),
        (&["ws://h/", "--timeout", "0s"], "expected a duration of more than 0s"),
        (&["ws://h/", "--origin", "a\nb"], "expected an origin such as https://example.com"),
        (&["ws://h/", "--subprotocol", "a,b"], "expected one name such as chat.v2"),
        (&["ws://h/", "--ca", "/no/such.pem"], "/no/such.pem"),
        (&["ws://h/", "--cert", "x.pem"], "--key"),
        (&["ws://h/", "--proxy", "ftp://p"], "ftp"),
        (&["ws://h/", "--keepalive", "often"], "INTERVAL/TIMEOUT"),
        (&["ws://h/", "--keepalive", "5s"], "INTERVAL/TIMEOUT"),
        (&["ws://h/", "--close", "1005", ""], "'--close': expected 1000 to 1003, 1007"),
        (&["ws://h/", "--close", "1006", "x"], "'--close': expected 1000"),
        (&["ws://h/", "--close", "1015", "x"], "'--close': expected 1000"),
        (&["ws://h/", "--close", "2999", "x"], "'--close': expected 1000"),
        (&["ws://h/", "--close", "x", "y"], "'--close': expected 1000"),
        (&[], "URL"),
    ] {
        let ran = run(args, "");
        ran.check(2, "");
        ran.says(says);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
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
    // What is off contradicts nothing.
    let mut command = self::command(&["--reconnect", "-n1", &fixture.url("/headers")]);
    command.env("EVERWIRE_SESSION", "0");
    run_command(command, b"").check(0, "\n");
    let mut command = self::command(&[&fixture.url("/headers"), "-n1"]);
    for name in ["HEADER", "PING", "COUNT", "VERBOSE", "CA", "PROXY", "TIMEOUT", "KEEPALIVE"] {
        command.env(format!("EVERWIRE_{name}"), "");
    }
    run_command(command, b"").check(0, "\n");
}
