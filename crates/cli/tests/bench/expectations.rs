//! What a job that shall fail can rely on.

use std::{process::Command, sync::Mutex};

use crate::{
    peer::peers,
    process::{Server, report},
};

#[test]
fn expectations_that_are_held_are_no_failure() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let more = ["--fail", "lost==0", "--fail", "answered>=20", "--fail", "p99.9<60s"];
    let args = ["-c", "2", "--rate", "20", &url];
    let json = report("echo", &[&args[..], &more].concat()).check(0, &[]);
    let expectations = json["expectations"].as_array().unwrap();
    assert!(expectations.iter().all(|judged| judged["held"] == true), "{expectations:?}");
    assert_eq!(expectations[1]["expected"], "answered >= 20");
}

#[test]
fn what_failed_is_named() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let args = ["-c", "2", "--rate", "20", "--fail", "sent<20", "--fail", "lost==0", &url];
    let ran = report("echo", &args);
    ran.check(1, &[("sent", 20.0)]);
    assert_eq!(ran.stderr, "everwire: expected sent < 20, came 20\n");
}

#[test]
fn what_is_not_measured_is_not_held() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ran = report("idle", &["-c", "2", "--fail", "p99<20ms", "--fail", "cpu<1s", &url]);
    ran.check(1, &[("opened", 2.0)]);
    assert_eq!(
        ran.stderr,
        "everwire: expected p99 < 20.0 ms, came not measured\n\
         everwire: expected cpu < 1.00 s, came not measured\n"
    );
}

#[test]
fn the_environment_sets_expectations_and_the_rest() {
    let server = Server::start(&[]);
    let mut command = crate::process::command("bench");
    command.arg("echo").env("EVERWIRE_URL", server.url("/echo")).env("EVERWIRE_BENCH_RATE", "10");
    command
        .env("EVERWIRE_BENCH_FAIL", "sent==10,lost==0\nopened==3")
        .env("EVERWIRE_BENCH_DURATION", "1s");
    command.env("EVERWIRE_BENCH_JSON", "1").env("EVERWIRE_BENCH_PID", "");
    command.env("EVERWIRE_BENCH_CONNECTIONS", "3");
    let ran = crate::process::finish(command.spawn().unwrap());
    let json = ran.check(0, &[("opened", 3.0), ("sent", 10.0)]);
    assert_eq!(json["expectations"].as_array().unwrap().len(), 3, "{json}");
}

#[test]
fn a_server_that_was_killed_holds_no_bound_on_what_it_costs() {
    let process = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = process.id().to_string();
    let process = Mutex::new(process);
    let url = peers(move |mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            // It stays a zombie, as one does that nobody waits for.
            process.lock().unwrap().kill().unwrap();
            if peer.answer(opcode, payload).is_some() {
                return;
            }
        }
    });
    let pids = ["--pid", &pid, "--pid", &pid];
    let args = ["-c", "1", "--rate", "10", "--fail", "cpu<1000s", "--fail", "cores<1", &url];
    let ran = report("echo", &[&args[..], &pids].concat());
    let json = ran.check(1, &[("opened", 1.0), ("answered", 10.0)]);
    assert_eq!(
        ran.stderr,
        "everwire: expected cpu < 1000 s, came not measured\n\
         everwire: expected cores < 1.000, came not measured\n"
    );
    let notes = json["notes"].to_string();
    assert!(notes.contains(&format!("process {pid} has ended")), "{notes}");
}

#[test]
fn a_server_that_cannot_be_reached_loses_nothing_and_that_is_not_held() {
    let ran = report("echo", &["--fail", "lost==0", "--fail", "failed<99", "ws://127.0.0.1:1/"]);
    ran.check(3, &[("opened", 0.0)]);
    let said = "everwire: expected lost == 0, came not measured\neverwire: no connection: ";
    assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
}
