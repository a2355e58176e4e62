//! A client that comes back: it counts what it hears, over a server that goes away in between.
//!
//! ```text
//! cargo run -p everwire-examples --example reconnecting
//! ```

use std::time::Duration;

use everwire::{
    CloseCode, ReconnectingClient, Server, WebSocket,
    reconnect::{Sent, WhileDown},
};

type Error = Box<dyn std::error::Error>;

/// Echoes.
async fn serve(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let server = Server::builder().bind("127.0.0.1:0").pull("/", serve).start().await?;
    let url = format!("ws://{}/", server.addrs()[0]);

    let mut client = ReconnectingClient::builder(everwire::Client::new(&url)?)
        .on_connect(|ws, generation| async move {
            ws.send(format!("subscribe, for the {generation}. time")).await?;
            Ok(ws)
        })
        .while_down(WhileDown::Queue { bytes: 64 << 10 })
        .on_state(|state| println!("{state}"))
        .start();
    client.open().await?;
    hear(&mut client).await;

    // The server asks everybody to come back within a quarter of a second.
    for connection in server.registry().list() {
        let code = CloseCode::SERVICE_RESTART;
        server.registry().close(connection.id, code, "retry=100;spread=150")?;
    }
    while client.send("are you there?").await? != Sent::Queued {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hear(&mut client).await;
    println!("{}", client.close(CloseCode::NORMAL_CLOSURE, "bye")?.await);
    Ok(())
}

/// Prints what comes until an echo of the subscription and of a message sent while down came.
async fn hear(client: &mut ReconnectingClient) {
    while let Some(incoming) = client.recv().await {
        let text = incoming.message.as_text().unwrap_or_default();
        println!("  connection {} echoes: {text}", incoming.generation);
        if incoming.generation == 1 || text == "are you there?" {
            return;
        }
    }
}
