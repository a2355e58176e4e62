//! What a closure says: for programs in its questions, for people in one sentence.

use std::{io::ErrorKind, time::Duration};

use everwire_proto::{Cause, CloseCode, CloseFrame, Closure, Retry, Role};
use everwire_testkit::{Frame, Solo};

/// Something that ends a connection.
type Way = fn(&mut Solo);

const SECOND: Duration = Duration::from_secs(1);

/// Returns how a client ends that receives this Close.
fn closed_by(code: u16, reason: &str) -> Closure {
    let mut client = Solo::client();
    client.receive([Frame::close(code, reason)]);
    client.finish()
}

/// Returns a server that began to close for this cause, its Close on the wire.
fn closing(cause: Cause) -> Solo {
    let mut server = Solo::server();
    let frame = cause.close_frame().expect("it begins with a Close");
    server.connection.close_because(server.now, cause, frame);
    server.flush();
    server
}

const DECISIONS: [Cause; 5] =
    [Cause::Kicked, Cause::Shutdown, Cause::MaxAge, Cause::Superseded, Cause::Idle];

// What was decided is not forgotten.

#[test]
fn a_decision_that_is_answered_is_clean() {
    for cause in DECISIONS.into_iter().chain([Cause::LocalClosed]) {
        let mut server = closing(cause.clone());
        server.receive([Frame::close(1000, "")]);
        let closure = server.finish();
        assert_eq!((&closure.cause, &closure.failure), (&cause, &None));
        assert!(closure.is_clean() && closure.ours && closure.is_expected(&[]), "{closure}");
    }
}

#[test]
fn a_decision_outlives_whatever_comes_in_the_way() {
    let ways: [(Way, Cause); 5] = [
        (|server| _ = server.advance(5 * SECOND), Cause::CloseTimeout),
        (|server| _ = server.eof(), Cause::EofBetweenFrames),
        (|server| _ = server.receive_bytes(&[0x81]).eof(), Cause::EofMidFrame),
        (
            |server| {
                server.connection.handle_io_error(server.now, &ErrorKind::ConnectionReset.into());
            },
            Cause::Reset,
        ),
        (|server| server.connection.abort(server.now, Cause::Aborted), Cause::Aborted),
    ];
    for cause in DECISIONS {
        for (way, failure) in &ways {
            let mut server = closing(cause.clone());
            way(&mut server);
            let closure = server.closure();
            assert_eq!((&closure.cause, closure.failure.as_ref()), (&cause, Some(failure)));
            assert!(closure.ours && !closure.is_clean() && !closure.is_expected(&[]));
            assert_eq!(closure.sent, cause.close_frame());
        }
    }
}

#[test]
fn of_our_own_close_what_came_in_the_way_is_the_cause() {
    let mut server = closing(Cause::LocalClosed);
    server.advance(5 * SECOND);
    let closure = server.closure();
    assert_eq!((&closure.cause, &closure.failure), (&Cause::CloseTimeout, &None));
    assert!(closure.ours && !closure.is_clean());
}

// For people.

#[track_caller]
fn check_sentence(closure: &Closure, expected: &str) {
    assert_eq!(closure.to_string(), expected);
}

