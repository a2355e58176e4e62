//! An ordinary HTTP request ends a connection: by its id, through the server's registry.
//!
//! ```text
//! cargo run -p everwire-examples --example end_from_elsewhere [ADDR:PORT]
//! ```
//!
//! Connect with `echo_client`, read the id with `curl http://…/connections` and end it with
//! `curl -X POST http://…/connections/ID/close`. A server that others can reach needs a check of who may
//! do that.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use everwire::{CloseCode, Registry, Server, WebSocket};

/// The registry is the server's, and there is none before it has started.
type Connected = Arc<OnceLock<Registry>>;

async fn list(State(connected): State<Connected>) -> String {
    let list = connected.get().map(Registry::list).unwrap_or_default();
    list.iter().map(|info| format!("{} {}\n", info.id, info.path)).collect()
}

async fn close(State(connected): State<Connected>, Path(id): Path<u64>) -> StatusCode {
    let Some(registry) = connected.get() else { return StatusCode::SERVICE_UNAVAILABLE };
    match registry.close(id.into(), CloseCode::POLICY_VIOLATION, "ended by the operator") {
        Ok(true) => StatusCode::ACCEPTED, // The closing handshake has begun.
        _ => StatusCode::NOT_FOUND,
    }
}

/// Needs no channel, no flag and no "stop" of its own: it is told by the end of the messages.
async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.ok();
    }
    println!("{}: {}", ws.id(), ws.closed().await);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let connected = Connected::default();
    let http = Router::new()
        .route("/connections", get(list))
        .route("/connections/{id}/close", post(close))
        .with_state(connected.clone());
    let server = Server::builder().bind(addr).pull("/echo", echo).http(http).start().await?;
    connected.set(server.registry().clone()).ok();
    println!("listening on ws://{}/echo", server.addrs()[0]);
    std::future::pending().await
}
