//! Only who shows a token may connect. The server decides before it answers 101.
//!
//! ```text
//! cargo run -p everwire-examples --example token
//! ```
//!
//! A browser cannot set `Authorization`; it offers the token as a subprotocol
//! `everwire.bearer.<base64url>` beside a real one, and `bearer_token` reads that as well.

use std::error::Error;

use everwire::{Accept, Client, CloseCode, Reject, Server, UpgradeRequest, WebSocket};

/// Who is connected: data that goes with the connection.
#[derive(Clone)]
struct User(&'static str);

/// Decides on a request. It may wait for a database; the handshake's deadline bounds it.
async fn authorize(request: &UpgradeRequest) -> Result<Accept, Reject> {
    match request.bearer_token()? {
        Some(token) if token.as_str() == "open-sesame" => Ok(Accept::new().data(User("Ali"))),
        Some(_) => Err(Reject::forbidden().body("this token opens nothing\n")),
        None => Err(Reject::unauthorized()),
    }
}

async fn greet(ws: WebSocket) {
    let User(name) = ws.data().expect("authorize lets nobody in without it");
    ws.send(format!("hello, {name}")).await.ok();
    if let Ok(closing) = ws.close(CloseCode::NORMAL_CLOSURE, "") {
        closing.await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .authorize(|request| Box::pin(authorize(request)))
        .pull("/", greet)
        .start()
        .await?;
    let url = format!("ws://{}/", server.addrs()[0]);

    let mut ws = Client::new(&url)?.bearer("open-sesame").connect().await?;
    let greeting = ws.recv().await.ok_or("it greets")?;
    println!("{}", greeting.as_text().unwrap_or_default());

    for client in [Client::new(&url)?, Client::new(&url)?.bearer("open-barley")] {
        let error = client.connect().await.err().ok_or("it lets only Ali in")?;
        println!("{}: {error}", error.status().ok_or("it answers")?.as_u16());
    }
    Ok(())
}
