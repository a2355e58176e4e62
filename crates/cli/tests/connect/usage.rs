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
