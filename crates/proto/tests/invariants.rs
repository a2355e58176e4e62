//! The invariants of the design that proto alone can show.

use std::{io, time::Duration};

use everwire_proto::{Cause, Config, Keepalive, Role};
use everwire_testkit::{Frame, Solo};

#[test]
fn the_closure_is_the_same_for_ever_whatever_is_told_afterwards() {
    let mut server = Solo::server();
    server.receive([Frame::text("a"), Frame::close(1000, "")]);
    let closure = server.finish();
    server.now += Duration::from_secs(7);
    server.receive([Frame::text("late")]);
    server.connection.handle_timeout(server.now);
    server.connection.handle_eof(server.now);
    server.connection.handle_io_error(server.now, &io::ErrorKind::ConnectionReset.into());
    server.connection.abort(server.now, Cause::Aborted);
    server.connection.fail(server.now, Cause::InvalidUtf8);
    server.connection.handle_shutdown(server.now);
    server.connection.handle_blocked(server.now);
    assert_eq!(server.connection.send("late"), Err(everwire_proto::SendError::Closed));
    server.flush();
    assert_eq!(server.closure(), closure);
}

#[test]
fn there_is_no_closure_before_the_end() {
    let mut server = Solo::new(Role::Server, Config::default());
    assert_eq!(server.connection.closure(), None);
    server.receive([Frame::close(1000, "")]);
    assert_eq!(server.connection.closure(), None);
    server.flush();
    assert_eq!(server.connection.closure(), None, "the stream of the peer has not ended");
    server.eof();
    assert!(server.connection.closure().is_some());
}

#[test]
fn durations_of_for_ever_and_of_nothing_are_no_trouble() {
    for wait in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1)] {
        let mut config = Config::default();
        config.keepalive = Some(Keepalive::new(wait, wait));
        config.close_timeout = Some(wait);
        config.linger = Some(wait);
        config.write_timeout = wait;
        config.idle_timeout = Some(wait);
        config.limits.message_time = wait;
        config.limits.message_rate = 0;
        for (pauses, frame) in [(false, Frame::text("")), (true, Frame::text("").more())] {
            let mut server = Solo::new(Role::Server, config.clone());
            if pauses {
                server.connection.pause(server.now);
            }
            server.receive([frame]);
            server.connection.send("x").unwrap();
            server.connection.handle_blocked(server.now);
            server.now += Duration::from_millis(1);
            for _ in 0..5 {
                server.connection.handle_timeout(server.now);
                let next = server.connection.poll_timeout();
                assert!(next.is_none_or(|next| next > server.now), "{wait:?}");
            }
        }
    }
}
