//! Servers that do what no server should: each fault is counted, and as what it is.

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use everwire_proto::{FrameHeader, Opcode};

use crate::{
    peer::{Peer, peers},
    process::{Ran, report, run},
};

/// Answers every message as `answer` does, which is told its number.
fn wrong(answer: impl Fn(&mut Peer, usize, Opcode, Vec<u8>) + Send + Sync + 'static) -> String {
    peers(move |mut peer| {
        let mut n = 0;
        while let Some((opcode, payload)) = peer.next() {
            match opcode {
                Opcode::Close => return peer.send(Opcode::Close, &payload),
                Opcode::Text | Opcode::Binary => {
                    answer(&mut peer, n, opcode, payload);
                    n += 1;
                }
                _ => {}
            }
        }
    })
}

/// Sends 100 messages on one connection.
fn hundred(url: &str) -> Ran {
    report("echo", &["-c", "1", "--rate", "100", "--size", "50", url])
}

#[test]
fn what_is_dropped_is_lost() {
    let url = wrong(|peer, n, opcode, payload| {
        if n % 10 != 3 {
            peer.send(opcode, &payload);
        }
    });
    hundred(&url).check(
        0,
        &[
            ("sent", 100.0),
            ("answered", 90.0),
            ("lost", 10.0),
            ("reordered", 0.0),
            ("corrupt", 0.0),
        ],
    );
}

#[test]
fn what_comes_twice_is_duplicated() {
    let url = wrong(|peer, n, opcode, payload| {
        peer.send(opcode, &payload);
        if n % 10 == 3 {
            peer.send(opcode, &payload);
        }
    });
    hundred(&url).check(0, &[("answered", 100.0), ("duplicated", 10.0), ("lost", 0.0)]);
}

#[test]
fn what_is_overtaken_is_reordered() {
    let held = Mutex::new(None);
    let url = wrong(move |peer, n, opcode, payload| {
        if n % 10 == 3 {
            *held.lock().unwrap() = Some(payload);
            return;
        }
        peer.send(opcode, &payload);
        if let Some(payload) = held.lock().unwrap().take() {
            peer.send(opcode, &payload);
        }
    });
    hundred(&url)
        .check(0, &[("answered", 100.0), ("reordered", 10.0), ("lost", 0.0), ("duplicated", 0.0)]);
}

#[test]
fn what_is_changed_is_corrupt_and_its_message_not_answered() {
    let url = wrong(|peer, n, opcode, mut payload| {
        match n % 20 {
            3 => payload[49] ^= 1,
            13 => payload.truncate(49),
            _ => {}
        }
        peer.send(opcode, &payload);
    });
    hundred(&url)
        .check(0, &[("answered", 90.0), ("corrupt", 10.0), ("lost", 10.0), ("foreign", 0.0)]);
}

#[test]
fn the_other_kind_of_message_is_corrupt() {
    let url = wrong(|peer, n, opcode, payload| {
        peer.send(if n == 7 { Opcode::Binary } else { opcode }, &payload);
    });
    let ran = report("echo", &["-c", "1", "--rate", "50", "--text", &url]);
    ran.check(0, &[("answered", 49.0), ("corrupt", 1.0), ("lost", 1.0), ("foreign", 0.0)]);
}

#[test]
fn a_greeting_is_foreign() {
    let url = peers(|mut peer| {
        peer.send(Opcode::Text, b"welcome");
        peer.behave();
    });
    let ran = report("echo", &["-c", "3", "--rate", "20", &url]);
    ran.check(0, &[("answered", 20.0), ("foreign", 3.0), ("corrupt", 0.0), ("lost", 0.0)]);
}

#[test]
fn a_loss_does_not_end_a_connection_whose_pace_the_server_sets() {
    let url = wrong(|peer, n, opcode, payload| {
        if n != 0 {
            peer.send(opcode, &payload);
        }
    });
    let ran = report("echo", &["-c", "1", "--patience", "2s", "--duration", "3s", &url]);
    let json = ran.check(0, &[("lost", 1.0), ("duplicated", 0.0)]);
    assert!(json["metrics"]["answered"].as_f64().unwrap() >= 1.0, "{json}");
}

#[test]
fn a_connection_that_ends_before_its_time_is_told_with_its_end() {
    let url = wrong(|peer, n, opcode, payload| match n {
        0..=2 => peer.send(opcode, &payload),
        _ => peer.send(Opcode::Close, b"\x03\xf5busy"),
    });
    let ran = report("echo", &["-c", "1", "--depth", "1", "--patience", "300ms", &url]);
    let json = ran.check(0, &[("opened", 1.0), ("closed", 1.0), ("answered", 3.0)]);
    let ends = json["ends"].as_object().unwrap();
    assert!(ends.keys().next().unwrap().contains("1013"), "{ends:?}");
}

