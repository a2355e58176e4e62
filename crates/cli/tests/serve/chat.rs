//! `/chat`.

use crate::{
    process::Server,
    websocket::{BINARY, TEXT},
};

#[test]
fn everybody_receives_every_message_the_sender_included() {
    let server = Server::start(&["--threads", "2"]);
    let mut members: Vec<_> = (0..3).map(|_| server.connect("/chat")).collect();
    server.connections_until(|connections| connections.len() == 3);
    members[0].send(TEXT, b"hello");
    members.iter_mut().for_each(|member| assert_eq!(member.recv(), (TEXT, b"hello".into())));
    members[2].send(BINARY, &[1, 2]);
    members.iter_mut().for_each(|member| assert_eq!(member.recv(), (BINARY, vec![1, 2])));
    // Who has left is missed by nobody.
    members.pop().unwrap().close();
    members[1].send(TEXT, b"bye");
    members.iter_mut().for_each(|member| assert_eq!(member.recv(), (TEXT, b"bye".into())));
}

#[test]
fn trap_21_a_member_that_does_not_keep_up_is_closed_and_delays_nobody() {
    let server = Server::start(&["--threads", "2"]);
    let mut slow = server.connect("/chat");
    let mut quick = server.connect("/chat");
    let ids = server.connections_until(|connections| connections.len() == 2);
    let is_slow = |connection: &serde_json::Value| connection["id"] == ids[0]["id"];
    let message = vec![b'x'; 256 << 10];
    // The system holds some megabytes for the slow one before the server sees that it is slow.
    for _ in 0..400 {
        quick.send(BINARY, &message);
        assert_eq!(quick.recv(), (BINARY, message.clone()));
        let connections = server.connections();
        if connections.iter().find(|c| is_slow(c)).is_none_or(|slow| slow["state"] == "closing") {
            assert_eq!(slow.recv_close(), (4413, "too slow".into()));
            quick.close();
            drop(slow);
            let name = "connections_closed_total{cause=\"slow_consumer\"}";
            let start = std::time::Instant::now();
            while crate::admin::metrics(&server).get(name) != Some(&1.0) {
                assert!(start.elapsed() < crate::DEADLINE, "it is not called a slow consumer");
                std::thread::yield_now();
            }
            return;
        }
    }
    panic!("the slow member was never closed");
}
