//! A frame of `everwire.v1`: what parses is encoded as it was.
#![no_main]

use everwire_session::{Frame, Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = data.to_vec().into();
    for role in [Role::Client, Role::Server] {
        if let Ok(frame) = Frame::parse(role, &bytes) {
            assert_eq!(frame.encode(), bytes);
        }
    }
});
