//! Large and streamed messages: reading into the frame's own memory, pieces in and out, events that
//! are taken late.

use bytes::BufMut;
use everwire_proto::{Config, Connection, Delivery, MessageKind, Opcode, Role};
use everwire_testkit::{
    Frame, Outcome, Rng, Seen, SentFrame, Solo, check_splits, check_splits_with,
};

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
    server.receive_bytes(&bytes[..20_000]);
    let mut at = 20_000;
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

#[test]
fn what_was_read_directly_and_not_looked_at_comes_before_new_input() {
    let bytes = Frame::binary([7; 60_000]).bytes(Role::Client);
    let mut server = Solo::server();
    server.receive_bytes(&bytes[..20_000]);
    let n = read_directly(&mut server.connection, server.now, &bytes[20_000..]);
    assert!(n > 0);
    server
        .receive_bytes(&[&bytes[20_000 + n..], &Frame::text("next").bytes(Role::Client)].concat());
    assert_eq!(server.events(), [Seen::binary(&[7; 60_000]), Seen::text("next")]);
}

#[test]
fn the_buffer_ends_where_the_frame_ends() {
    let bytes = Frame::binary([7; 40_000]).bytes(Role::Client);
    let mut server = Solo::server();
    server.receive_bytes(&bytes[..22_000]);
    let room = server.connection.frame_buffer().map(|buffer| buffer.remaining_mut());
    assert_eq!(room, Some(bytes.len() - 22_000));
}

#[test]
fn a_control_frame_inside_a_large_message_has_no_buffer() {
    let mut server = Solo::server();
    server.receive([Frame::binary([7; 20_000]).more()]);
    server.receive_bytes(&Frame::ping("hello").bytes(Role::Client)[..8]);
    assert!(server.connection.frame_buffer().is_none());
}

#[test]
fn large_messages_are_the_same_however_they_are_read() {
    let large = |byte: u8| vec![byte; 100_000];
    let frames = [
        Frame::text(large(b'a')).more(),
        Frame::ping("between"),
        Frame::continuation(large(b'b')),
        Frame::binary(large(3)).masked([9, 8, 7, 6]),
        Frame::close(1000, ""),
    ];
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    let outcome = check_splits_with(Role::Server, &Config::default(), &script, 0..40);
    let text = String::from_utf8([large(b'a'), large(b'b')].concat()).unwrap();
    let expected = [Seen::ping(b"between"), Seen::Text(text), Seen::Binary(large(3)), Seen::Close];
    assert!(outcome.events == expected);
}

// Events that are taken late.

#[test]
fn events_that_were_not_taken_come_first() {
    let mut server = Solo::server();
    let mut first = [Frame::text("a"), Frame::text("b")].map(|f| f.bytes(Role::Client)).concat();
    let mut events = server.connection.handle_input(server.now, &mut first);
    assert_eq!(events.next().map(Seen::from), Some(Seen::text("a")));
    drop(events);
    assert!(server.connection.has_unread());
    server.receive([Frame::text("c")]);
    assert_eq!(server.events(), [Seen::text("b"), Seen::text("c")]);
    assert!(!server.connection.has_unread());
}

#[test]
fn nothing_at_all_may_be_taken() {
    let script =
        [Frame::text("a"), Frame::text("b").more(), Frame::ping(""), Frame::continuation("c")]
            .map(|frame| frame.bytes(Role::Client))
            .concat();
    for cut in 0..=script.len() {
        let mut server = Solo::server();
        drop(server.connection.handle_input(server.now, &mut script[..cut].to_vec()));
        assert_eq!(server.connection.has_unread(), cut > 0);
        server.receive_bytes(&script[cut..]);
        assert_eq!(server.events(), [Seen::text("a"), Seen::ping(b""), Seen::text("bc")]);
    }
}

#[test]
fn one_event_at_a_time_without_new_input() {
    let mut script: Vec<u8> =
        (0..100u8).flat_map(|n| Frame::binary([n]).bytes(Role::Client)).collect();
    let mut server = Solo::server();
    drop(server.connection.handle_input(server.now, &mut script));
    for n in 0..100u8 {
        let event = server.connection.handle_input(server.now, &mut []).next().map(Seen::from);
        assert_eq!(event, Some(Seen::binary(&[n])));
    }
    assert!(!server.connection.has_unread());
}

