//! What an idle connection costs.

use everwire_proto::Connection;

#[test]
fn a_connection_is_small() {
    let size = size_of::<Connection>();
    assert!(size <= 192, "{size}");
}
