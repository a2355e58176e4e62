//! What happens on an open connection: pings, messages, the closing handshake.

use std::{io::Write, thread, time::Duration};

use everwire_proto::{FrameHeader, Opcode};

use crate::{
    peer::{Peer, peers},
    process::{report, run},
};

/// Behaves well but for the answer to a data frame, which `answer` gives; `false` ends.
fn messages(answer: impl Fn(&mut Peer, Opcode, Vec<u8>) -> bool + Send + Sync + 'static) -> String {
    peers(move |mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            let goes_on = match opcode {
                Opcode::Text | Opcode::Binary => answer(&mut peer, opcode, payload),
                opcode => match peer.answer(opcode, payload) {
                    Some(close) => {
                        peer.send(Opcode::Close, &close);
                        false
                    }
                    None => true,
                },
            };
            if !goes_on {
                return;
            }
        }
    })
}

/// Behaves well up to the client's Close, and then does this.
fn closing(close: impl Fn(Peer, Vec<u8>) + Send + Sync + 'static) -> String {
    peers(move |mut peer| {
        if let Some(payload) = peer.until_close() {
            close(peer, payload);
        }
    })
}

// ------------------------------------------------------------------ pings

#[test]
fn a_pong_with_another_payload_is_named() {
    let url = peers(|mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            let payload = if opcode == Opcode::Ping { b"\x1b[31m".to_vec() } else { payload };
            if let Some(close) = peer.answer(opcode, payload) {
                return peer.send(Opcode::Close, &close);
            }
        }
    });
    let ran = run(&[&url]);
    assert_eq!(ran.status, 1);
    ran.says("[ping.wrong_payload]");
    ran.says("a Pong with the payload \"\\x1b[31m\"");
}

#[test]
fn a_server_that_answers_some_pings_is_not_taken_for_good() {
    let url = peers(|mut peer| {
        let mut n_pings = 0;
        while let Some((opcode, payload)) = peer.next() {
            n_pings += u32::from(opcode == Opcode::Ping);
            if opcode == Opcode::Ping && n_pings > 3 {
                continue;
            }
            if let Some(close) = peer.answer(opcode, payload) {
                return peer.send(Opcode::Close, &close);
            }
        }
    });
    let json = report(&[&url]).faults(1, &["ping.no_pong"]);
    assert_eq!((&json["ping"]["sent"], &json["ping"]["answered"]), (&5.into(), &3.into()));
}

#[test]
fn a_server_that_answers_pings_with_messages_is_named() {
    let url = peers(|mut peer| {
        while let Some((opcode, payload)) = peer.next() {
            let opcode = if opcode == Opcode::Ping { Opcode::Text } else { opcode };
            if let Some(close) = peer.answer(opcode, payload) {
                return peer.send(Opcode::Close, &close);
            }
        }
    });
    let json = report(&[&url]).faults(1, &["ping.no_pong"]);
    assert_eq!(json["message"]["sign"], "echo");
}

#[test]
fn one_end_is_told_once_and_no_check_is_good_that_was_cut_short() {
    fn cut_at_a_ping(mut peer: Peer) {
        while let Some((opcode, payload)) = peer.next() {
            if opcode == Opcode::Ping || peer.answer(opcode, payload).is_some() {
                return;
            }
        }
    }
    fn masks(mut peer: Peer) {
        peer.stream.write_all(b"\x81\x81abcdx").ok();
        while peer.next().is_some() {}
    }
    let cases: [(fn(Peer), _); 3] = [
        (cut_at_a_ping, "connection.cut"),
        (masks, "protocol.violation"),
        (|peer| peer.stream.shutdown(std::net::Shutdown::Write).unwrap(), "connection.cut"),
    ];
    for (script, fault) in cases {
        let url = peers(script);
        report(&[&url]).faults(1, &[fault]);
        run(&[&url]).says("-      ping       0 of 1 answered");
    }
}

#[test]
fn a_giant_frame_that_does_not_go_on_is_named() {
    let url = peers(|mut peer| {
        peer.send_header(FrameHeader::new(Opcode::Binary, true, 1 << 40), b"begin");
        while peer.next().is_some() {}
    });
    let json = report(&[&url]).faults(1, &["ping.no_pong", "close.no_answer"]);
    let frame = "; a Binary frame of 1099511627776 bytes has begun, of which 5 came";
    for fault in json["faults"].as_array().unwrap() {
        assert!(fault["came"].as_str().unwrap().ends_with(frame), "{fault}");
    }
}

#[test]
fn pings_of_the_server_and_pongs_unasked_are_no_fault() {
    let url = peers(|mut peer| {
        peer.send(Opcode::Text, b"welcome");
        peer.send(Opcode::Ping, b"are you there");
        peer.send(Opcode::Pong, b"unasked");
        peer.behave();
    });
    report(&[&url]).faults(0, &[]);
}

