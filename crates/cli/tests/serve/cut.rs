//! Pages that have their own connections cut.

use std::{io::Read, net::TcpStream};

use crate::{
    http,
    process::Server,
    visitor::Visitor,
    websocket::{TEXT, WebSocket},
};

const PAGE: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

fn open(server: &Server, page: &str) -> Result<WebSocket<TcpStream>, u16> {
    WebSocket::open(http::connect(server.public()), &format!("/chat?page={page}"), &[])
}

#[test]
fn a_page_cuts_its_connections_and_no_other() {
    let server = Server::start(&["--threads", "2"]);
    let mine = [(); 2].map(|()| open(&server, PAGE).unwrap());
    let mut others = [open(&server, OTHER).unwrap(), server.connect("/chat")];
    server.connections_until(|connections| connections.len() == 4);
    let reply = http::post(server.public(), &format!("/cut?page={PAGE}"));
    assert_eq!((reply.status, reply.body.trim()), (200, "{\"cut\":2,\"for_ms\":0}"));
    for ws in mine {
        // No Close: the end of the stream, or a reset.
        assert!(matches!(ws.stream().read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    server.connections_until(|connections| connections.len() == 2);
    others[0].send(TEXT, b"still here");
    others.iter_mut().for_each(|it| assert_eq!(it.recv(), (TEXT, b"still here".into())));
    assert!(open(&server, PAGE).is_ok());
}

#[test]
fn a_page_is_refused_while_it_wants_to_be_away() {
    let server = Server::start(&["--threads", "2"]);
    let reply = http::post(server.public(), &format!("/cut?page={PAGE}&for=60s"));
    assert_eq!((reply.status, reply.body.trim()), (200, "{\"cut\":0,\"for_ms\":60000}"));
    assert_eq!(open(&server, PAGE).err(), Some(503));
    assert!(open(&server, OTHER).is_ok());
}

#[test]
fn nobody_keeps_all_others_from_being_away() {
    let server = Server::start(&["--threads", "2"]);
    let cut = |page: &str| http::post(server.public(), &format!("/cut?page={page}&for=60s")).status;
    for n in 0..100 {
        assert_eq!(cut(&format!("invented-{n:07}")), 200);
    }
    let mine = open(&server, PAGE).unwrap();
    server.connections_until(|connections| connections.len() == 1);
    // Its connections are cut all the same.
    assert_eq!(cut(PAGE), 503);
    assert!(matches!(mine.stream().read(&mut [0; 8]), Ok(0) | Err(_)));
    assert_eq!(cut("invented-0000000"), 200);
}

#[test]
fn without_sessions_there_are_no_cuts() {
    let server = Server::start(&["--no-sessions"]);
    assert_eq!(http::post(server.public(), &format!("/cut?page={PAGE}&for=60s")).status, 404);
    assert!(open(&server, PAGE).is_ok());
}

#[test]
fn a_session_survives_being_cut() {
    let server = Server::start(&["--threads", "2"]);
    let mut visitor = Visitor::open(&server, "/echo?page=0123456789abcdef");
    http::post(server.public(), &format!("/cut?page={PAGE}"));
    assert_eq!(visitor.hear(), "detached");
    visitor.say("after the cut");
    visitor.connect(&server);
    assert_eq!([visitor.hear(), visitor.hear()], ["resumed", "after the cut"]);
}
