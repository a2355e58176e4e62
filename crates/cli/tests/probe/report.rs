//! The report itself, and the command line.

use serde_json::Value;

use crate::{
    peer::{Peer, peers},
    process::{report, run},
};

/// Lists every field, with dots between the levels.
fn fields(prefix: &str, value: &Value, into: &mut Vec<String>) {
    if let Value::Object(object) = value {
        for (name, value) in object {
            fields(&format!("{prefix}{name}."), value, into);
        }
    } else {
        into.push(prefix.trim_end_matches('.').to_owned());
    }
}

#[test]
fn all_is_well_with_a_good_server() {
    let ran = run(&[&peers(Peer::behave)]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    let marks: Vec<&str> =
        ran.stdout.lines().skip(1).map(|line| &line[..line.len().min(17)]).collect();
    let checks = ["tcp", "upgrade", "extensions", "ping", "message", "close"];
    let expected: Vec<String> = checks.iter().map(|check| format!("ok     {check:10}")).collect();
    assert_eq!(marks[..6], expected);
    assert!(marks[6].starts_with("all is well ("), "{}", ran.stdout);
    assert!(ran.stdout.contains("10 of 10 answered: min "));
}

#[test]
fn the_form_of_the_report_is_documented() {
    let json = report(&["--idle-timeout", "100ms", &peers(Peer::behave)]).faults(0, &[]);
    let documented = include_str!("../../../../docs/probe.md");
    let mut names = Vec::new();
    fields("", &json, &mut names);
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/probe.md");
    }
    assert_eq!((&json["schema"], &json["verdict"]), (&"everwire-probe/1".into(), &"ok".into()));
}

#[test]
fn v_shows_both_heads() {
    let ran = run(&["-v", &peers(Peer::behave)]);
    ran.says("> GET / HTTP/1.1");
    ran.says("< HTTP/1.1 101 Switching Protocols");
}

#[test]
fn the_manual_page_knows_it() {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_everwire"));
    let page = program.args(["man", "probe"]).output().unwrap().stdout;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains(".TH everwire-probe 1") && page.contains("EVERWIRE_PROBE_IDLE_TIMEOUT"));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    for args in [
        &["ftp://h.test/"][..],
        &[],
        &["ws://h.test/", "--pings", "0"],
        &["ws://h.test/", "--timeout", "0s"],
        &["ws://h.test/", "--max-message", "2GiB"],
        &["ws://h.test/", "--idle-timeout", "2days"],
        &["ws://h.test/", "-H", "Sec-WebSocket-Key: x"],
        &["wss://h.test/", "--ca", "/nonexistent"],
    ] {
        let ran = run(args);
        assert_eq!(
            (ran.status, ran.stdout.as_str(), ran.stderr.lines().count()),
            (2, "", 1),
            "{args:?}: {}",
            ran.stderr
        );
    }
}
