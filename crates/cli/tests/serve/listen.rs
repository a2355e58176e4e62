//! Other places to listen than TCP addresses.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use rustix::process::Signal;

use crate::{
    DEADLINE,
    process::{Server, command},
    websocket::{TEXT, WebSocket},
};

/// Connects as soon as somebody listens.
pub(crate) fn connect_unix(path: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < DEADLINE, "{}: {error}", path.display()),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_unix_socket_serves_all_threads_and_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    // A server that was killed left its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = format!("unix:{}", path.display());
    let mut command = command();
    command.args(["--listen", &listen, "--admin", "127.0.0.1:0", "--threads", "3"]);
    let server = Server::spawn(command, 2);
    assert_eq!(server.said[0], format!("everwire listening on {listen}"));
    let mut ws = WebSocket::open(connect_unix(&path), "/echo", &[]).unwrap();
    ws.send(TEXT, b"hi");
    assert_eq!(ws.recv(), (TEXT, b"hi".into()));
    let connections = server.connections();
    assert_eq!(
        (&connections[0]["remote"], &connections[0]["client_ip"]),
        (&"unix".into(), &().into())
    );
    let line = crate::process::refused(&["--listen", &listen, "--admin", "off"]);
    assert!(line.contains("Address already in use"), "{line}");
    server.signal(Signal::INT);
    assert_eq!(ws.closed().0, 1001);
    server.wait();
    assert!(!path.exists());
}

#[test]
fn a_socket_of_systemd_is_used_instead_of_the_default() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut shell = Command::new("/bin/sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    shell.env_clear().args(["-c", script, "sh"]);
    shell.arg(command().get_program()).args(["serve", "--admin", "off", "--threads", "2"]);
    shell.stdin(Stdio::from(OwnedFd::from(listener)));
    let server = Server::spawn(shell, 1);
    assert_eq!(server.public(), addr);
    let mut ws = server.connect("/echo");
    ws.send(TEXT, b"hi");
    assert_eq!(ws.recv(), (TEXT, b"hi".into()));
}
