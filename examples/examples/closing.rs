//! Three ways in which a connection ends, and what each end is told.
//!
//! ```text
//! cargo run -p everwire-examples --example closing
//! ```

use std::{error::Error, sync::Arc};

use everwire::{Cause, CloseCode, Closure, Server, WebSocket};
use tokio::sync::mpsc;

/// Closes when it is asked to, and tells how each connection ended.
async fn serve(mut ws: WebSocket, ended: mpsc::UnboundedSender<Arc<Closure>>) {
    while let Some(message) = ws.recv().await {
        if message.as_text() == Some("close, please") {
            // Sends Close and goes on; dropping the future stops nothing.
            drop(ws.close(CloseCode::NORMAL_CLOSURE, "as you wish"));
        }
    }
    ended.send(ws.closed().await).ok();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (ended, mut server_side) = mpsc::unbounded_channel();
    let endpoint = move |ws| serve(ws, ended.clone());
    let server = Server::builder().bind("127.0.0.1:0").pull("/", endpoint).start().await?;
    let url = format!("ws://{}/", server.addrs()[0]);
    let mut show = async |title: &str, client: Arc<Closure>| {
        let server = server_side.recv().await.expect("the server tells of every end");
        println!("{title}\n  client: {client}\n  server: {server}");
        (client, server)
    };

    // 1. The server closes. The client's messages end, and the closure says who and why.
    let mut ws = everwire::connect(&url).await?;
    ws.send("close, please").await?;
    while ws.recv().await.is_some() {}
    let (client, server) = show("the server closes", ws.closed().await).await;
    assert_eq!((&client.cause, &server.cause), (&Cause::PeerClosed, &Cause::LocalClosed));
    assert!(client.is_clean() && server.is_clean());

    // 2. The client closes, and waits for how it went.
    let ws = everwire::connect(&url).await?;
    let closure = ws.close(CloseCode::new(4000).expect("a private code"), "done")?.await;
    let (client, server) = show("the client closes", closure).await;
    assert_eq!((&client.cause, &server.cause), (&Cause::LocalClosed, &Cause::PeerClosed));
    assert_eq!(server.reason(), "done");

    // 3. The client is cut off: there is no Close, and it is not told as one.
    let ws = everwire::connect(&url).await?;
    ws.abort();
    let (client, server) = show("the client is cut off", ws.closed().await).await;
    assert_eq!(client.cause, Cause::Aborted);
    assert!(matches!(server.cause, Cause::EofBetweenFrames | Cause::Reset));
    assert_eq!(server.code(), CloseCode::ABNORMAL_CLOSURE);
    assert!(!server.is_clean());
    Ok(())
}
