//! The table of a server's sessions: bounds, and what gives way under pressure.

use std::time::Duration;

use everwire_session::{
    Admission, Code, Config, Event, Found, Kind, Prepared, Pressure, Principal, SessionId, Store,
    StoreConfig, Welcome,
};
use everwire_testkit::{
    session::{Pair, texts},
    start,
};

fn id(number: u8) -> SessionId {
    let mut token = [0; 48];
    token[0] = number;
    SessionId::of_token(&token).expect("it has the length")
}

/// Returns what the store knows a session by.
fn handle(number: u8) -> (SessionId, u8) {
    (id(number), number)
}

fn store(change: impl FnOnce(&mut StoreConfig)) -> Store<(SessionId, u8)> {
    let mut config = StoreConfig::default();
    change(&mut config);
    let mut store = Store::new(config);
    for number in 1..=4 {
        store.insert(&Principal::ANONYMOUS, handle(number));
    }
    store
}

#[test]
fn a_broadcast_counts_once_however_many_keep_it() {
    let store = store(|_| {});
    let message = Prepared::metered(Kind::Text, b"to all", store.meter());
    let (kept, also_kept) = (message.clone(), message);
    assert_eq!(store.meter().bytes(), 7);
    drop(kept);
    assert_eq!(store.meter().bytes(), 7);
    drop(also_kept);
    assert_eq!(store.meter().bytes(), 0);
}

#[test]
fn the_largest_product_of_bytes_and_time_gives_way_first_and_never_an_attached_one() {
    let mut store = store(|config| config.bytes = 100);
    let now = start();
    let _kept = Prepared::metered(Kind::Binary, &[0; 350], store.meter());
    store.set_detached(id(1), now, 100, None);
    store.set_detached(id(2), now + Duration::from_secs(5), 300, None);
    store.set_detached(id(3), now, 50, None);
    let later = now + Duration::from_secs(6);
    // 1: 100 × 6 s, 2: 300 × 1 s, 3: 50 × 6 s; 251 bytes are too many.
    assert_eq!(store.pressure(later), [Pressure::Evict(handle(1)), Pressure::Evict(handle(2))]);
    // What was evicted is not asked again.
    assert_eq!(store.pressure(later), [Pressure::Evict(handle(3))]);
    assert_eq!(store.pressure(later), []);
}

#[test]
fn too_many_detached_sessions_lose_the_longest_detached() {
    let mut store = store(|config| config.detached = 2);
    let now = start();
    for (number, seconds) in [(1, 2), (2, 1), (3, 3)] {
        store.set_detached(id(number), now + Duration::from_secs(seconds), 0, None);
    }
    assert_eq!(store.pressure(now + Duration::from_secs(4)), [Pressure::Drop(handle(2))]);
    store.remove(now, id(2), &Principal::ANONYMOUS, None);
    assert_eq!(store.pressure(now + Duration::from_secs(4)), []);
    assert_eq!(store.len(), (3, 2));
}

#[test]
fn short_of_memory_new_sessions_live_as_long_as_their_socket() {
    let store = store(|config| config.bytes = 10);
    assert_eq!(store.admit(&Principal::ANONYMOUS), Admission::Resumable);
    let _kept = Prepared::metered(Kind::Binary, &[0; 10], store.meter());
    assert_eq!(store.admit(&Principal::ANONYMOUS), Admission::NotResumable);
}

#[test]
fn a_principal_has_room_again_when_a_session_ends() {
    let mut store = store(|config| config.per_principal = 2);
    let alice = Principal::new("alice");
    for number in 11..=12 {
        store.insert(&alice, handle(number));
    }
    assert!(matches!(store.admit(&alice), Admission::Refused(Welcome::Busy { .. })));
    assert_eq!(store.admit(&Principal::new("bob")), Admission::Resumable);
    store.remove(start(), id(11), &alice, None);
    assert_eq!(store.admit(&alice), Admission::Resumable);
}

#[test]
fn a_detached_session_is_named_once_when_its_time_has_come() {
    let mut store = store(|_| {});
    let now = start();
    let at = now + Duration::from_secs(60);
    store.set_detached(id(1), now, 0, Some(at));
    store.set_detached(id(2), now, 0, Some(at));
    store.set_attached(id(2));
    assert_eq!(store.poll_timeout(), Some(at));
    assert_eq!(store.expired(now), None);
    assert_eq!(store.expired(at), Some(handle(1)));
    assert_eq!(store.expired(at), None);
}

#[test]
fn ends_are_remembered_for_their_client_a_while_and_not_too_many() {
    let mut store = store(|config| config.tombstones = 1);
    let (alice, mallory) = (Principal::new("alice"), Principal::new("mallory"));
    let (mut tokens, mut now) = (Vec::new(), start());
    for seed in 0..2 {
        let mut pair = Pair::seeded(Config::client(), Config::server(), seed);
        now = pair.now;
        pair.server.end(Code::ENDED, "out");
        let token = pair.client.snapshot().token;
        let id = SessionId::of_token(&token).expect("the server gave it out");
        store.insert(&alice, (id, 9));
        store.remove(now, id, &alice, pair.server.tombstone());
        tokens.push(token);
    }
    assert_eq!(store.find(&tokens[0], Some(&alice)), Found::Unknown);
    let told = store.find(&tokens[1], Some(&alice));
    assert!(matches!(told, Found::Ended(Welcome::Ended { code: Code::ENDED, .. })));
    assert_eq!(store.find(&tokens[1], Some(&mallory)), Found::Unknown);
    assert_eq!(store.find(&tokens[1], None), Found::Unknown);
    assert_eq!(store.expired(now + Duration::from_secs(61)), None);
    assert_eq!(store.find(&tokens[1], Some(&alice)), Found::Unknown);
}

#[test]
fn a_session_that_was_thrown_out_for_memory_leaves_no_tombstone() {
    let mut pair = Pair::new();
    pair.cut();
    pair.server.drop_for_memory();
    assert!(matches!(pair.server_events().last(), Some(Event::Ended(_))));
    assert!(pair.server.tombstone().is_none());
}

#[test]
fn who_came_back_before_its_session_was_to_give_way_keeps_it() {
    let mut pair = Pair::new();
    pair.cut();
    pair.hello();
    pair.server.drop_for_memory();
    pair.client_sends("here again");
    pair.pass();
    assert_eq!(texts(&pair.server_events()), ["here again"]);
    pair.cut();
    pair.server.drop_for_memory();
    assert!(pair.server.is_ended());
}
