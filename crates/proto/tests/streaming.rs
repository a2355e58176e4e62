//! Large and streamed messages: reading into the frame's own memory, pieces in and out, events that
//! are taken late.

use bytes::BufMut;
use everwire_proto::{Config, Connection, Delivery, MessageKind, Opcode, Role};
use everwire_testkit::{Frame, Outcome, Rng, Seen, Solo, check_splits, check_splits_with};

/// Reads `bytes` into the connection's own memory and takes no event.
fn read_directly(connection: &mut Connection, now: std::time::Instant, bytes: &[u8]) -> usize {
    let Some(mut buffer) = connection.frame_buffer() else { return 0 };
    let n = bytes.len().min(buffer.remaining_mut());
    buffer.put_slice(&bytes[..n]);
    drop(connection.handle_frame_buffer(now, n));
    n
}

// Reading directly.

#[test]
fn a_small_or_whole_or_absent_frame_has_no_buffer() {
    let mut server = Solo::server();
    assert!(server.connection.frame_buffer().is_none());
    server.receive_bytes(&Frame::binary([0; 10_000]).bytes(Role::Client)[..100]);
    assert!(server.connection.frame_buffer().is_none());
}

#[test]
fn what_was_read_directly_and_not_looked_at_is_counted() {
    let payload: Vec<u8> = (0..60_000u32).map(|i| i as u8).collect();
    let bytes = Frame::binary(&payload).bytes(Role::Client);
    let mut server = Solo::server();
    server.receive_bytes(&bytes[..1000]);
    let mut at = 1000;
    // Never beyond the end of the frame, though no event is taken.
    loop {
        let n =
            read_directly(&mut server.connection, server.now, &[&bytes[at..], &[0; 9999]].concat());
        if n == 0 {
            break;
        }
        at += n;
    }
    assert_eq!(at, bytes.len());
    assert!(server.connection.has_unread());
    server.receive_bytes(&[]);
    assert_eq!(server.events(), [Seen::Binary(payload)]);
    assert!(!server.connection.has_unread());
}
