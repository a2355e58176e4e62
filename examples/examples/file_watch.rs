//! The server pushes: everybody who is connected is sent a file, and again whenever it changes.
//!
//! ```text
//! cargo run -p everwire-examples --example file_watch FILE [ADDR:PORT]
//! ```
//!
//! Then run `echo_client`, then change the file.

use std::{error::Error, path::PathBuf, time::Duration};

use everwire::{PreparedMessage, Server, WebSocket};
use tokio::sync::watch;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// A channel that keeps only the latest value: who is slow misses versions in between, never the
/// last one, and nothing piles up.
type File = watch::Receiver<PreparedMessage>;

async fn show(ws: WebSocket, mut file: File) {
    let (sender, mut receiver) = ws.split();
    file.mark_changed(); // Begin with what is there.
    loop {
        tokio::select! {
            changed = file.changed() => {
                let latest = file.borrow_and_update().clone();
                // It waits while the client is slow; meanwhile newer versions replace each other.
                if changed.is_err() || sender.send_prepared(&latest).await.is_err() {
                    break;
                }
            }
            // We expect no messages, but it is how the end is seen at once.
            message = receiver.recv() => if message.is_none() { break },
        }
    }
}

/// Reads the file for ever and tells of each change.
async fn watch(path: PathBuf, tell: watch::Sender<PreparedMessage>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        tell.send_if_modified(|latest| {
            let is_new = latest.payload() != text.as_bytes();
            if is_new {
                *latest = PreparedMessage::new(text); // Encoded once for all connections.
            }
            is_new
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: file_watch FILE [ADDR:PORT]")?;
    let addr = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:0".into());
    let text = std::fs::read_to_string(&path)?;
    let (tell, file) = watch::channel(PreparedMessage::new(text));
    tokio::spawn(watch(path.into(), tell));
    let serve = move |ws| show(ws, file.clone());
    let server = Server::builder().bind(addr).pull("/file", serve).start().await?;
    println!("listening on ws://{}/file", server.addrs()[0]);
    std::future::pending().await
}