#[test]
fn a_stall_is_seen_by_all_that_was_due_meanwhile() {
    let url = wrong(|peer, n, opcode, payload| {
        if n == 50 {
            thread::sleep(Duration::from_secs(1));
        }
        peer.send(opcode, &payload);
    });
    let ran = report("echo", &["-c", "1", "--rate", "100", "--duration", "2s", &url]);
    let json = ran.check(0, &[("sent", 200.0), ("answered", 200.0)]);
    // A hundred of two hundred wait, evenly from nothing to a second: the longest tenth 0.8 s and
    // more. A generator that waits itself would have seen one long latency of so many.
    assert!(json["metrics"]["p90"].as_f64().unwrap() >= 0.75, "{json}");
}

#[test]
fn a_broadcast_that_misses_some_is_lost_to_them() {
    let streams: Mutex<Vec<TcpStream>> = Mutex::default();
    let url = peers(move |mut peer| {
        let own = peer.stream.peer_addr().unwrap();
        streams.lock().unwrap().push(peer.stream.try_clone().unwrap());
        while let Some((opcode, payload)) = peer.next() {
            if opcode == Opcode::Close {
                return peer.send(Opcode::Close, &payload);
            }
            let mut frame = Vec::new();
            FrameHeader::new(opcode, true, payload.len() as u64).encode(&mut frame);
            frame.extend_from_slice(&payload);
            // Always the same one, and not the one who sends.
            let mut streams = streams.lock().unwrap();
            let mut others = streams.iter_mut().filter(|other| other.peer_addr().unwrap() != own);
            others.next().expect("they came first").write_all(&frame).unwrap();
        }
    });
    let ran = report("broadcast", &["-c", "3", "--rate", "10", "--patience", "2s", &url]);
    ran.check(0, &[("sent", 10.0), ("answered", 10.0), ("lost", 20.0)]);
}

/// Serves a subscriber and a sender, and does with the slow consumers that come then as told.
fn slow(then: impl Fn(Peer) + Send + Sync + 'static) -> String {
    let n_come = AtomicUsize::new(0);
    peers(move |peer| match n_come.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => peer.behave(),
        _ => then(peer),
    })
}

#[test]
fn a_slow_consumer_that_is_closed_after_long_silence_was_closed() {
    let url = slow(|mut peer| {
        peer.send(Opcode::Binary, b"what was left");
        thread::sleep(Duration::from_secs(4));
        peer.send(Opcode::Close, b"\x03\xf5slow");
    });
    let ran = report("slow", &["-c", "1", "--slow", "3", "--rate", "5", &url]);
    let json = ran.check(0, &[("slow.opened", 3.0), ("slow.closed", 3.0), ("slow.drained", 3.0)]);
    let ends = json["ends"].as_object().unwrap();
    assert!(ends.keys().any(|end| end.contains("1013")), "{ends:?}");
}

#[test]
fn a_slow_consumer_whose_server_says_nothing_is_undecided() {
    let url = slow(|peer| {
        thread::sleep(Duration::from_secs(30));
        drop(peer);
    });
    let ran =
        report("slow", &["-c", "1", "--slow", "2", "--rate", "5", "--patience", "200ms", &url]);
    ran.check(0, &[("slow.opened", 2.0), ("slow.closed", 0.0), ("slow.undecided", 2.0)]);
}

#[test]
fn what_is_due_behind_the_end_of_the_sender_is_not_sent() {
    let n_come = AtomicUsize::new(0);
    let url = peers(move |mut peer| match n_come.fetch_add(1, Ordering::Relaxed) {
        0 => peer.behave(),
        _ => {
            (0..20).for_each(|_| drop(peer.next()));
            peer.send(Opcode::Close, b"\x03\xf5busy");
        }
    });
    let args = ["-c", "1", "--rate", "50", "--duration", "2s", "--patience", "200ms", &url];
    let ran = report("broadcast", &args);
    let json = ran.check(0, &[("opened", 2.0), ("closed", 1.0)]);
    let [sent, unsent, lost] =
        ["sent", "unsent", "lost"].map(|name| json["metrics"][name].as_f64().unwrap());
    assert!(sent >= 20.0 && unsent > 0.0, "{json}");
    assert_eq!((sent + unsent, lost), (100.0, sent), "{json}");
}

#[test]
fn a_close_that_is_not_answered_is_no_failure_to_open() {
    let url = peers(|mut peer| while peer.next().is_some() {});
    let args = ["connect", "-c", "4", "--duration", "1s", "--patience", "300ms", &url];
    let ran = run(&args);
    ran.says("4 opened, 4 did not close as they should\n");
    ran.says("4 × our Close was not answered when patience was at its end\n");
    assert_eq!(ran.status, 0, "{ran:?}");
}