#[test]
fn an_event_can_be_answered_while_it_is_held() {
    let mut server = Solo::server();
    let mut input = Frame::text("echo").bytes(Role::Client);
    let mut events = server.connection.handle_input(server.now, &mut input);
    while let Some(event) = events.next() {
        if let everwire_proto::Event::Message(message) = event {
            events.connection().send(message).unwrap();
        }
    }
    drop(events);
    assert_eq!(server.sent()[0].payload, b"echo");
}

#[test]
fn closing_while_events_are_held_still_delivers_the_rest() {
    let mut server = Solo::server();
    let mut input = [Frame::text("a"), Frame::text("b")].map(|f| f.bytes(Role::Client)).concat();
    let mut events = server.connection.handle_input(server.now, &mut input);
    events.next();
    let code = everwire_proto::CloseCode::NORMAL_CLOSURE;
    events.connection().close(server.now, code, "").unwrap();
    assert_eq!(events.next().map(Seen::from), Some(Seen::text("b")));
}

#[test]
fn aborting_while_events_are_held_delivers_no_more() {
    let mut server = Solo::server();
    let mut input = [Frame::text("a"), Frame::text("b")].map(|f| f.bytes(Role::Client)).concat();
    let mut events = server.connection.handle_input(server.now, &mut input);
    events.next();
    events.connection().abort(server.now, everwire_proto::Cause::Aborted);
    assert_eq!(events.next(), None);
    drop(events);
    assert!(!server.connection.has_unread());
}

// Pieces in.

fn pieces() -> Config {
    let mut config = Config::default();
    config.delivery = Delivery::Pieces;
    config
}

fn receive(frames: &[Frame]) -> Outcome {
    let script: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(Role::Client)).collect();
    check_splits(Role::Server, &pieces(), &script)
}

fn piece(first: bool, payload: &str, last: bool) -> Seen {
    Seen::Piece { kind: MessageKind::Text, first, last, payload: payload.into() }
}

#[test]
fn a_message_comes_as_pieces_with_a_first_and_a_last() {
    assert_eq!(receive(&[Frame::text("whole")]).events, [piece(true, "whole", true)]);
    let frames =
        [Frame::text("a").more(), Frame::continuation("b").more(), Frame::continuation("c")];
    assert_eq!(receive(&frames).events, [piece(true, "abc", true)]);
}

#[test]
fn an_empty_message_is_one_empty_piece() {
    assert_eq!(receive(&[Frame::text("")]).events, [piece(true, "", true)]);
    let frames = [Frame::text("").more(), Frame::continuation("").more(), Frame::continuation("")];
    assert_eq!(receive(&frames).events, [piece(true, "", true)]);
}

#[test]
fn an_empty_last_fragment_is_an_empty_last_piece() {
    let mut server = Solo::new(Role::Server, pieces());
    server.receive([Frame::text("a").more(), Frame::continuation("")]);
    assert_eq!(server.events(), [piece(true, "a", false), piece(false, "", true)]);
    assert_eq!(server.connection.counters().messages_received, 1);
}

#[test]
fn control_frames_come_between_pieces() {
    let frames = [Frame::text("a").more(), Frame::ping("p"), Frame::continuation("b")];
    let expected = [piece(true, "a", false), Seen::ping(b"p"), piece(false, "b", true)];
    assert_eq!(receive(&frames).events, expected);
}

#[test]
fn a_character_may_be_cut_between_pieces() {
    let outcome = receive(&[Frame::text(b"\xE2").more(), Frame::continuation(b"\x82\xAC")]);
    assert_eq!(outcome.events, [piece(true, "€", true)]);
}

#[test]
fn text_in_pieces_is_checked_as_it_comes() {
    let outcome = receive(&[Frame::text("ok").more(), Frame::continuation(b"\xFF").more()]);
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1007));
    let outcome = receive(&[Frame::text("ok").more(), Frame::continuation(b"\xE2\x82")]);
    assert_eq!(outcome.closure.sent.map(|close| close.code.into()), Some(1007));
}

#[test]
fn a_piece_that_arrived_is_handed_out_before_its_frame_is_whole() {
    let bytes = Frame::text("half of it").bytes(Role::Client);
    let mut server = Solo::new(Role::Server, pieces());
    server.receive_bytes(&bytes[..6 + 4]);
    assert_eq!(server.events(), [piece(true, "half", false)]);
    server.receive_bytes(&bytes[6 + 4..]);
    assert_eq!(server.events(), [piece(false, " of it", true)]);
}

