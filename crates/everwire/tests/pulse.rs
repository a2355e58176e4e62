//! A sign of life of a server's threads.

mod common;

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use common::{Echo, connect, soon, text};
use everwire::{Conn, Drain, Handler, Message, Server};
use tokio::time::timeout;

/// Holds its thread until the test lets go.
struct Stuck(Arc<Barrier>);

impl Handler for Stuck {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {
        self.0.wait();
        self.0.wait();
    }
}

#[tokio::test]
async fn a_thread_that_is_stuck_has_no_pulse() {
    let barrier = Arc::new(Barrier::new(2));
    let stuck = barrier.clone();
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .threads(2)
        .push("/", move |_| Stuck(stuck.clone()))
        .start()
        .await
        .unwrap();
    soon(server.pulse()).await;
    let mut peer = connect(server.local_addr().unwrap(), "/").await;
    peer.write(&text("hold")).await;
    let wait = |barrier: Arc<Barrier>| tokio::task::spawn_blocking(move || barrier.wait());
    soon(wait(barrier.clone())).await.unwrap();
    assert!(timeout(Duration::from_millis(200), server.pulse()).await.is_err());
    soon(wait(barrier)).await.unwrap();
    soon(server.pulse()).await;
}

#[tokio::test]
async fn a_server_that_shuts_down_has_a_pulse() {
    for threads in [None, Some(2)] {
        let mut builder = Server::builder().bind("127.0.0.1:0").push("/", |_| Echo);
        if let Some(threads) = threads {
            builder = builder.threads(threads);
        }
        let server = builder.start().await.unwrap();
        soon(server.pulse()).await;
        server.shutdown(Drain::leaving().deadline(Duration::ZERO)).await.unwrap();
        // Its threads end by themselves.
        for _ in 0..20 {
            soon(server.pulse()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
