//! Both ends through anything that an engine and a peer may do to them.

#![expect(clippy::disallowed_methods, reason = "seeds are files")]

use everwire_session::{Frame, Role};
use everwire_testkit::session::walk_session;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_peer_breaks_an_end(script in proptest::collection::vec(any::<u8>(), 0..400)) {
        walk_session(&script);
    }

    #[test]
    fn what_parses_is_encoded_as_it_was(frame in proptest::collection::vec(any::<u8>(), 0..80)) {
        let bytes = frame.into();
        for role in [Role::Client, Role::Server] {
            if let Ok(frame) = Frame::parse(role, &bytes) {
                prop_assert_eq!(frame.encode(), &bytes);
            }
        }
    }
}

/// What was once found to break an end, and seeds of the fuzz target.
#[test]
fn scripts_that_were_found_break_nothing() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/session_ends");
    let scripts = std::fs::read_dir(corpus).expect("the corpus is there");
    let paths: Vec<_> = scripts.map(|entry| entry.expect("it is readable").path()).collect();
    assert!(paths.len() > 2);
    for path in paths {
        walk_session(&std::fs::read(path).expect("it is readable"));
    }
}
