//! What a service manager is told, over real sockets.

use std::{
    net::TcpListener,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    DEADLINE,
    process::{Server, command},
};

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Waits for the next notice.
    #[track_caller]
    fn next(&self) -> String {
        let mut notice = [0; 4096];
        let len = self.0.recv(&mut notice).expect("the service says something");
        String::from_utf8(notice[..len].to_vec()).unwrap()
    }

    /// Waits for the next notice that is no sign of life.
    #[track_caller]
    fn next_news(&self) -> String {
        loop {
            let notice = self.next();
            if notice != "WATCHDOG=1" {
                return notice;
            }
        }
    }
}

fn serve() -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "off", "--threads", "2"]);
    command
}

#[test]
fn the_start_a_reload_and_the_end_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let mut command = serve();
    command.args(["--drain-deadline", "2m"]).env("NOTIFY_SOCKET", path);
    let server = Server::spawn(command, 1);
    let ready = format!("READY=1\nSTATUS=listening on {}", server.public());
    assert_eq!(manager.next(), ready);
    server.signal(Signal::HUP);
    let reloading = manager.next();
    let now = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(now.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next(), "READY=1");
    let ws = server.connect("/echo");
    server.signal(Signal::TERM);
    assert_eq!(
        manager.next(),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=125000000\nSTATUS=closing 1 connection"
    );
    assert_eq!(ws.closed().0, 1012);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_until_the_end() {
    let name = format!("everwire-notify-{}", std::process::id());
    let addr = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::new(UnixDatagram::bind_addr(&addr).unwrap());
    let mut command = serve();
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "100000");
    let server = Server::spawn(command, 1);
    assert!(manager.next().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    // It goes on while clients are waited for.
    let mut mute = server.connect("/echo");
    server.signal(Signal::TERM);
    assert!(manager.next_news().starts_with("STOPPING=1"));
    assert_eq!(mute.recv_close().0, 1012);
    assert_eq!(manager.next(), "WATCHDOG=1");
    drop(mute);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let mut command = serve();
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "20000");
    command.env("WATCHDOG_PID", "1");
    let server = Server::spawn(command, 1);
    assert!(manager.next().starts_with("READY=1"));
    server.connect("/echo").close();
    server.signal(Signal::INT);
    assert!(manager.next().starts_with("STOPPING=1"), "no sign of life in between");
}

#[test]
fn a_socket_that_was_passed_on_is_told_as_ready() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut shell = Command::new("/bin/sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    shell.env_clear().env("NOTIFY_SOCKET", path).args(["-c", script, "sh"]);
    shell.arg(command().get_program()).args(["serve", "--admin", "off"]);
    shell.stdin(Stdio::from(OwnedFd::from(listener)));
    let server = Server::spawn(shell, 1);
    assert_eq!(manager.next(), format!("READY=1\nSTATUS=listening on {addr}"));
    server.connect("/echo").close();
}

#[test]
fn a_service_manager_that_is_not_there_is_no_reason_to_fail() {
    for name in ["/no/such/socket", "vsock:2:1234", ""] {
        let mut command = serve();
        command.env("NOTIFY_SOCKET", name).stderr(Stdio::null());
        let server = Server::spawn(command, 1);
        server.connect("/echo").close();
    }
}
