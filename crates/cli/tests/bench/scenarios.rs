//! Every scenario against a good server: what is counted is what was done.

use std::{
    fs,
    sync::{Mutex, mpsc},
    time::Duration,
};

use everwire_proto::Opcode;
use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    peer::peers,
    process::{Server, command, finish, report, run},
};

/// What must not happen.
const NO_FAULTS: [(&str, f64); 7] = [
    ("failed", 0.0),
    ("closed", 0.0),
    ("lost", 0.0),
    ("duplicated", 0.0),
    ("reordered", 0.0),
    ("corrupt", 0.0),
    ("foreign", 0.0),
];

fn without_faults<'a>(more: &[(&'a str, f64)]) -> Vec<(&'a str, f64)> {
    [&NO_FAULTS[..], more].concat()
}

#[test]
fn an_echo_at_a_rate_is_sent_and_answered_to_the_message() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let args = ["-c", "8", "--rate", "200", "--threads", "2", &url];
    let json = report("echo", &args).check(
        0,
        &without_faults(&[("opened", 8.0), ("sent", 200.0), ("unsent", 0.0), ("answered", 200.0)]),
    );
    assert_eq!((json["scenario"].as_str(), json["url"].as_str()), (Some("echo"), Some(&*url)));
    let buckets = json["latency_ns"].as_array().unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum::<u64>(), 200);
}

#[test]
fn an_echo_in_depth_loses_nothing_of_texts_large_and_small() {
    let server = Server::start(&[]);
    for args in
        [&["--depth", "5", "--text"][..], &["--size", "100KiB", "--text"], &["--size", "16"]]
    {
        let url = server.url("/echo");
        let ran = report("echo", &[&["-c", "3", &url], args].concat());
        let json = ran.check(0, &without_faults(&[("opened", 3.0)]));
        assert_eq!(json["metrics"]["sent"], json["metrics"]["answered"]);
        assert!(json["metrics"]["answered"].as_f64().unwrap() >= 3.0);
    }
}

#[test]
fn an_echo_through_sessions_is_answered_to_the_message() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let args = ["--session", "-c", "8", "--rate", "200", "--threads", "2", &url];
    let json = report("echo", &args).check(
        0,
        &without_faults(&[("opened", 8.0), ("sent", 200.0), ("unsent", 0.0), ("answered", 200.0)]),
    );
    assert_eq!(json["scenario"].as_str(), Some("session echo"));
    for args in [&["--depth", "5", "--text"][..], &["--size", "100KiB"], &["--size", "16"]] {
        let ran = report("echo", &[&["--session", "-c", "3", &url], args].concat());
        let json = ran.check(0, &without_faults(&[("opened", 3.0)]));
        assert_eq!(json["metrics"]["sent"], json["metrics"]["answered"]);
        // Both ends have acknowledged: more came than either keeps without.
        assert!(json["metrics"]["answered"].as_f64().unwrap() >= 3.0);
    }
}

#[test]
fn a_server_without_sessions_is_told_from_one_that_fails() {
    let url = peers(|mut peer| while peer.next().is_some() {});
    let ran = report("echo", &["--session", "-c", "2", &url]);
    let json = ran.check(0, &[("opened", 2.0), ("answered", 0.0), ("closed", 2.0)]);
    assert_eq!(json["ends"]["the server offers no sessions here"].as_u64(), Some(2), "{json}");
}

#[test]
fn compressed_messages_come_back_whole() {
    let server = Server::start(&["--deflate", "shared", "--deflate-threshold", "1"]);
    let url = server.url("/echo");
    let args = ["-c", "3", "--rate", "50", "--text", "--size", "2KiB", &url];
    for (deflate, n) in [("--deflate", 3.0), ("--deflate=shared", 3.0), ("--deflate=off", 0.0)] {
        let ran = report("echo", &[&args[..], &[deflate]].concat());
        let json = ran.check(0, &without_faults(&[("answered", 50.0), ("deflated", n)]));
        for wire in ["wire.sent", "wire.received"] {
            let is_smaller = json["metrics"][wire].as_f64().unwrap() < 1500.0;
            assert_eq!(is_smaller, n > 0.0, "{wire} of {json}");
        }
    }
    let server = Server::start(&[]);
    let ran = report("idle", &["-c", "3", "--deflate", &server.url("/echo")]);
    ran.check(0, &[("opened", 3.0), ("deflated", 0.0)]);
    ran.says("the server did not agree to compress on 3 connections");
}

