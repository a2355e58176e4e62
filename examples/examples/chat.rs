//! A chat: a group of bounded size, in which a slow member delays nobody.
//!
//! ```text
//! cargo run -p everwire-examples --example chat [ADDR:PORT]
//! ```
//!
//! Then run `echo_client` twice.

use std::error::Error;

use everwire::{
    CloseCode, CloseFrame, Config, Conn, Group, Handler, Message, PreparedMessage, Server,
    SlowPolicy,
};

/// More than about this many are sent away.
const MAX_MEMBERS: usize = 1000;

/// What a slow member is told. With 1008 it would not come back.
const TOO_SLOW: CloseCode = CloseCode::new(4413).expect("in range");

/// One connection to the chat.
struct Member {
    room: Group,
}

impl Handler for Member {
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        if self.room.len() >= MAX_MEMBERS {
            conn.close(CloseCode::TRY_AGAIN_LATER, "the room is full").ok();
        } else {
            self.room.join(&conn.sender()); // It leaves by itself when it ends.
        }
    }

    fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
        // Encoded once for all, and nobody is waited for.
        self.room.broadcast(&PreparedMessage::new(message));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    // The policy for slow members: they go. To drop the message instead: `SlowPolicy::Skip`.
    let room = Group::new(SlowPolicy::Disconnect(CloseFrame::new(TOO_SLOW, "too slow")?));
    let mut config = Config::default();
    config.limits.message = 4096; // A chat needs no more; who sends more is told 1009.
    config.limits.send_queue = 64 << 10; // What may wait for a slow member.
    let member = move |_: &_| Member { room: room.clone() };
    let server = Server::builder().bind(addr).config(config).push("/chat", member).start().await?;
    println!("listening on ws://{}/chat", server.addrs()[0]);
    std::future::pending().await
}