#[test]
fn messages_in_pieces_follow_each_other() {
    let frames =
        [Frame::text("a"), Frame::binary("b").more(), Frame::continuation("c"), Frame::text("d")];
    let binary =
        Seen::Piece { kind: MessageKind::Binary, first: true, last: true, payload: b"bc".to_vec() };
    let expected = [piece(true, "a", true), binary, piece(true, "d", true)];
    assert_eq!(receive(&frames).events, expected);
}

// Pieces out.

#[test]
fn a_message_of_many_pieces_arrives_whole_with_control_frames_between() {
    let mut sender = Solo::client();
    let mut receiver = Solo::server();
    let mut rng = Rng::new(5);
    let mut expected = Vec::new();
    sender.connection.start_message(MessageKind::Binary).unwrap();
    assert!(sender.connection.has_open_message());
    for _ in 0..50 {
        let payload = vec![rng.next_u64() as u8; rng.below(30_000)];
        expected.extend_from_slice(&payload);
        sender.connection.send_piece(payload).unwrap();
        sender.connection.ping(b"alive").unwrap();
        receiver.receive_bytes(&sender.connection.transmit_to_vec(sender.now));
    }
    sender.connection.finish_message(b"").unwrap();
    receiver.receive_bytes(&sender.connection.transmit_to_vec(sender.now));
    let mut events = receiver.events();
    assert!(events.pop() == Some(Seen::Binary(expected)));
    assert_eq!(events, vec![Seen::ping(b"alive"); 50]);
}

#[test]
fn pongs_go_between_our_pieces() {
    let mut server = Solo::server();
    server.connection.start_message(MessageKind::Text).unwrap();
    server.connection.send_piece(b"a").unwrap();
    server.receive([Frame::ping("p")]);
    server.connection.finish_message(b"b").unwrap();
    let opcodes: Vec<_> = server.sent().iter().map(SentFrame::opcode).collect();
    assert_eq!(opcodes, [Opcode::Text, Opcode::Pong, Opcode::Continuation]);
}

#[test]
fn pieces_and_whole_messages_do_not_mix() {
    use everwire_proto::SendError;
    let mut server = Solo::server();
    let connection = &mut server.connection;
    assert_eq!(connection.send_piece(b"a"), Err(SendError::NoMessageOpen));
    assert_eq!(connection.finish_message(b"a"), Err(SendError::NoMessageOpen));
    connection.start_message(MessageKind::Text).unwrap();
    assert_eq!(connection.send("whole"), Err(SendError::MessageOpen));
    assert_eq!(connection.start_message(MessageKind::Text), Err(SendError::MessageOpen));
    connection.finish_message(b"only").unwrap();
    assert_eq!(connection.send("whole"), Ok(()));
    let frames = server.sent();
    assert_eq!((frames.len(), frames[0].header.fin), (2, true));
}

#[test]
fn a_message_that_was_started_and_finished_at_once_is_one_frame() {
    let mut server = Solo::server();
    server.connection.start_message(MessageKind::Binary).unwrap();
    server.connection.finish_message(b"").unwrap();
    let frame = server.sent().remove(0);
    assert_eq!((frame.opcode(), frame.header.fin), (Opcode::Binary, true));
}

#[test]
fn a_text_in_pieces_must_be_utf8_across_them() {
    use everwire_proto::SendError;
    let mut server = Solo::server();
    let connection = &mut server.connection;
    connection.start_message(MessageKind::Text).unwrap();
    assert_eq!(connection.send_piece(b"\xFF"), Err(SendError::InvalidUtf8));
    connection.send_piece(b"\xE2\x82").unwrap();
    assert_eq!(connection.finish_message(b""), Err(SendError::InvalidUtf8));
    connection.finish_message(b"\xAC").unwrap();
    let payload: Vec<u8> = server.sent().into_iter().flat_map(|frame| frame.payload).collect();
    assert_eq!(payload, "€".as_bytes());
}

#[test]
fn the_head_of_the_handshake_does_not_count_as_sent() {
    let mut server = Solo::server();
    server.connection.transmit_head(b"HTTP/1.1 101".to_vec());
    assert_eq!(server.connection.counters().bytes_sent, 0);
    server.connection.send("x").unwrap();
    server.connection.transmit_to_vec(server.now);
    assert_eq!(server.connection.counters().bytes_sent, 3);
}
