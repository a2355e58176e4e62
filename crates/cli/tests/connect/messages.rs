//! Lines and messages.

use std::io::Write;

use everwire::CloseCode;

use crate::{
    fixture::Fixture,
    run::{command, finish, run, run_command},
};

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

#[test]
fn a_message_over_the_limit_is_refused() {
    let fixture = Fixture::new();
    let ran = run(&["--max-message", "3B", "-n1", &fixture.url("/bytes")], "");
    assert_eq!(ran.status, 4);
    ran.says("--max-message");
    assert_eq!(fixture.closure().code(), CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn a_line_over_the_limit_is_not_sent() {
    let fixture = Fixture::new();
    let url = fixture.url("/echo");
    let args = ["--max-message", "1KiB", &url];
    let [fits, long] = [1024, 1025].map(|len| "x".repeat(len));
    run(&args, &format!("{fits}\r\n{fits}")).check(0, &format!("{fits}\n{fits}\n"));
    assert_eq!(fixture.closure().counters.messages_received, 2);
    let ran = run(&args, &format!("hi\n{long}\n"));
    assert_eq!(ran.status, 2);
    ran.says(
        "everwire: line 2 of stdin has more than 1024 bytes: raise the limit with --max-message",
    );
    assert_eq!(fixture.closure().counters.messages_received, 1);
    let ran = run_command(command(&[&args[..], &["--bin"]].concat()), long.as_bytes());
    assert_eq!(ran.status, 2);
    ran.says("everwire: stdin has more than 1024 bytes: raise");
}

#[test]
fn a_line_without_end_does_not_fill_memory() {
    let fixture = Fixture::new();
    let mut child = command(&["--max-message", "1MiB", &fixture.url("/echo")]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let chunk = [b'x'; 1 << 16];
    let written = (0..1024).take_while(|_| stdin.write_all(&chunk).is_ok()).count();
    assert!(written < 64, "{written} of 64 KiB were taken");
    let ran = finish(child);
    assert_eq!(ran.status, 2);
    ran.says("line 1 of stdin has more than 1048576 bytes");
}
