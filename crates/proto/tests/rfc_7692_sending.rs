//! Messages that are compressed. See RFC 7692 §6 and §7.2.1.

use everwire_proto::{
    Compress, Config, DeflateConfig, DeflateMode, MessageKind, Opcode, PreparedMessage, Role,
};
use everwire_testkit::{Pair, Seen, SentFrame, Solo, lend_codecs};
use zlib_rs::{Inflate, InflateFlush};

#[path = "rfc_7692_sending/distances.rs"]
mod distances;

use self::distances::distances;

const SHARED: DeflateMode = DeflateMode::Shared;
const DEDICATED: DeflateMode = DeflateMode::Dedicated;

fn config(mode: DeflateMode) -> Config {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::new(mode));
    config
}

fn server(mode: DeflateMode) -> Solo {
    Solo::new(Role::Server, config(mode))
}

/// Text that compresses well, of about so many bytes.
fn json(len: usize, seed: usize) -> String {
    let item =
        |i: usize| format!("{{\"id\":{},\"name\":\"item {}\",\"ok\":true}},", i * seed, i % 7);
    (0..)
        .map(item)
        .scan(0, |sum, item| {
            *sum += item.len();
            (*sum <= len).then_some(item)
        })
        .collect()
}

/// What a peer keeps of all that came.
struct Peer(Inflate);

impl Peer {
    fn new(bits: u8) -> Self {
        Self(Inflate::new(false, bits))
    }

    #[track_caller]
    fn inflate(&mut self, frame: &SentFrame) -> Vec<u8> {
        assert!(frame.header.rsv1 && !frame.header.rsv2 && !frame.header.rsv3);
        self.inflate_bytes(&[&frame.payload[..], &[0, 0, 0xFF, 0xFF]].concat())
    }

    fn inflate_bytes(&mut self, input: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 4 << 20];
        let from = self.0.total_out();
        self.0.decompress(input, &mut out, InflateFlush::SyncFlush).unwrap();
        out.truncate((self.0.total_out() - from) as usize);
        out
    }
}

#[test]
fn messages_from_512_bytes_on_are_compressed_and_others_are_not() {
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        for len in [0, 1, 125, 126, 511, 512, 100_000] {
            server.connection.send("x".repeat(len)).unwrap();
            server.connection.send(vec![b'x'; len]).unwrap();
            for frame in server.sent() {
                assert_eq!(frame.header.rsv1, len >= 512, "{len} {mode:?}");
            }
        }
    }
}

#[test]
fn a_threshold_of_nothing_compresses_what_has_any_length() {
    let mut config = config(DEDICATED);
    config.deflate.as_mut().unwrap().threshold = 0;
    let mut server = Solo::new(Role::Server, config);
    server.connection.send("x").unwrap();
    server.connection.send("").unwrap();
    let sent = server.sent();
    assert_eq!(Peer::new(15).inflate(&sent[0]), b"x");
    assert_eq!((sent[1].header.rsv1, &sent[1].payload[..]), (false, &b""[..]));
}

#[test]
fn what_does_not_become_smaller_is_sent_as_it_is_where_no_history_is_kept() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..2000).map(|_| next()).collect();
    let mut server = server(SHARED);
    server.connection.send(&noise[..]).unwrap();
    let sent = server.sent();
    assert!(!sent[0].header.rsv1);
    assert_eq!(sent[0].payload, noise);
}

#[test]
fn history_makes_the_second_message_small_and_shared_ones_stand_alone() {
    let text = json(4000, 31);
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        server.connection.send(&text[..]).unwrap();
        server.connection.send(&text[..]).unwrap();
        let sent = server.sent();
        let mut peer = Peer::new(15);
        assert_eq!(peer.inflate(&sent[0]), text.as_bytes());
        let (first, second) = (sent[0].payload.len(), sent[1].payload.len());
        match mode {
            DEDICATED => assert!(second * 4 < first, "{first} {second}"),
            _ => {
                assert_eq!(first, second);
                peer = Peer::new(15);
            }
        }
        assert_eq!(peer.inflate(&sent[1]), text.as_bytes());
    }
}

#[test]
fn a_peer_can_follow_whoever_else_uses_the_compressors() {
    // Far more connections than compressors, in an order that takes them away and gives them back.
    let mut servers: Vec<_> = (0..100).map(|_| (server(DEDICATED), Peer::new(15))).collect();
    for round in 0..400usize {
        let at = round * round % 100;
        let (server, peer) = &mut servers[at];
        let text = json(1000, at + 1);
        server.connection.send(&text[..]).unwrap();
        assert_eq!(peer.inflate(&server.sent()[0]), text.as_bytes());
    }
}

