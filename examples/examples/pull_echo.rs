//! An echo server on the pull face: a loop over `recv` and `send`.
//!
//! ```text
//! cargo run -p everwire-examples --example pull_echo [ADDR:PORT]
//! ```

use everwire::{Server, WebSocket};

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let server = Server::builder().bind(addr).pull("/echo", echo).start().await?;
    println!("listening on http://{}/", server.addrs()[0]);
    std::future::pending().await
}
