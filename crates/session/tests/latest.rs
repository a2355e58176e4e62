//! Messages of which only the newest of each key is wanted.

use std::{collections::BTreeMap, time::Duration};

use everwire_session::{
    Code, Config, Event, Frame, GapReason, Overflow, Prepared, Role, SendError,
};
use everwire_testkit::{
    Rng,
    session::{Pair, texts},
};

fn send(pair: &mut Pair, key: u64, text: &str) -> Result<(), SendError> {
    pair.server.send_latest(pair.now, key, Prepared::text(text))
}

/// Carries what is to be carried, and returns the texts that the client's application hears.
fn heard(pair: &mut Pair) -> Vec<String> {
    pair.pass();
    texts(&pair.client_events()).into_iter().map(str::to_owned).collect()
}

#[test]
fn each_leaves_at_once_where_nothing_is_in_the_way() {
    let mut pair = Pair::new();
    for text in ["1", "2", "3"] {
        send(&mut pair, 7, text).unwrap();
        assert_eq!(heard(&mut pair), [text]);
    }
}

#[test]
fn who_was_away_finds_the_newest_of_each_key_behind_all_else() {
    let mut pair = Pair::new();
    pair.cut();
    for text in ["a1", "a2", "a3"] {
        send(&mut pair, 1, text).unwrap();
        send(&mut pair, 2, &text.replace('a', "b")).unwrap();
        pair.server_sends(&format!("and {text}"));
    }
    assert_eq!(pair.server.buffered().1, 5);
    pair.hello();
    assert_eq!(heard(&mut pair), ["and a1", "and a2", "and a3", "a3", "b3"]);
    assert_eq!(pair.server.buffered(), (0, 0));
}

#[test]
fn what_has_left_is_sent_again_as_it_was() {
    let mut pair = Pair::new();
    send(&mut pair, 1, "old").unwrap();
    assert_eq!(pair.server_says().len(), 1); // Nobody hears it.
    pair.cut();
    send(&mut pair, 1, "newer").unwrap();
    send(&mut pair, 1, "newest").unwrap();
    pair.hello();
    assert_eq!(heard(&mut pair), ["old", "newest"]);
}

#[test]
fn without_credit_a_newer_one_takes_the_place() {
    let mut client = Config::client();
    (client.window, client.acks) = (1, everwire_session::Acks::Released);
    let mut pair = Pair::with(client, Config::server());
    for text in ["1", "2", "3", "4"] {
        send(&mut pair, 1, text).unwrap();
        pair.pass();
    }
    assert_eq!(texts(&pair.client_events()), ["1"]);
    pair.client.release(pair.now, 1);
    assert_eq!(heard(&mut pair), ["4"]);
}

#[test]
fn they_fill_the_buffer_as_others_do() {
    let mut server = Config::server();
    (server.buffer.entries, server.buffer.bytes) = (3, 100);
    let mut pair = Pair::with(Config::client(), server);
    pair.cut();
    for text in ["1", "2"] {
        pair.server_sends(text);
    }
    for key in 1..=3 {
        send(&mut pair, key, "latest").unwrap(); // What has a number makes room.
    }
    let full = Err(SendError::Full { bytes: 18, entries: 3 });
    assert_eq!(send(&mut pair, 4, "latest"), full);
    assert_eq!(pair.server.send(pair.now, Prepared::text("x")).map(drop), full);
    send(&mut pair, 2, &"x".repeat(88)).unwrap(); // It needs no place of its own.
    let full = Err(SendError::Full { bytes: 100, entries: 3 });
    assert_eq!(send(&mut pair, 2, &"x".repeat(89)), full);
    send(&mut pair, 2, "less").unwrap();
    pair.hello();
    pair.pass();
    let told = pair.client_events();
    assert_eq!(texts(&told), ["latest", "less", "latest"]);
    let gaps = told.iter().filter(|event| matches!(event, Event::Gap(..))).count();
    assert_eq!(gaps, 1, "{told:?}");
}

#[test]
fn one_that_is_larger_than_the_client_takes_is_refused_or_a_gap() {
    let mut client = Config::client();
    client.max_message = 10;
    let mut pair = Pair::with(client, Config::server());
    let refused = send(&mut pair, 1, "eleven bytes");
    assert!(matches!(refused, Err(SendError::TooBig { limit: 10, size: 12 })), "{refused:?}");
}

