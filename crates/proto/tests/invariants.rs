//! The invariants of the design that proto alone can show.

use std::{collections::BTreeSet, io, time::Duration};

use everwire_proto::{
    Answer, Cause, Config, ControlRate, DeflateConfig, DeflateMode, Delivery, FrameHeader,
    Heartbeat, Keepalive, MaxAge, MessageKind, PreparedMessage, Role,
};
use everwire_testkit::{Frame, Op, Seen, Solo, check_splits, check_splits_with, walk};
use proptest::{collection::vec, prelude::*, sample::select};

#[test]
fn the_closure_is_the_same_for_ever_whatever_is_told_afterwards() {
    let mut server = Solo::server();
    server.receive([Frame::text("a"), Frame::close(1000, "")]);
    let closure = server.finish();
    server.now += Duration::from_secs(7);
    server.receive([Frame::text("late")]);
    server.connection.handle_timeout(server.now);
    server.connection.handle_eof(server.now);
    server.connection.handle_io_error(server.now, &io::ErrorKind::ConnectionReset.into());
    server.connection.abort(server.now, Cause::Aborted);
    server.connection.fail(server.now, Cause::InvalidUtf8);
    server.connection.handle_shutdown(server.now);
    server.connection.handle_blocked(server.now);
    assert_eq!(server.connection.send("late"), Err(everwire_proto::SendError::Closed));
    server.flush();
    assert_eq!(server.closure(), closure);
}

#[test]
fn there_is_no_closure_before_the_end() {
    let mut server = Solo::new(Role::Server, Config::default());
    assert_eq!(server.connection.closure(), None);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(server.connection.closure(), None);
    server.flush();
    assert_eq!(server.connection.closure(), None, "the stream of the peer has not ended");
    server.eof();
    assert!(server.connection.closure().is_some());
}

#[test]
fn durations_of_for_ever_and_of_nothing_are_no_trouble() {
    for wait in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1)] {
        let mut config = Config::default();
        config.keepalive = Some(Keepalive::new(wait, wait));
        config.close_timeout = Some(wait);
        config.linger = Some(wait);
        config.write_timeout = wait;
        config.idle_timeout = Some(wait);
        config.limits.message_time = wait;
        config.limits.message_rate = 0;
        for (pauses, frame) in [(false, Frame::text("")), (true, Frame::text("").more())] {
            let mut server = Solo::new(Role::Server, config.clone());
            if pauses {
                server.connection.pause(server.now);
            }
            server.receive([frame]);
            server.connection.send("x").unwrap();
            server.connection.handle_blocked(server.now);
            server.now += Duration::from_millis(1);
            for _ in 0..5 {
                server.connection.handle_timeout(server.now);
                let next = server.connection.poll_timeout();
                assert!(next.is_none_or(|next| next > server.now), "{wait:?}");
            }
        }
    }
}

#[test]
fn a_clients_masks_are_fresh_for_every_frame() {
    let mut client = Solo::client();
    let prepared = PreparedMessage::new("the same");
    let large = PreparedMessage::new(vec![0; 20_000]);
    for _ in 0..50 {
        client.connection.send("the same").unwrap();
        client.connection.send_prepared(&prepared).unwrap();
        client.connection.send_prepared(&large).unwrap();
        client.connection.ping(b"").unwrap();
        client.flush();
    }
    let frames = client.sent();
    let masks: BTreeSet<_> = frames.iter().map(|frame| frame.header.mask).collect();
    assert_eq!(masks.len(), 200);
    assert!(
        frames
            .iter()
            .all(|f| f.payload.is_empty() || f.payload == b"the same" || f.payload == [0; 20_000])
    );
}

#[test]
fn a_message_shared_with_others_is_not_masked_in_place() {
    let shared = bytes::Bytes::from(vec![7; 50_000]);
    let mut client = Solo::client();
    client.connection.send(shared.clone()).unwrap();
    assert_eq!(client.sent()[0].payload, shared);
    assert!(shared.iter().all(|&byte| byte == 7));
    client.connection.send(shared).unwrap(); // Nobody else holds it now.
    assert_eq!(client.sent()[0].payload, [7; 50_000]);
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Bytes of every size that matters: mostly few, sometimes so many that other paths take them.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..40),
        2 => (0usize..300).prop_map(|len| vec![b'a'; len]),
        1 => (0usize..70_000).prop_map(|len| vec![b'b'; len]),
    ]
}

