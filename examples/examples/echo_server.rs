//! An echo server on the push face. Ctrl-C says goodbye to everybody and waits for their answers.
//!
//! ```text
//! cargo run -p everwire-examples --example echo_server [ADDR:PORT]
//! ```
//!
//! Then give the address that it prints to `echo_client`.

use std::error::Error;

use everwire::{Closure, Conn, Drain, Handler, Message, Server};

/// One value for each connection. Its fields are the state of that connection.
#[derive(Default)]
struct Echo {
    n_messages: u64,
}

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        self.n_messages += 1;
        // The queue cannot be full here: a peer that does not take its echoes is not read from.
        conn.send(message).ok();
    }

    /// Is called on every path, exactly once, last: clean-up goes here and nowhere else.
    fn on_close(&mut self, closure: &Closure) {
        println!("{} messages; {closure}", self.n_messages);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let server = Server::builder().bind(addr).push("/echo", |_| Echo::default()).start().await?;
    println!("listening on ws://{}/echo", server.addrs()[0]);

    tokio::signal::ctrl_c().await?;
    let drained = server.shutdown(Drain::leaving()).await?;
    println!("closed {} cleanly, cut {}", drained.clean, drained.cut);
    Ok(())
}