#[test]
fn memory_that_is_needed_takes_them_with_a_gap() {
    let mut pair = Pair::new();
    pair.cut();
    pair.server_sends("1");
    send(&mut pair, 1, "2").unwrap();
    pair.server.evict_all();
    assert_eq!(pair.server.buffered(), (0, 0));
    pair.hello();
    pair.pass();
    let told = pair.client_events();
    let gap = |event: &Event| match event {
        Event::Gap(_, gap) => Some((gap.from, gap.to, gap.reason)),
        _ => None,
    };
    let gaps: Vec<_> = told.iter().filter_map(gap).collect();
    assert_eq!(gaps, [(1, 2, GapReason::EvictedBytes)]);
}

#[test]
fn a_goodbye_waits_for_them_and_an_end_hands_them_back() {
    let mut client = Config::client();
    (client.window, client.acks) = (1, everwire_session::Acks::Released);
    let mut pair = Pair::with(client, Config::server());
    pair.server_sends("1");
    send(&mut pair, 1, "2").unwrap();
    pair.server.close(Code::NORMAL, "", None);
    let is_bye = |(_, frame): &(Role, Frame)| matches!(frame, Frame::Bye { .. });
    assert!(!pair.pass().iter().any(is_bye));
    pair.client.release(pair.now, 1);
    assert!(pair.pass().iter().any(is_bye));
    assert_eq!(texts(&pair.client_events()), ["1", "2"]);

    let mut pair = Pair::new();
    pair.cut();
    send(&mut pair, 1, "2").unwrap();
    pair.server.end(Code::NORMAL, "");
    let events = pair.server_events();
    let Some(Event::Ended(end)) = events.last() else { panic!("{events:?}") };
    let left: Vec<_> = end.unacknowledged.iter().map(|m| (m.number, m.as_text())).collect();
    assert_eq!(left, [(None, Some("2"))]);
}

/// Cuts, credit and sockets come and go: of each key the last word is heard, and none before one that
/// was heard already; all else comes once and in order.
#[test]
fn the_last_word_of_each_key_arrives() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut client = Config::client();
        client.window = [1, 100, 1 << 18][rng.below(3)];
        let mut server = Config::server();
        server.terms.attach_burst = 1_000;
        server.buffer.overflow = Overflow::Refuse;
        let mut pair = Pair::seeded(client, server, seed);
        let (mut last, mut numbered) = (BTreeMap::new(), 0);
        let (mut known, mut expected) = (BTreeMap::new(), 0);
        for step in 0..400_u64 {
            match rng.below(10) {
                0..=4 => {
                    let key = rng.below(5) as u64;
                    send(&mut pair, key, &format!("{key} {step}")).unwrap();
                    last.insert(key, step);
                }
                5 => {
                    pair.server_sends(&format!("all {numbered}"));
                    numbered += 1;
                }
                6 => pair.cut(),
                7 => drop(pair.server_says()), // It is lost on a path that looks whole.
                _ => {
                    pair.cut();
                    pair.hello();
                    pair.pass();
                }
            }
            hear(&mut pair, &mut known, &mut expected);
            pair.now += Duration::from_millis(1);
        }
        pair.cut();
        pair.hello();
        for _ in 0..400 {
            pair.pass();
            hear(&mut pair, &mut known, &mut expected);
        }
        assert_eq!((known, expected), (last, numbered), "seed {seed}");
    }
}

fn hear(pair: &mut Pair, known: &mut BTreeMap<u64, u64>, expected: &mut u64) {
    for text in texts(&pair.client_events()) {
        match text.split_once(' ').expect("a word and a number") {
            ("all", number) => {
                assert_eq!(number.parse(), Ok(*expected));
                *expected += 1;
            }
            (key, step) => {
                let step = step.parse().expect("ours");
                let before = known.insert(key.parse().expect("ours"), step);
                assert!(before < Some(step), "{before:?}, then {step}");
            }
        }
    }
}

#[test]
fn nothing_gives_way_to_what_has_no_room_all_the_same() {
    let mut server = Config::server();
    server.buffer.bytes = 100;
    let mut pair = Pair::with(Config::client(), server);
    pair.cut();
    send(&mut pair, 1, &"x".repeat(80)).unwrap();
    pair.server_sends("kept");
    let full = Err(SendError::Full { bytes: 84, entries: 2 });
    assert_eq!(pair.server.send(pair.now, Prepared::binary(&[0; 30])).map(drop), full);
    assert_eq!(pair.server.buffered(), (84, 2));
}
