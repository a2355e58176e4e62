//! A chat: a hub of our own over `Sender`s. It is bounded, and a slow member delays nobody.
//!
//! ```text
//! cargo run -p everwire-examples --example chat [ADDR:PORT]
//! ```
//!
//! Then run `echo_client` twice.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex},
};

use everwire::{
    Because, CloseCode, Closure, Config, Conn, ConnectionId, Handler, Message, PreparedMessage,
    SendError, Sender, Server,
};

/// More than this many are sent away.
const MAX_MEMBERS: usize = 1000;

/// What a slow member is told. With 1008 it would not come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// Everybody in the room. A `Sender` does not keep its connection open.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<HashMap<ConnectionId, Sender>>>);

impl Hub {
    fn join(&self, member: Sender) -> bool {
        let mut members = self.0.lock().unwrap();
        let has_room = members.len() < MAX_MEMBERS;
        if has_room {
            members.insert(member.id(), member);
        }
        has_room
    }

    /// Sends to everybody and waits for nobody. The frame is encoded once for all.
    fn publish(&self, message: Message<'_>) {
        let message = PreparedMessage::new(message);
        for member in self.0.lock().unwrap().values() {
            match member.try_send_prepared(&message) {
                Ok(()) | Err(SendError::Closed) => {} // Who is leaving is taken out by `on_close`.
                // The policy for slow members: they go. To drop the message instead, do nothing.
                Err(_) => drop(member.close_because(Because::SlowConsumer, TOO_SLOW, "too slow")),
            }
        }
    }
}

/// One connection to the chat.
struct Member {
    hub: Hub,
    id: Option<ConnectionId>,
}

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.id = Some(conn.id());
        if !self.hub.join(conn.sender()) {
            conn.close(CloseCode::TRY_AGAIN_LATER, "the room is full").ok();
        }
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        self.hub.publish(message);
    }

    fn on_close(&mut self, _: &Closure) {
        self.hub.0.lock().unwrap().retain(|id, _| Some(*id) != self.id);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let hub = Hub::default();
    let mut config = Config::default();
    config.limits.message = 4096; // A chat needs no more; who sends more is told 1009.
    config.limits.send_queue = 64 << 10; // What may wait for a slow member.
    let member = move |_: &_| Member { hub: hub.clone(), id: None };
    let server = Server::builder().bind(addr).config(config).push("/chat", member).start().await?;
    println!("listening on ws://{}/chat", server.addrs()[0]);
    std::future::pending().await
}