#[test]
fn a_server_that_falls_silent_is_survived() {
    // It neither reads nor writes, nor does it end.
    let url = peers(|_peer| thread::sleep(Duration::from_secs(20)));
    let json = report(&[&url]).faults(1, &["ping.no_pong", "close.no_answer"]);
    assert!(json["message"].is_null() && json["close"]["received"].is_null());
    assert_eq!(json["notes"][0]["check"], "message");
}

#[test]
fn a_flood_without_a_pong_ends_at_the_deadline() {
    let url = peers(|mut peer| {
        let mut frame = Vec::new();
        FrameHeader::new(Opcode::Binary, true, 1000).encode(&mut frame);
        frame.resize(frame.len() + 1000, 7);
        while peer.stream.write_all(&frame).is_ok() {}
    });
    let json = report(&[&url]).json();
    assert_eq!(json["faults"][0]["id"], "ping.no_pong");
    assert_eq!(json["verdict"], "wrong");
}

#[test]
fn an_end_in_the_middle_is_told_with_its_code() {
    let url = peers(|mut peer| peer.send(Opcode::Close, b"\x03\xf0no \x1b token"));
    let ran = run(&[&url]);
    assert_eq!(ran.status, 1);
    ran.says("[connection.closed]");
    ran.says("a Close with 1008 (policy violation) \"no \\u{1b} token\"");
    let json = report(&[&peers(Peer::reset)]).json();
    assert_eq!(json["faults"][0]["id"], "connection.cut");
}

#[test]
fn frames_that_break_the_rules_are_named() {
    #[track_caller]
    fn check(frame: &'static [u8], came: &str) {
        let url = peers(|mut peer| {
            peer.stream.write_all(frame).ok();
            while peer.next().is_some() {}
        });
        let json = report(&[&url]).json();
        let fault = &json["faults"][0];
        assert_eq!((&fault["id"], &fault["came"]), (&"protocol.violation".into(), &came.into()));
    }
    check(b"\x83\x00", "protocol error: opcode 0x3 is reserved");
    check(b"\x81\x81abcdx", "protocol error: a server sent a frame with a mask");
    check(b"\xc1\x01x", "protocol error: a reserved bit is set without an extension");
}

// ------------------------------------------------------------------ messages

#[test]
fn a_server_that_does_not_echo_is_judged_by_its_pongs() {
    let json = report(&[&messages(|_, _, _| true)]).faults(0, &[]);
    let message = &json["message"];
    assert_eq!((&message["sign"], &message["largest"]), (&"pong".into(), &65_536.into()));
    // Only what is too big is refused.
    let url = messages(|peer, _, payload| {
        if payload.len() > 5000 {
            peer.send(Opcode::Close, &1009_u16.to_be_bytes());
        }
        payload.len() <= 5000
    });
    let json = report(&[&url]).faults(0, &[]);
    let message = &json["message"];
    assert_eq!(
        (&message["largest"], &message["refused"], &message["exact"]),
        (&5000.into(), &5001.into(), &true.into())
    );
    assert_eq!(message["code"], 1009);
}

#[test]
fn the_ping_behind_the_largest_message_is_sent() {
    // The message and the Ping are more than the 1 MiB that a connection queues unless told otherwise.
    for size in ["1MiB", "3MiB"] {
        let json = report(&["--max-message", size, &messages(|_, _, _| true)]).faults(0, &[]);
        assert_eq!(json["message"]["largest"], json["message"]["bound"]);
    }
}

#[test]
fn a_message_that_cuts_the_connection_is_named() {
    let url = messages(|peer, opcode, payload| {
        peer.send(opcode, &payload);
        payload.len() <= 4096
    });
    let json = report(&[&messages(|peer, opcode, payload| {
        if payload.len() <= 4096 {
            peer.send(opcode, &payload);
        }
        payload.len() <= 4096
    })])
    .faults(1, &["message.cut"]);
    assert_eq!(
        (&json["message"]["largest"], &json["message"]["refused"]),
        (&4096.into(), &4097.into())
    );
    // Who echoes first and cuts then is noticed as well, with the next message or the Ping behind it.
    assert_eq!(report(&[&url]).status, 1);
}

#[test]
fn another_code_than_1009_is_named() {
    let url = messages(|peer, opcode, payload| {
        let fits = payload.len() <= 1024;
        let (opcode, payload) =
            if fits { (opcode, payload) } else { (Opcode::Close, b"\x03\xf0".to_vec()) };
        peer.send(opcode, &payload);
        fits
    });
    let json = report(&[&url]).faults(1, &["message.wrong_code"]);
    assert_eq!(
        (&json["message"]["largest"], &json["message"]["code"]),
        (&1024.into(), &1008.into())
    );
}

#[test]
fn an_echo_that_is_cut_is_named() {
    let url = messages(|peer, opcode, payload| {
        peer.send(opcode, &payload[..payload.len().min(3000)]);
        true
    });
    report(&[&url]).faults(1, &["message.echo_differs"]);
}