/// A frame that is often legal and sometimes anything.
fn frame() -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![12 => select(vec![0, 0, 1, 1, 2, 9, 10]), 1 => 0u8..16];
    let body = prop_oneof![4 => payload(), 2 => "\\PC{0,20}".prop_map(String::into_bytes)];
    let oddity = prop_oneof![30 => Just(0u8), 1 => 1u8..8];
    (opcode, body, any::<bool>(), any::<[u8; 4]>(), oddity).prop_map(
        |(opcode, body, more, key, oddity)| {
            let control = opcode & 8 != 0;
            let frame =
                Frame::new(opcode, &body[..if control { body.len().min(125) } else { body.len() }]);
            let frame = if more && !control { frame.more() } else { frame };
            match oddity {
                0 => frame,
                1 => frame.reserved(key[0] & 7),
                2 => frame.length_in_2_bytes(),
                3 => frame.length_in_8_bytes(),
                4 => frame.masked(key),
                5 => frame.unmasked(),
                6 => frame.declare(u64::from_be_bytes([key, key].concat().try_into().unwrap())),
                _ => frame.more(),
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let rate = prop_oneof![
        3 => Just(None),
        1 => Just(Some(ControlRate::new(100, 3))),
    ];
    (any::<bool>(), 0u64..100_000, rate, 1u32..6).prop_map(|(pieces, message, rate, fragments)| {
        let mut config = Config::default();
        config.delivery = if pieces { Delivery::Pieces } else { Delivery::Whole };
        config.limits.message = message;
        config.limits.control_rate = rate;
        config.limits.fragments = fragments;
        config
    })
}

/// What an engine and an application may do, in any order.
fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![
        2 => frame().prop_map(|frame| frame.bytes(Role::Client)),
        1 => frame().prop_map(|frame| frame.bytes(Role::Server)),
        1 => vec(any::<u8>(), 0..30),
        1 => (0usize..40_000).prop_map(|len| vec![0; len]),
    ];
    let take = prop_oneof![Just(u8::MAX), 0u8..3];
    let millis = prop_oneof![0u32..100, 0u32..30_000, 0u32..200_000];
    prop_oneof![
        8 => (bytes.clone(), take.clone()).prop_map(|(bytes, take)| Op::Input { bytes, take }),
        2 => (bytes, take).prop_map(|(bytes, take)| Op::Direct { bytes, take }),
        8 => (millis, any::<bool>()).prop_map(|(millis, late)| Op::Wait { millis, late }),
        4 => any::<u16>().prop_map(Op::Write),
        2 => Just(Op::Flush),
        4 => any::<u16>().prop_map(Op::Send),
        2 => any::<u16>().prop_map(Op::SendPrepared),
        3 => any::<u8>().prop_map(Op::Stream),
        2 => any::<u8>().prop_map(Op::Control),
        1 => (0u64..3, 0u32..4).prop_map(|(unacked, again)| Op::Path(unacked, again)),
        1 => (0u8..30).prop_map(Op::SetKeepalive),
        1 => (990u16..5010).prop_map(Op::Close),
        2 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => select(vec![Op::Eof, Op::IoError, Op::WriteError, Op::Abort, Op::Fail]),
        1 => any::<bool>().prop_map(Op::Buffer),
    ]
}

fn walk_config() -> impl Strategy<Value = Config> {
    let seconds = |most: u64| (1..most).prop_map(Duration::from_secs);
    let keepalive = proptest::option::of((seconds(30), seconds(30)));
    let idle = proptest::option::of(seconds(90));
    let rare = (any::<bool>(), proptest::option::of(seconds(300)), any::<bool>());
    (config(), keepalive, idle, seconds(60), 0usize..200_000, rare).prop_map(
        |(mut config, keepalive, idle, write, queue, (fast, age, beats))| {
            config.keepalive =
                keepalive.map(|(interval, timeout)| Keepalive::new(interval, timeout));
            if fast {
                config.keepalive = Some(Keepalive::fast());
            }
            config.max_age = age.map(MaxAge::new);
            let beat = || Heartbeat::new("beat", write, write / 2, Answer::Any);
            config.heartbeat = beats.then(beat);
            config.idle_timeout = idle;
            config.write_timeout = write;
            config.limits.send_queue = queue;
            config
        },
    )
}

/// One message and how it is sent.
fn message() -> impl Strategy<Value = (bool, Vec<u8>, Vec<usize>, bool)> {
    let text = "\\PC{0,30}".prop_map(String::into_bytes);
    let body = prop_oneof![payload().prop_map(|p| (false, p)), text.prop_map(|t| (true, t))];
    (body, vec(0usize..70_000, 0..4), any::<bool>()).prop_map(|((text, body), cuts, ping)| {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.sort_unstable();
        (text, body, cuts, ping)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic_and_are_the_same_however_split(
        role in role(), config in config(), bytes in vec(any::<u8>(), 0..200),
    ) {
        check_splits(role, &config, &bytes);
    }

    #[test]
    fn frames_good_and_bad_are_the_same_however_split(
        role in role(), config in config(), frames in vec(frame(), 0..8), cut in 0usize..30,
    ) {
        let mut script: Vec<u8> = frames.iter().flat_map(|f| f.bytes(other(role))).collect();
        script.truncate(script.len().saturating_sub(cut));
        check_splits_with(role, &config, &script, 0..4);
    }

    #[test]
    fn valid_scripts_round_trip(role in role(), messages in vec(message(), 0..6), seed: u64) {
        let mut sender = Solo::new(other(role), Config::default());
        let mut expected = Vec::new();
        for (text, body, cuts, ping) in &messages {
            let kind = if *text { MessageKind::Text } else { MessageKind::Binary };
            if cuts.is_empty() {
                match std::str::from_utf8(body) {
                    Ok(body) if *text => sender.connection.send(body).unwrap(),
                    _ => sender.connection.send(&body[..]).unwrap(),
                }
            } else {
                sender.connection.start_message(kind).unwrap();
                let mut from = 0;
                for &cut in cuts {
                    sender.connection.send_piece(&body[from..cut]).unwrap();
                    from = cut;
                    if *ping {
                        sender.connection.ping(b"between").unwrap();
                        expected.push(Seen::ping(b"between"));
                    }
                }
                sender.connection.finish_message(&body[from..]).unwrap();
            }
            expected.push(match kind {
                MessageKind::Text => Seen::Text(String::from_utf8(body.clone()).unwrap()),
                MessageKind::Binary => Seen::Binary(body.clone()),
            });
        }
        let script = sender.connection.transmit_to_vec(sender.now);
        let outcome = check_splits_with(role, &Config::default(), &script, [seed, seed ^ 1]);
        prop_assert_eq!(outcome.events, expected);
    }

    #[test]
    fn whatever_happens_in_whatever_order_the_invariants_hold(
        role in role(), config in walk_config(), ops in vec(op(), 0..60),
    ) {
        walk(role, &config, &ops);
    }

    #[test]
    fn every_header_that_parses_encodes_to_the_same_bytes(bytes in vec(any::<u8>(), 0..16)) {
        if let Ok(Some((header, len))) = FrameHeader::parse(&bytes) {
            let mut out = Vec::new();
            header.encode(&mut out);
            prop_assert_eq!(&out[..], &bytes[..len]);
        }
    }
}

/// Payloads as a peer may compress them, or not.
fn deflated() -> impl Strategy<Value = Frame> {
    let level = prop_oneof![3 => Just(1), 1 => Just(9)];
    let spoil = prop_oneof![5 => Just(None), 1 => any::<(usize, u8)>().prop_map(Some)];
    (payload(), level, spoil, any::<bool>(), 0u8..3).prop_map(
        |(payload, level, spoil, fin, kind)| {
            let mut deflate = zlib_rs::Deflate::new(level, false, 12);
            let mut out = vec![0; payload.len() * 2 + 100];
            let flush =
                if fin { zlib_rs::DeflateFlush::SyncFlush } else { zlib_rs::DeflateFlush::Finish };
            deflate.compress(&payload, &mut out, flush).unwrap();
            out.truncate(deflate.total_out() as usize);
            if let Some((at, byte)) = spoil {
                let at = at % out.len();
                out[at] = byte;
            } else if fin {
                out.truncate(out.len() - 4);
            }
            match kind {
                0 => Frame::text(out).reserved(4),
                1 => Frame::binary(out).reserved(4),
                _ => Frame::binary(out).reserved(4).more(),
            }
        },
    )
}

proptest! {
    #[test]
    fn compressed_frames_good_and_bad_are_the_same_however_split(
        role in role(),
        frames in vec(prop_oneof![3 => deflated(), 1 => frame()], 0..8),
        is_dedicated in any::<bool>(),
        in_pieces in any::<bool>(),
        limit in select(vec![1u64 << 20, 300, 10_000]),
        seed in any::<u64>(),
    ) {
        let mut config = Config::default();
        let mode = if is_dedicated { DeflateMode::Dedicated } else { DeflateMode::Shared };
        config.deflate = Some(DeflateConfig::new(mode));
        config.limits.message = limit;
        if in_pieces {
            config.delivery = Delivery::Pieces;
        }
        let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(other(role))).collect();
        check_splits_with(role, &config, &script, [seed, seed ^ 1]);
        let input = |part: &[u8]| Op::Input { bytes: part.to_vec(), take: 2 };
        let ops = script.chunks(700).map(input).chain([Op::Flush]);
        let sending = (0u16..6).flat_map(|n| [Op::Send(n * 300), Op::SendPrepared(700), Op::Stream(n as u8)]);
        walk(role, &config, &ops.chain(sending).collect::<Vec<_>>());
    }
}