#[test]
fn prepared_messages_may_come_between_those_of_a_history() {
    let prepared = PreparedMessage::new(json(2000, 3));
    let small = PreparedMessage::new("small");
    let secret = PreparedMessage::uncompressed(json(2000, 3));
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        let mut peer = Peer::new(15);
        for round in 0..3 {
            server.connection.send(json(1500, 7)).unwrap();
            server.connection.send_prepared(&prepared).unwrap();
            server.connection.send_prepared(&small).unwrap();
            server.connection.send_prepared(&secret).unwrap();
            let sent = server.sent();
            assert_eq!(peer.inflate(&sent[0]), json(1500, 7).as_bytes());
            assert_eq!(peer.inflate(&sent[1]), &prepared.payload()[..], "{round}");
            assert_eq!((sent[2].header.rsv1, sent[3].header.rsv1), (false, false));
            assert_eq!(sent[3].payload, secret.payload());
        }
    }
}

#[test]
fn a_prepared_message_is_compressed_once_for_each_window() {
    thread_local! {
        static LENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    let counting: everwire_proto::LendCodecs = |user| {
        LENT.set(LENT.get() + 1);
        lend_codecs(user);
    };
    let prepared = PreparedMessage::new(json(2000, 3));
    let clone = prepared.clone();
    for bits in [15, 15, 10, 15, 10] {
        for _ in 0..10 {
            let mut server = server(SHARED);
            let mut params = server.connection.deflate_params().unwrap();
            params.send_window_bits = bits;
            server.connection.set_deflate(params, counting);
            server.connection.send_prepared(&clone).unwrap();
            assert_eq!(Peer::new(bits).inflate(&server.sent()[0]), &prepared.payload()[..]);
        }
    }
    assert_eq!(LENT.get(), 2);
}

#[test]
fn a_client_masks_what_it_compressed_with_fresh_keys() {
    let mut client = Solo::new(Role::Client, config(DEDICATED));
    let prepared = PreparedMessage::new(json(40_000, 5));
    let mut peer = Peer::new(12);
    for _ in 0..3 {
        client.connection.send_prepared(&prepared).unwrap();
        client.connection.send(json(1000, 9)).unwrap();
    }
    let sent = client.sent();
    assert!(sent.windows(2).all(|two| two[0].header.mask != two[1].header.mask));
    for two in sent.chunks(2) {
        assert_eq!(peer.inflate(&two[0]), &prepared.payload()[..]);
        assert_eq!(peer.inflate(&two[1]), json(1000, 9).as_bytes());
    }
}

#[test]
fn pieces_are_one_compressed_message_with_rsv1_on_its_first_frame() {
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        let pieces = ["", "a", "", &json(3000, 2), "bc", ""];
        server.connection.start_message(MessageKind::Text).unwrap();
        for (i, piece) in pieces.iter().enumerate() {
            server.connection.send_piece(piece.as_bytes()).unwrap();
            // Another connection on the same thread.
            super_busy(i);
        }
        server.connection.finish_message(b"").unwrap();
        let sent = server.sent();
        let rsv1: Vec<bool> = sent.iter().map(|frame| frame.header.rsv1).collect();
        assert_eq!(rsv1, [true, false, false, false, false, false, false]);
        assert_eq!(sent[1].header.opcode, Opcode::Continuation);
        let payload: Vec<u8> = sent.iter().flat_map(|frame| frame.payload.clone()).collect();
        let whole = Peer::new(15).inflate_bytes(&[&payload[..], &[0, 0, 0xFF, 0xFF]].concat());
        assert_eq!(whole, pieces.concat().as_bytes());
        // Each piece can be read when it is there.
        let mut peer = Peer::new(15);
        let given: Vec<_> = sent.iter().map(|frame| peer.inflate_bytes(&frame.payload)).collect();
        assert_eq!(given[..6], pieces.map(|piece| piece.as_bytes().to_vec()));
    }
}

#[test]
fn each_message_may_be_compressed_or_not_as_its_sender_says() {
    let (small, large) = ("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,", json(2000, 3));
    for (role, mode) in
        [Role::Server, Role::Client].into_iter().flat_map(|r| [(r, SHARED), (r, DEDICATED)])
    {
        let mut end = Solo::new(role, config(mode));
        let bits = end.connection.deflate_params().unwrap().send_window_bits;
        let mut peer = Peer::new(bits);
        for _ in 0..3 {
            for (text, compress, expected) in [
                (small, Compress::ByThreshold, false),
                (&large, Compress::ByThreshold, true),
                (&large, Compress::Never, false),
                (small, Compress::Always, true),
                (&large, Compress::Always, true),
                ("", Compress::Always, false),
            ] {
                end.connection.send_with(text, compress).unwrap();
                let prepared = PreparedMessage::with(text, compress);
                end.connection.send_prepared(&prepared).unwrap();
                let sent = end.sent();
                assert_eq!(sent.len(), 2);
                for frame in sent {
                    assert_eq!(frame.header.rsv1, expected, "{} {compress:?} {mode:?}", text.len());
                    let payload = if expected { peer.inflate(&frame) } else { frame.payload };
                    assert_eq!(payload, text.as_bytes());
                }
            }
        }
    }
}