#[test]
fn nothing_is_sent_with_a_bound_of_0() {
    let url = messages(|_, _, _| panic!("a message came"));
    let json = report(&["--max-message", "0", &url]).faults(0, &[]);
    assert!(json["message"].is_null());
    assert_eq!(json["notes"][0]["text"], "nothing is sent: --max-message is 0");
}

#[test]
fn an_answer_of_another_kind_is_no_fault() {
    let url = messages(|peer, opcode, payload| {
        peer.send(
            opcode,
            if payload.len() <= 4096 { &payload } else { b"{\"error\":\"too big\"}" },
        );
        true
    });
    let json = report(&[&url]).faults(0, &[]);
    assert_eq!(json["message"]["largest"], 4096);
    let note = &json["notes"][0];
    let text =
        format!("the server answers {} bytes with something else", json["message"]["refused"]);
    assert_eq!((&note["check"], &note["text"]), (&"message".into(), &text.into()));
}

#[test]
fn one_byte_is_not_called_bytes() {
    let url = peers(Peer::behave);
    run(&["--max-message", "1", &url]).says("echoes 1 byte, the most that was tried");
}

#[test]
fn a_server_that_wants_no_text_of_ours_is_not_judged() {
    let url = messages(|peer, _, _| {
        peer.send(Opcode::Close, b"\x03\xebjson only");
        false
    });
    let json = report(&[&url]).faults(0, &[]);
    assert!(json["message"].is_null());
    assert!(
        json["notes"][0]["text"]
            .as_str()
            .unwrap()
            .contains("1003 (unsupported data) \"json only\""),
        "{json}"
    );
}

#[test]
fn a_slow_echo_is_waited_for_while_it_moves() {
    let url = messages(|peer, opcode, payload| {
        if payload.len() < 60_000 {
            peer.send(opcode, &payload);
            return true;
        }
        let mut frame = Vec::new();
        FrameHeader::new(opcode, true, payload.len() as u64).encode(&mut frame);
        frame.extend_from_slice(&payload);
        for chunk in frame.chunks(frame.len() / 5) {
            peer.stream.write_all(chunk).ok();
            thread::sleep(Duration::from_millis(500));
        }
        true
    });
    let json = report(&["--max-message", "60000", &url]).faults(0, &[]);
    assert_eq!(json["message"]["largest"], 60_000);
}

// ------------------------------------------------------------------ the closing handshake

#[track_caller]
fn check_close(url: &str, faults: &[&str]) {
    let json = report(&[url]).faults(1, faults);
    assert_eq!(json["close"]["clean"], false);
}

#[test]
fn a_close_that_is_not_answered_is_named() {
    check_close(&closing(|_, _| thread::sleep(Duration::from_secs(20))), &["close.no_answer"]);
    check_close(&closing(|_, _| ()), &["close.cut"]);
}

#[test]
fn another_code_in_the_answer_is_named() {
    check_close(
        &closing(|mut peer, _| peer.send(Opcode::Close, b"\x03\xe9")),
        &["close.wrong_code"],
    );
    check_close(&closing(|mut peer, _| peer.send(Opcode::Close, b"")), &["close.wrong_code"]);
    for code in [1005_u16, 1006, 1015, 999, 5000] {
        let url = closing(move |mut peer, _| peer.send(Opcode::Close, &code.to_be_bytes()));
        let json = report(&[&url]).faults(1, &["close.invalid_code"]);
        assert_eq!(json["close"]["received"], code);
    }
}

#[test]
fn what_follows_a_close_is_named() {
    let url = closing(|mut peer, close| {
        peer.send(Opcode::Close, &close);
        thread::sleep(Duration::from_millis(100));
        peer.send(Opcode::Text, b"one more thing");
    });
    check_close(&url, &["close.data_after"]);
}

#[test]
fn what_follows_a_close_in_the_same_packet_is_named() {
    for after in [b"\x81\x04late".to_vec(), b"\x88\x02\x03\xe8".to_vec()] {
        let url = closing(move |mut peer, _| {
            peer.stream.write_all(&[b"\x88\x02\x03\xe8", &after[..]].concat()).ok();
        });
        check_close(&url, &["close.data_after"]);
    }
}

#[test]
fn what_crosses_our_close_is_no_fault() {
    let url = closing(|mut peer, close| {
        peer.send(Opcode::Text, b"on its way");
        peer.send(Opcode::Ping, b"too");
        peer.send(Opcode::Close, &close);
    });
    report(&[&url]).faults(0, &[]);
}

#[test]
fn a_connection_that_stays_open_is_named() {
    let url = closing(|mut peer, close| {
        peer.send(Opcode::Close, &close);
        while peer.next().is_some() {}
    });
    check_close(&url, &["close.tcp_left_open"]);
}
