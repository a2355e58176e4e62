//! RFC 6455 §7: our Close is sent, and our own application is slow to take what still comes.

use std::time::Duration;

use everwire_proto::{Cause, CloseCode, State};
use everwire_testkit::{Frame, Seen, Solo};

const SECOND: Duration = Duration::from_secs(1);

fn closing_server() -> Solo {
    let mut server = Solo::server();
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.flush();
    server
}

#[test]
fn the_close_deadline_stands_still_while_we_do_not_read() {
    let mut server = closing_server();
    for _ in 0..20 {
        server.connection.pause(server.now);
        server.advance(SECOND - Duration::from_millis(1));
        server.connection.resume(server.now);
    }
    assert!(!server.connection.discards());
    server.advance(4 * SECOND).receive([Frame::text("late"), Frame::close(1000, "")]);
    assert_eq!(server.events(), [Seen::text("late"), Seen::Close]);
    assert!(server.finish().is_clean());
}

#[test]
fn after_a_second_what_still_comes_is_to_be_discarded() {
    let mut server = closing_server();
    server.connection.pause(server.now);
    assert_eq!(server.connection.poll_timeout(), Some(server.now + SECOND));
    server.advance(SECOND);
    assert!(server.connection.discards());
    assert_eq!(server.connection.poll_timeout(), Some(server.now + 5 * SECOND));
    server.connection.resume(server.now);
    server.receive([Frame::close(1000, "")]);
    assert!(server.finish().is_clean());
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_all_the_same() {
    let mut server = closing_server();
    server.connection.pause(server.now);
    server.advance(SECOND);
    server.connection.resume(server.now);
    server.advance(5 * SECOND);
    assert_eq!(server.connection.state(), State::Closed);
    assert_eq!(server.finish_cause(), Cause::CloseTimeout);
}

#[test]
fn a_pause_before_our_close_does_not_count() {
    let mut server = Solo::server();
    server.connection.pause(server.now);
    server.advance(10 * SECOND);
    server.connection.close(server.now, CloseCode::NORMAL_CLOSURE, "").unwrap();
    let deadline = server.now + 5 * SECOND;
    server.flush();
    assert_eq!(server.connection.poll_timeout(), Some(deadline));
}

#[test]
fn a_pause_after_the_deadline_leaves_nothing_due() {
    let mut server = closing_server();
    // Nobody has looked at the deadline.
    server.now += 10 * SECOND;
    server.connection.pause(server.now);
    server.now += SECOND;
    server.connection.handle_timeout(server.now);
    assert!(server.connection.poll_timeout().is_none_or(|at| at > server.now));
}