#[test]
fn what_the_server_costs_is_told() {
    let server = Server::start(&[]);
    let (url, pid) = (server.url("/echo"), server.pid());
    let ran = report("echo", &["-c", "20", "--pid", &pid, &url]);
    let metrics = &ran.check(0, &[])["metrics"];
    assert!(metrics["cpu"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(metrics["cores"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(metrics["memory"].is_f64(), "{metrics}");
}

#[test]
fn connections_come_from_the_source_addresses_in_turn() {
    let server = Server::start(&["--max-connections-per-address", "2"]);
    let url = server.url("/echo");
    let all = ["-c", "6", "--source", "127.0.0.2,127.0.0.3,127.0.0.4", &url];
    report("idle", &all).check(0, &[("opened", 6.0), ("failed", 0.0)]);
    let ran = report("idle", &["-c", "6", "--source", "127.0.0.2", &url]);
    let json = ran.check(0, &[("opened", 2.0), ("failed", 4.0)]);
    assert!(json["failures"].as_object().unwrap().keys().next().unwrap().contains("503"));
}

#[test]
fn everybody_has_every_broadcast() {
    let server = Server::start(&[]);
    for pace in [["--rate", "20"], ["--depth", "3"]] {
        let url = server.url("/chat");
        let args = [&["-c", "11", "--threads", "2", &url], &pace[..]].concat();
        let json = report("broadcast", &args).check(0, &without_faults(&[("opened", 12.0)]));
        let [sent, answered] =
            ["sent", "answered"].map(|name| json["metrics"][name].as_f64().unwrap());
        assert!(sent >= 1.0 && answered == 11.0 * sent, "{sent} {answered}");
    }
}

#[test]
fn a_path_that_passes_nothing_on_is_told() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ran = report("broadcast", &["-c", "2", "--rate", "5", "--patience", "100ms", &url]);
    ran.check(0, &[("sent", 5.0), ("answered", 0.0), ("lost", 10.0)]);
    ran.says("nothing was passed on");
}

#[test]
fn connections_are_opened_and_closed() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let json = report("connect", &["-c", "2", &url]).check(0, &[("failed", 0.0), ("closed", 0.0)]);
    assert!(json["metrics"]["opened"].as_f64().unwrap() >= 2.0);
    report("connect", &["--rate", "30", "--threads", "2", &url])
        .check(0, &[("opened", 30.0), ("failed", 0.0), ("closed", 0.0)]);
}

#[test]
fn a_herd_that_was_cut_is_back() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let args = ["-c", "50", "--spread", "100ms", "--duration", "30s", "--threads", "2", &url];
    let json =
        report("storm", &args).check(0, &[("opened", 50.0), ("back", 50.0), ("closed", 0.0)]);
    // It is over when all are back, not when the time is.
    assert!(json["ran_s"].as_f64().unwrap() < 30.0);
}

#[test]
fn consumers_that_do_not_read_are_told_from_the_others() {
    let server = Server::start(&[]);
    let url = server.url("/chat");
    let args = ["-c", "3", "--slow", "2", "--rate", "20", "--size", "64", "--threads", "2", &url];
    let json = report("slow", &args)
        .check(0, &without_faults(&[("sent", 20.0), ("answered", 60.0), ("slow.opened", 2.0)]));
    // They were kept, and that is known from their answers.
    assert_eq!(json["metrics"]["slow.closed"], 0.0, "{json}");
    assert_eq!(json["metrics"]["slow.undecided"], 0.0, "{json}");
    let metrics = &json["metrics"];
    assert!(metrics["alone.p50"].is_f64() && metrics["slow.received"].is_f64(), "{metrics}");
}

#[test]
fn a_server_that_closes_slow_consumers_is_seen_to_close_them_all() {
    let server = Server::start(&[]);
    let url = server.url("/chat");
    let pace = ["--rate", "100", "--size", "256KiB", "--duration", "2s", "--threads", "2"];
    let ran = report("slow", &[&["-c", "1", "--slow", "12", &url], &pace[..]].concat());
    ran.check(0, &[("slow.opened", 12.0), ("slow.closed", 12.0), ("slow.undecided", 0.0)]);
}

#[test]
fn tls_is_verified_unless_told_otherwise() {
    let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let server = Server::start(&["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    let url = server.url("/echo").replace("ws://", "wss://");
    let args = ["-c", "2", "--rate", "20", &url];
    report("echo", &[&args[..], &["--insecure"]].concat()).check(0, &[("answered", 20.0)]);
    let ran = report("echo", &[&args[..], &["--ca", &path("cert.pem")]].concat());
    assert!([0, 3].contains(&ran.status), "{ran:?}");
    let ran = report("echo", &args);
    ran.check(3, &[("opened", 0.0)]);
    assert!(ran.stderr.contains("everwire: no connection: "), "{}", ran.stderr);
}

#[test]
fn an_interrupted_run_reports_what_it_saw() {
    let (came, messages) = mpsc::channel();
    let came = Mutex::new(came);
    let url = peers(move |mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            came.lock().unwrap().send(()).ok();
            if peer.answer(opcode, payload).is_some() {
                return peer.send(Opcode::Close, &[]);
            }
        }
    });
    let args = ["echo", "--json", "--duration", "50s", "--rate", "50", "-c", "2", &url];
    let child = command("bench").args(args).spawn().unwrap();
    for _ in 0..5 {
        messages.recv_timeout(Duration::from_secs(30)).expect("messages come");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let json = finish(child).check(130, &[("opened", 2.0), ("lost", 0.0)]);
    assert_eq!(json["interrupted"], true);
}

#[test]
fn people_are_told_in_words() {
    let server = Server::start(&[]);
    let url = server.url("/echo?token=secret");
    let ran = run(&["echo", "--duration", "1s", "-c", "2", "--rate", "10", &url]);
    ran.says("/echo?token=***: 2 connections, 10.0 a second in all, 32 B binary, 1.0 s\n");
    ran.says("  messages     10 sent, 10 answered");
    ran.says("none lost, duplicated, reordered or corrupt");
    ran.says("  generator  ");
    // Nobody watches.
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}
