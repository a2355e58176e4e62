//! How long a silent connection lives, in real time, with short limits.

use std::{
    io::ErrorKind,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use everwire_proto::{Opcode, handshake::AcceptOptions};
use serde_json::Value;

use crate::{
    peer::{Peer, peers},
    process::{report, run},
};

const LIMIT: Duration = Duration::from_millis(1100);

/// Answers like a good server until nothing came for `limit`, and then does this.
fn limited(limit: Duration, then: impl Fn(Peer) + Send + Sync + 'static) -> String {
    peers(move |mut peer| {
        peer.stream.set_read_timeout(Some(limit)).unwrap();
        loop {
            match peer.stream.peek(&mut [0]) {
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) =>
                {
                    return then(peer);
                }
                Ok(n) if n > 0 => {}
                _ => return,
            }
            let Some((opcode, payload)) = peer.next() else { return };
            if let Some(close) = peer.answer(opcode, payload) {
                return peer.send(Opcode::Close, &close);
            }
        }
    })
}

fn idle(url: &str) -> Value {
    report(&["--idle-timeout", "6s", url]).faults(0, &[])["idle"].clone()
}

#[test]
fn a_cut_is_found_with_how_it_is_done() {
    for (url, how, code) in [
        (limited(LIMIT, drop), "fin", Value::Null),
        (
            limited(LIMIT, |mut peer| peer.send(Opcode::Close, b"\x03\xe9idle")),
            "close",
            1001.into(),
        ),
    ] {
        let idle = idle(&url);
        assert_eq!((&idle["how"], &idle["code"]), (&how.into(), &code));
        let limit = idle["limit_ms"].as_f64().unwrap();
        assert!((1100.0..=1500.0).contains(&limit), "{idle}");
        assert_eq!((&idle["survived_ms"], &idle["lifetime_ms"]), (&750.0.into(), &Value::Null));
        let interval = idle["keepalive_ms"].as_f64().unwrap();
        assert!(interval > 0.0 && interval * 1.1 + 250.0 < 1100.0, "{idle}");
    }
}

#[test]
fn a_limit_on_age_is_told_from_one_on_silence() {
    let url = peers(|peer| {
        let stream = peer.stream.try_clone().unwrap();
        thread::spawn(move || {
            thread::sleep(LIMIT);
            stream.shutdown(std::net::Shutdown::Both).ok();
        });
        peer.behave();
    });
    let idle = idle(&url);
    assert!(idle["lifetime_ms"].as_f64().unwrap() >= 1000.0, "{idle}");
    assert_eq!((&idle["how"], &idle["keepalive_ms"]), (&"fin".into(), &Value::Null));
    run(&["--idle-timeout", "6s", &url]).says("no keepalive helps");
}

#[test]
fn a_path_that_forgets_is_found_between_two_silences() {
    let url = limited(LIMIT, |mut peer| while peer.next().is_some() {});
    let idle = idle(&url);
    let [survived, limit] = ["survived_ms", "limit_ms"].map(|field| idle[field].as_f64().unwrap());
    assert_eq!(idle["how"], "silent");
    assert!(survived <= 1100.0 && limit >= 900.0 && limit - survived <= 1000.0, "{idle}");
    assert!(idle["keepalive_ms"].as_f64().unwrap() <= survived, "{idle}");
}

#[test]
fn a_server_that_speaks_by_itself_is_recognised() {
    let url = peers(|mut peer| {
        let mut writer = peer.stream.try_clone().unwrap();
        thread::spawn(move || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(30) {
                thread::sleep(Duration::from_secs(1));
                if std::io::Write::write_all(&mut writer, b"\x89\x00").is_err() {
                    return;
                }
            }
        });
        while let Some((opcode, payload)) = peer.next() {
            let answer = if opcode == Opcode::Pong { None } else { peer.answer(opcode, payload) };
            if let Some(close) = answer {
                peer.send(Opcode::Close, &close);
                peer.stream.shutdown(std::net::Shutdown::Both).ok();
                return;
            }
        }
    });
    let idle = idle(&url);
    assert!(idle["server_speaks_ms"].as_f64().unwrap() < 2000.0, "{idle}");
    assert_eq!(idle["limit_ms"], Value::Null);
}

#[test]
fn without_a_limit_the_whole_time_is_survived() {
    let ran = run(&["--idle-timeout", "2s", &peers(Peer::behave)]);
    assert_eq!(ran.status, 0, "{}", ran.stdout);
    ran.says("a connection survives 2 s of silence; a keepalive interval of 0.9 s is safe");
}

#[test]
fn without_pongs_it_is_not_judged() {
    let url = peers(|mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            if opcode == Opcode::Close {
                return peer.send(Opcode::Close, &payload);
            }
        }
    });
    let json = report(&["--idle-timeout", "2s", &url]).faults(1, &["ping.no_pong"]);
    assert_eq!(json["idle"], Value::Null);
}

#[test]
fn a_server_that_goes_away_meanwhile_proves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        // One connection for each check before, those that are silent and the one that is not. Then nobody listens.
        for n in 0..3 + 9 {
            let (stream, _) = listener.accept().unwrap();
            thread::spawn(move || {
                let mut peer = Peer::accept(stream, AcceptOptions::default()).unwrap();
                if n < 3 { peer.behave() } else { while peer.next().is_some() {} }
            });
        }
    });
    let json = report(&["--idle-timeout", "2s", &url]).faults(1, &["idle.outage"]);
    assert_eq!((&json["faults"][0]["blame"], json["idle"].is_null()), (&"network".into(), true));
}
