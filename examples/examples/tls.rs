//! TLS with a certificate of our own: a server shows it, a client trusts it and nothing else.
//!
//! ```text
//! cargo run -p everwire-examples --example tls
//! ```
//!
//! A real server reads files (`PemSource::file`), and a real client trusts what the system trusts,
//! which is the default.

use std::error::Error;

use everwire::{
    Client, CloseCode, ConnectError, Server, WebSocket,
    tls::{ClientTls, PemSource, ServerTls, ServerTlsConfig},
};

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.ok();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = PemSource::text(made.cert.pem());
    let key = PemSource::text(made.signing_key.serialize_pem());

    let tls = ServerTls::load(ServerTlsConfig::new(certificate.clone(), key))?;
    let server = Server::builder().bind("127.0.0.1:0").tls(tls).pull("/echo", echo).start().await?;
    let port = server.local_addr().ok_or("it listens on TCP")?.port();
    let url = format!("wss://localhost:{port}/echo");

    let tls = ClientTls::builder().roots(certificate).build()?;
    let mut ws = Client::new(&url)?.tls(tls).connect().await?;
    ws.send("hello").await?;
    let reply = ws.recv().await.ok_or("it echoes")?;
    println!("echoed over TLS: {}", reply.as_text().unwrap_or_default());
    println!("{}", ws.close(CloseCode::NORMAL_CLOSURE, "")?.await);

    // Without our certificate among its roots, a client does not connect.
    match everwire::connect(&url).await {
        Err(error @ ConnectError::Dial(_)) => println!("refused: {error}"),
        other => return Err(format!("expected a TLS error, got {other:?}").into()),
    }
    Ok(())
}
