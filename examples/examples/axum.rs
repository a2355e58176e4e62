//! WebSockets in an axum application: an extractor beside the others.
//!
//! ```text
//! cargo run -p everwire-examples --example axum [ADDR:PORT]
//! ```
//!
//! Then run `echo_client`. It needs the feature `axum` of everwire. The other way round, `Server::http`
//! takes a whole `Router` for ordinary requests; see `end_from_elsewhere`.

use std::{error::Error, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use everwire::{CloseCode, Registry, WebSocket, axum::WebSocketUpgrade};

/// Pages of other hosts are refused with 403, requests that open no WebSocket with 426.
async fn greet(
    Path(name): Path<String>,
    State(registry): State<Registry>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.registry(&registry).on_upgrade(async move |ws| talk(ws, name).await)
}

async fn talk(mut ws: WebSocket, name: String) {
    ws.send(format!("hello, {name}")).await.ok();
    while let Some(message) = ws.recv().await {
        ws.send(message).await.ok();
    }
    println!("{name}: {}", ws.closed().await);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let registry = Registry::default();
    let app = Router::new().route("/greet/{name}", get(greet)).with_state(registry.clone());
    let listener = tokio::net::TcpListener::bind(addr).await?;
    println!("listening on ws://{}/greet/you", listener.local_addr()?);

    let stopped = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    // axum does not know of connections that were upgraded: the registry does.
    for info in registry.list() {
        registry.close(info.id, CloseCode::GOING_AWAY, "")?;
    }
    while !registry.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