#[test]
fn a_message_in_pieces_may_be_sent_uncompressed() {
    for mode in [SHARED, DEDICATED] {
        let mut server = server(mode);
        let mut peer = Peer::new(15);
        for compress in [Compress::Never, Compress::ByThreshold, Compress::Never, Compress::Always]
        {
            server.connection.start_message_with(MessageKind::Text, compress).unwrap();
            server.connection.send_piece(json(1000, 5).as_bytes()).unwrap();
            server.connection.finish_message(b"end").unwrap();
            // The next whole message is not bound by it.
            server.connection.send(json(1000, 7)).unwrap();
            let sent = server.sent();
            let is_compressed = compress != Compress::Never;
            assert_eq!(sent[0].header.rsv1, is_compressed);
            assert!(!sent[1].header.rsv1);
            let mut payload = [&sent[0].payload[..], &sent[1].payload].concat();
            if is_compressed {
                payload.extend([0, 0, 0xFF, 0xFF]);
                payload = peer.inflate_bytes(&payload);
            }
            assert_eq!(payload, (json(1000, 5) + "end").as_bytes());
            assert_eq!(peer.inflate(&sent[2]), json(1000, 7).as_bytes());
        }
    }
}

#[test]
fn a_wish_for_compression_means_nothing_where_none_was_agreed_on() {
    let mut server = Solo::server();
    server.connection.send_with("x".repeat(600), Compress::Always).unwrap();
    server.connection.start_message_with(MessageKind::Text, Compress::Always).unwrap();
    server.connection.finish_message(b"y").unwrap();
    let sent = server.sent();
    assert_eq!(sent.iter().map(|frame| frame.header.rsv1).collect::<Vec<_>>(), [false, false]);
    assert_eq!((sent[0].payload.len(), &sent[1].payload[..]), (600, &b"y"[..]));
}

fn super_busy(round: usize) {
    let mut other = server(SHARED);
    other.connection.send(json(600, round + 1)).unwrap();
}

#[test]
fn a_message_in_pieces_that_is_empty_is_an_empty_message() {
    let mut pair = Pair::with(config(DEDICATED), config(DEDICATED));
    pair.server.connection.start_message(MessageKind::Text).unwrap();
    pair.server.connection.finish_message(b"").unwrap();
    pair.server_send("x".repeat(600).as_str());
    pair.drive();
    assert_eq!(pair.client_events(), [Seen::text(""), Seen::text(&"x".repeat(600))]);
}

#[test]
fn two_ends_understand_each_other_in_every_mode() {
    for (client, server) in
        [(SHARED, SHARED), (SHARED, DEDICATED), (DEDICATED, SHARED), (DEDICATED, DEDICATED)]
    {
        let mut pair = Pair::with(config(client), config(server));
        for len in [0, 5, 600, 5_000, 70_000, 600, 900_000] {
            let text = json(len, len % 13 + 1);
            pair.client_send(&text[..]);
            pair.server_send(&text[..]);
            pair.drive();
            assert!(pair.server_events() == [Seen::text(&text)], "{client:?} {server:?} {len}");
            assert!(pair.client_events() == [Seen::text(&text)], "{client:?} {server:?} {len}");
        }
    }
}

#[test]
fn every_number_of_window_bits_is_kept_to() {
    for bits in 8..=15 {
        for mode in [SHARED, DEDICATED] {
            for level in [1, 2, 6, 9] {
                let mut config = config(mode);
                config.deflate.as_mut().unwrap().level = level;
                let mut server = Solo::new(Role::Server, config);
                let mut params = server.connection.deflate_params().unwrap();
                params.send_window_bits = bits;
                server.connection.set_deflate(params, lend_codecs);
                let mut reach = 0;
                let mut history = Vec::new();
                for seed in 1..6 {
                    // Things repeat at all distances, from next door to beyond the largest window.
                    let text = json(30_000, seed) + &json(9_000, 1);
                    server.connection.send(&text[..]).unwrap();
                    let frame = &server.sent()[0];
                    if mode == SHARED {
                        history.clear();
                    }
                    let before = history.len();
                    reach = reach.max(distances(&frame.payload, &mut history));
                    assert_eq!(&history[before..], text.as_bytes());
                }
                assert!(reach <= 1 << bits, "{reach} with {bits} bits at level {level}");
                assert!(reach > 1 << (bits - 2), "the test reaches as far as it can: {reach}");
                if bits == 8 {
                    assert!(reach <= 250, "{reach}");
                }
            }
        }
    }
}
