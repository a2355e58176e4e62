//! What a client stores: the whole, or what has changed since.

use std::time::Duration;

use everwire_session::{Config, Overflow, Prepared, SendError};
use everwire_testkit::{Rng, session::Pair};

/// Whatever happens to a session in between, a store that only takes changes has the whole.
#[test]
fn a_snapshot_with_what_has_changed_since_is_the_next_one() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut client = Config::client();
        client.buffer.entries = 20;
        client.buffer.overflow = if seed % 2 == 0 { Overflow::Evict } else { Overflow::Refuse };
        let mut pair = Pair::with(client, Config::server());
        let mut stored = pair.client.snapshot();
        let mut n_new = 0;
        for _ in 0..300 {
            match rng.below(6) {
                0 => pair.cut(),
                1 if !pair.client.is_attached() => {
                    pair.now += Duration::from_secs(2); // So often it may come.
                    pair.hello();
                }
                2 => drop(pair.pass()),
                _ => send(&mut pair, &mut rng),
            }
            if rng.below(3) == 0 {
                let change = pair.client.change_since(&stored);
                n_new += change.new.len();
                assert!(stored.apply(change), "seed {seed}");
                assert_eq!(stored.unacknowledged, pair.client.snapshot().unacknowledged);
                assert_eq!(stored, pair.client.snapshot(), "seed {seed}");
            }
        }
        assert_eq!(pair.client.losses(), 0);
        assert!((1..1 + stored.next as usize).contains(&n_new), "{n_new} of {}", stored.next);
    }
}

/// Small ones, which lie together, and others with memory of their own.
fn send(pair: &mut Pair, rng: &mut Rng) {
    let text = "x".repeat(rng.below(2) * 600 + rng.below(20));
    match pair.client.send(pair.now, Prepared::text(&text)) {
        Ok(_) | Err(SendError::Full { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_change_that_does_not_fit_says_so() {
    let mut pair = Pair::new();
    pair.cut();
    let older = pair.client.snapshot();
    pair.client_sends("1");
    let mut stored = pair.client.snapshot();
    pair.client_sends("2");
    let change = pair.client.change_since(&stored);
    assert!(!older.clone().apply(change.clone()), "one is missing");
    assert!(stored.apply(change.clone()));
    assert!(!stored.apply(change), "it comes twice");
}

/// What was stored before a loss has other messages of the same numbers.
#[test]
fn a_loss_is_counted() {
    let mut server = Config::server();
    server.terms.ttl_limit = Duration::ZERO; // It keeps no session without a socket.
    let mut pair = Pair::with(Config::client(), server);
    pair.cut();
    assert_eq!(pair.client.losses(), 0);
    pair.client.hello(pair.now);
    assert_eq!(pair.client.losses(), 1);
}
