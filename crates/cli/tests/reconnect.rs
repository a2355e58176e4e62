//! A thousand reconnecting clients, and a server that is killed under them and started again.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use everwire::{
    Client, CloseCode,
    dial::ProxyConfig,
    reconnect::{ReconnectPolicy, ReconnectingClient, StateAudit, Stop},
};

const CLIENTS: usize = 1_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that is killed when it is dropped, as by a power cut.
struct Server(Child);

impl Server {
    /// Starts a server and returns where it listens.
    fn start(addr: &str) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
        command.env_clear().args(["serve", "--listen", addr, "--admin", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.next().expect("it says where it listens").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let addr = said.split("://").nth(1).unwrap();
        let addr = addr.split(|c: char| c == '/' || c.is_whitespace()).next().unwrap().to_owned();
        (Self(child), addr)
    }

    fn kill(mut self) {
        self.0.kill().unwrap(); // SIGKILL
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_client(addr: &str, illegal: Arc<AtomicUsize>) -> ReconnectingClient {
    let client = Client::new(&format!("ws://{addr}/echo")).unwrap().proxy(ProxyConfig::Direct);
    let mut policy = ReconnectPolicy::default();
    policy.cap = Duration::from_secs(2);
    let mut audit = StateAudit::default();
    let audited = move |state: &_| {
        if let Err(error) = audit.check(state) {
            illegal.fetch_add(1, Ordering::Relaxed);
            eprintln!("illegal: {error}");
        }
    };
    ReconnectingClient::builder(client).policy(policy).on_state(audited).start()
}

/// Waits until every client has this connection, and checks that it carries messages.
async fn all_are_open(clients: &mut [ReconnectingClient], generation: u64) {
    for (n, client) in clients.iter_mut().enumerate() {
        let mut states = client.states();
        while states.next().await.expect("none has stopped").generation() != Some(generation) {}
        client.send(format!("{n}/{generation}")).await.unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let echo = client.recv().await.unwrap();
        assert_eq!(echo.generation, generation);
        assert_eq!(echo.message.as_text(), Some(&*format!("{n}/{generation}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_of_a_killed_server_come_back_through_legal_states() {
    let (server, addr) = Server::start("127.0.0.1:0");
    let illegal = Arc::new(AtomicUsize::new(0));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| start_client(&addr, illegal.clone())).collect();
    tokio::time::timeout(DEADLINE, all_are_open(&mut clients, 1)).await.expect("all open");

    let mut server = Some(server);
    for generation in 2..=3 {
        server.take().expect("one runs").kill();
        let down = async {
            for client in &clients {
                while client.state().generation().is_some() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        tokio::time::timeout(DEADLINE, down).await.expect("all notice");
        server = Some(Server::start(&addr).0);
        let back = all_are_open(&mut clients, generation);
        tokio::time::timeout(DEADLINE, back).await.expect("all come back");
    }

    let closings: Vec<_> = clients
        .iter()
        .map(|client| client.close(CloseCode::NORMAL_CLOSURE, "done").unwrap())
        .collect();
    for closing in closings {
        let stop = tokio::time::timeout(DEADLINE, closing).await.expect("all close");
        assert!(matches!(&stop, Stop::Closed(Some(closure)) if closure.is_clean()), "{stop}");
    }
    assert_eq!(illegal.load(Ordering::Relaxed), 0);
}
