//! A client: each line of stdin is sent as a message, each message that comes is printed.
//!
//! ```text
//! cargo run -p everwire-examples --example echo_client URL
//! ```
//!
//! The end of stdin and Ctrl-C close properly.

use std::error::Error;

use everwire::CloseCode;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: echo_client ws://HOST:PORT/PATH")?;
    let mut ws = everwire::connect(&url).await?;
    let mut lines = BufReader::new(stdin()).lines();
    let mut is_open = true;
    loop {
        // Every method may be dropped halfway without losing anything: `select!` is safe here.
        tokio::select! {
            message = ws.recv() => match message {
                Some(message) => println!("{}", message.as_text().unwrap_or("(binary)")),
                None => break, // For ever: `closed` says why.
            },
            line = lines.next_line(), if is_open => match line? {
                // It waits while the send queue is full, and fails only once closing has begun.
                Some(line) => ws.send(line).await?,
                None => is_open = false,
            },
            _ = tokio::signal::ctrl_c(), if is_open => is_open = false,
        }
        if !is_open {
            // Starts the closing handshake; once begun, this does nothing. What the server still
            // sends before its own Close is received as before.
            drop(ws.close(CloseCode::NORMAL_CLOSURE, "bye")?);
        }
    }
    eprintln!("{}", ws.closed().await);
    Ok(())
}