#[test]
fn each_end_is_one_sentence() {
    check_sentence(&closed_by(1001, "deploy"), r#"received 1001 (going away) "deploy", answered"#);
    let mut server = Solo::server();
    server.connection.ping(b"").unwrap();
    server.advance(200 * Duration::from_millis(1)).receive([Frame::pong("")]);
    server.advance(45 * SECOND);
    let expected = "the peer stopped answering: nothing received for 45.0 s, last ping unanswered; \
                    sent 1011 (internal error) \"keepalive timeout\"";
    check_sentence(&server.finish(), expected);
    let mut server = Solo::server();
    let frame = CloseFrame::new(CloseCode::POLICY_VIOLATION, "spam").unwrap();
    server.connection.close_because(server.now, Cause::Kicked, frame);
    server.advance(5 * SECOND);
    let expected = "closed from elsewhere: sent 1008 (policy violation) \"spam\", \
                    but the peer did not answer our Close in time";
    check_sentence(&server.closure(), expected);
    let mut server = closing(Cause::MaxAge);
    server.receive([Frame::close(1001, "")]);
    let expected = "the connection reached its maximum age: sent 1001 (going away) \
                    \"retry=0;spread=5000\", received 1001 (going away)";
    check_sentence(&server.finish(), expected);
    let mut server = Solo::server();
    server.eof();
    check_sentence(&server.closure(), "the peer ended the stream without a Close");
}

// Whether to come back.

#[track_caller]
fn check_code(codes: impl IntoIterator<Item = u16>, expected: Retry) {
    for code in codes {
        assert_eq!(closed_by(code, "").retry(), expected, "{code}");
    }
}

fn after(after: u64, spread: u64) -> Retry {
    Retry::After { after: Duration::from_millis(after), spread: Duration::from_millis(spread) }
}

#[test]
fn the_peers_code_says_whether_to_come_back() {
    check_code([1001, 1009, 1011, 1014, 3001, 3008, 3499, 4000, 4413, 4499], Retry::Now);
    check_code([1012], after(5000, 25_000));
    check_code([1013], after(30_000, 30_000));
    check_code([1002, 1003, 1007, 1010], Retry::FreshSessionOnce);
    check_code([3000, 4401, 4501], Retry::RefreshTokenOnce);
    check_code([1000, 1008, 3003, 3500, 3999, 4500, 4509, 4999], Retry::Never);
    let mut client = Solo::client();
    client.receive([Frame::new(8, "")]);
    assert_eq!(client.finish().retry(), Retry::Now, "1005");
}

#[test]
fn advice_in_the_reason_says_when() {
    assert_eq!(closed_by(1001, "retry=1500;spread=20000").retry(), after(1500, 20_000));
    assert_eq!(closed_by(1012, "deploy; spread=700").retry(), after(0, 700));
    assert_eq!(closed_by(1012, "retry=later").retry(), after(5000, 25_000));
    assert_eq!(closed_by(1000, "retry=1;spread=2").retry(), Retry::Never, "final is final");
}

#[test]
fn without_a_close_the_cause_says_whether_to_come_back() {
    let retry = |end: Way| {
        let mut client = Solo::client();
        end(&mut client);
        client.flush().eof();
        client.closure().retry()
    };
    let now: [Way; 4] = [
        |_| {},
        |client| client.connection.handle_io_error(client.now, &ErrorKind::TimedOut.into()),
        |client| client.connection.handle_write_error(client.now, &ErrorKind::BrokenPipe.into()),
        |client| _ = client.advance(60 * SECOND),
    ];
    now.into_iter().for_each(|end| assert_eq!(retry(end), Retry::Now));
    assert_eq!(retry(|client| _ = client.receive([Frame::new(3, "")])), Retry::FreshSessionOnce);
    let never: [Way; 4] = [
        |client| client.connection.abort(client.now, Cause::Aborted),
        |client| client.connection.fail(client.now, Cause::Cancelled),
        |client| client.connection.close(client.now, CloseCode::GOING_AWAY, "").unwrap(),
        |client| {
            client.connection.close(client.now, CloseCode::GOING_AWAY, "").unwrap();
            client.advance(3 * SECOND);
        },
    ];
    never.into_iter().for_each(|end| assert_eq!(retry(end), Retry::Never));
}

#[test]
fn after_our_own_close_there_is_nothing_to_come_back_for() {
    for (cause, expected) in [(Cause::LocalClosed, Retry::Never), (Cause::MaxAge, Retry::Now)] {
        let mut client = Solo::client();
        let frame = cause.close_frame().expect("it has one");
        client.connection.close_because(client.now, cause, frame);
        client.receive([Frame::close(1001, "")]);
        assert_eq!(client.finish().retry(), expected);
    }
}

// What was expected.

#[test]
fn expected_is_what_was_listed_and_never_what_just_broke() {
    let listed = [CloseCode::GOING_AWAY, CloseCode::ABNORMAL_CLOSURE];
    assert!(closed_by(1001, "").is_expected(&listed));
    assert!(!closed_by(1011, "").is_expected(&listed));
    let mut silent = Solo::server();
    silent.advance(60 * SECOND);
    let mut reset = Solo::server();
    reset.connection.handle_io_error(reset.now, &ErrorKind::ConnectionReset.into());
    let mut ended = Solo::server();
    ended.eof();
    for end in [silent, reset, ended] {
        assert!(!end.closure().is_expected(&listed), "{}", end.closure());
    }
}

#[test]
fn a_listed_code_is_expected_even_if_it_could_not_be_answered() {
    let mut server = Solo::server();
    server.connection.handle_write_error(server.now, &ErrorKind::BrokenPipe.into());
    server.receive([Frame::close(1001, "")]);
    assert!(server.closure().is_expected(&[CloseCode::GOING_AWAY]));
}

// The counts.

#[test]
fn it_tells_how_long_how_much_and_how_far() {
    let mut server = Solo::server();
    server.connection.ping_numbered(server.now).unwrap();
    let ping = server.sent().remove(0).payload;
    server.advance(Duration::from_millis(80)).receive([Frame::pong(&ping), Frame::text("hello")]);
    server.connection.send("hi").unwrap();
    server.receive([Frame::close(1000, "")]);
    let closure = server.finish();
    assert_eq!(closure.duration, Duration::from_millis(80));
    assert_eq!(closure.rtt, Some(Duration::from_millis(80)));
    let counters = closure.counters;
    assert_eq!((counters.messages_received, counters.messages_sent), (1, 1));
    let received = [Frame::pong(&ping), Frame::text("hello"), Frame::close(1000, "")];
    let received: usize = received.iter().map(|frame| frame.bytes(Role::Client).len()).sum();
    assert_eq!((counters.bytes_received, counters.bytes_sent), (received as u64, 10 + 4 + 4));
}
