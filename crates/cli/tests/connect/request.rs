//! What is asked for, and by which way.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
};

use crate::{
    fixture::Fixture,
    run::{command, run, run_command},
    scripted::{accept, silent},
};

#[test]
fn what_is_asked_for_is_sent() {
    let fixture = Fixture::new();
    let args = ["-n1", "-H", "X-Test: 1", "--header", "x-test:2", "--origin", "https://page.test"];
    let ran = run(
        &[
            &args[..],
            &["--subprotocol", "a", "--subprotocol", "chat.v2"],
            &[&fixture.url("/headers")],
        ]
        .concat(),
        "",
    );
    ran.check(0, "x-test=1 x-test=2 origin=https://page.test sec-websocket-protocol=a, chat.v2 \n");
    let url = fixture.url("/headers").replace("ws://", "ws://u:p@");
    run(&["-n1", &url], "").check(0, "authorization=Basic dTpw \n");
}

#[test]
fn redirects_are_followed_on_request() {
    let fixture = Fixture::new();
    let (url, listener) = silent();
    let there = fixture.url("/echo");
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n");
            accept(&listener).0.write_all(answer.as_bytes()).unwrap();
        }
    });
    let ran = run(&["-n1", &url], "hi\n");
    ran.check(3, "");
    ran.says("302 Found");
    run(&["-n1", "--redirects", "1", &url], "hi\n").check(0, "hi\n");
    server.join().unwrap();
}

#[test]
fn a_proxy_is_used_unless_told_otherwise() {
    let fixture = Fixture::new();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://u:p@{}", proxy.local_addr().unwrap());
    let target = fixture.addr;
    let server = thread::spawn(move || {
        let (mut near, head) = accept(&proxy);
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("Basic dTpw"), "{head}");
        let mut far = TcpStream::connect(target).unwrap();
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut near2, mut far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let back = thread::spawn(move || std::io::copy(&mut far2, &mut near2).ok());
        std::io::copy(&mut near, &mut far).ok();
        back.join().unwrap();
    });
    run(&["-n1", "--proxy", &proxy_url, &fixture.url("/echo")], "hi\n").check(0, "hi\n");
    server.join().unwrap();
    let mut command = command(&["-n1", "--no-proxy", "--connect-timeout", "5s", "ws://u.test/"]);
    command.env("http_proxy", "http://127.0.0.1:1");
    let ran = run_command(command, b"hi\n");
    ran.check(3, "");
    ran.says("could not resolve u.test");
}
