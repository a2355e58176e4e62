//! The same bytes, split in every way.

use std::sync::Arc;

use bytes::BufMut;
use everwire_proto::{Cause, Closure, Config, Connection, Delivery, MessageKind, Role};

use crate::{Rng, Seen, agree_on_deflate, join_pieces, keys, start};

/// What came of feeding a script to a connection and then ending the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The events, adjacent pieces of a message joined.
    pub events: Vec<Seen>,
    /// What was sent in answer.
    pub sent: Vec<u8>,
    /// How it ended.
    pub closure: Closure,
}

/// How a script is fed.
#[derive(Clone, Copy, Debug)]
enum Feeding {
    Whole,
    ByByte,
    /// Cut at random, the events taken or dropped at random, read into the frame's own buffer at
    /// random.
    Random(u64),
}

/// Feeds `script` whole, byte by byte and split at random; asserts that the events, the closure
/// and what is sent are the same, and returns them.
///
/// # Panics
/// If they are not the same.
#[track_caller]
pub fn check_splits(role: Role, config: &Config, script: &[u8]) -> Outcome {
    check_splits_with(role, config, script, 0..8)
}

/// Like [`check_splits`], with these seeds for the random splits.
///
/// # Panics
/// If the outcomes are not the same.
#[track_caller]
pub fn check_splits_with(
    role: Role,
    config: &Config,
    script: &[u8],
    seeds: impl IntoIterator<Item = u64>,
) -> Outcome {
    let whole = feed(role, config, script, Feeding::Whole);
    let others = seeds.into_iter().map(Feeding::Random).chain([Feeding::ByByte]);
    for feeding in others {
        let other = feed(role, config, script, feeding);
        assert!(whole == other, "{feeding:?} differs\nwhole: {whole:?}\nother: {other:?}");
    }
    whole
}

fn feed(role: Role, config: &Config, script: &[u8], feeding: Feeding) -> Outcome {
    let now = start_once();
    let config = Arc::new(config.clone());
    let mut connection = match role {
        Role::Client => Connection::client(config.clone(), now, keys(1)),
        Role::Server => Connection::server(config.clone(), now, 0),
    };
    agree_on_deflate(&mut connection, &config);
    let mut events = Vec::new();
    match feeding {
        Feeding::Whole => {
            events.extend(connection.handle_input(now, &mut script.to_vec()).map(Seen::from));
        }
        Feeding::ByByte => {
            for &byte in script {
                events.extend(connection.handle_input(now, &mut [byte]).map(Seen::from));
            }
        }
        Feeding::Random(seed) => feed_random(&mut connection, script, seed, &mut events),
    }
    connection.handle_eof(now);
    let sent = connection.transmit_to_vec(now);
    connection.handle_eof(now);
    let closure = connection.closure().expect("the stream has ended and everything is written");
    Outcome { events: normalise(events, &closure, connection.config()), sent, closure }
}

/// Returns the same instant for all ways of feeding.
fn start_once() -> std::time::Instant {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    *START.get_or_init(start)
}

fn feed_random(connection: &mut Connection, mut script: &[u8], seed: u64, events: &mut Vec<Seen>) {
    let now = start_once();
    let mut rng = Rng::new(seed);
    while !script.is_empty() {
        // A large piece now and then, or large frames would take for ever.
        let most = if rng.below(3) == 0 { script.len() } else { script.len().min(40) };
        let n = 1 + rng.below(most);
        let limit = if rng.below(4) == 0 { rng.below(4) } else { usize::MAX };
        if let Some(mut buffer) = connection.frame_buffer().filter(|_| rng.below(2) == 0) {
            let n = n.min(buffer.remaining_mut());
            buffer.put_slice(&script[..n]);
            script = &script[n..];
            take(connection.handle_frame_buffer(now, n), limit, events);
        } else {
            let mut input = script[..n].to_vec();
            script = &script[n..];
            take(connection.handle_input(now, &mut input), limit, events);
        }
    }
    // What was kept is there without new input.
    take(connection.handle_input(now, &mut []), usize::MAX, events);
    assert!(!connection.has_unread());
}

/// Takes at most `limit` events and drops the iterator.
fn take(found: everwire_proto::Events<'_, '_>, limit: usize, events: &mut Vec<Seen>) {
    events.extend(found.take(limit).map(Seen::from));
}

/// Joins pieces; those of a text that turned out not to be UTF-8, or of a compressed message that
/// turned out bad or too big, may end anywhere before that, so they are left out.
fn normalise(events: Vec<Seen>, closure: &Closure, config: &Config) -> Vec<Seen> {
    let mut events = join_pieces(events);
    let is_cut = match closure.cause {
        Cause::InvalidUtf8 | Cause::InvalidDeflate => true,
        Cause::MessageTooBig { .. } => config.deflate.is_some(),
        _ => false,
    };
    if config.delivery == Delivery::Pieces && is_cut {
        let ended = |event: &Seen| matches!(event, Seen::Piece { last: true, .. });
        let from = events.iter().rposition(ended).map_or(0, |at| at + 1);
        let unfinished = |event: &Seen| match event {
            Seen::Piece { kind, .. } => *kind == MessageKind::Text || config.deflate.is_some(),
            _ => false,
        };
        let tail = events.split_off(from);
        events.extend(tail.into_iter().filter(|event| !unfinished(event)));
    }
    events
}
