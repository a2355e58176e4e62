//! What is told before there is a connection.

use crate::process::run;

#[test]
fn wrong_usage_is_told_in_one_line() {
    let echo = |args: &[&str]| run(&[&["echo", "ws://127.0.0.1:1/"], args].concat());
    for (args, says) in [
        (&["--size", "15"][..], "at least 16 bytes"),
        (&["--text", "--size", "31"], "at least 32 bytes"),
        (&["--connections", "0"], "0"),
        (&["--connections", "100000000"], "100000000 connections need 100000032 descriptors"),
        (&["--rate", "0"], "expected a number a second"),
        (&["--rate", "inf"], "expected a number a second"),
        (&["--depth", "0"], "0"),
        (&["--depth", "2", "--rate", "5"], "cannot be used with"),
        (&["--duration", "0s"], "invalid value for '--duration'"),
        (&["--patience", "2days"], "invalid value for '--patience'"),
        (&["--fail", "speed>1"], "there is no figure \"speed\""),
        (&["--source", "nowhere"], "nowhere"),
        (&["--ca", "/no/such.pem"], "/no/such.pem"),
        (&["--pid", "4294967295"], "cannot read /proc/4294967295"),
        (&["--slow", "3"], "--slow"),
    ] {
        let ran = echo(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    let connect = |args: &[&str]| run(&[&["connect", "ws://127.0.0.1:1/"], args].concat());
    for (args, says) in [
        (&["-c", "5", "--rate", "9"][..], "cannot be used with"),
        (&["--ramp", "5s"], "'--ramp' is for scenarios that open connections first"),
    ] {
        let ran = connect(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
    let ran = run(&["echo", "ftp://h/"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("url scheme \"ftp\" is not supported"), "{}", ran.stderr);
}

#[test]
fn a_server_that_cannot_be_reached_is_told_and_not_asked_for_all_connections() {
    let ran = run(&["echo", "--json", "-c", "100", "ws://127.0.0.1:1/"]);
    ran.check(3, &[("opened", 0.0), ("failed", 10.0)]);
    assert!(
        ran.stderr.starts_with("everwire: no connection: could not connect to 127.0.0.1:1"),
        "{}",
        ran.stderr
    );
}
