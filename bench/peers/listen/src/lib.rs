//! What all peers share, so that each shows only how its crate echoes.

use std::{env, io};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on `--port` (or a free one), prints where, and spawns `echo` for each connection, Nagle's delay off.
pub async fn listen<F>(echo: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let port = env::args().skip_while(|arg| arg != "--port").nth(1);
    let port = port.map_or(0, |port| port.parse().expect("--port is a number"));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

/// Does the opening handshake for crates that leave it to others.
pub async fn handshake(stream: &mut TcpStream) -> io::Result<()> {
    handshake_with(stream, None).await.map(|_| ())
}

/// Does the same and agrees to compress, in these words, with a client that offers to. Returns whether it was agreed.
pub async fn handshake_with(stream: &mut TcpStream, deflate: Option<&str>) -> io::Result<bool> {
    let mut head = vec![0; 512];
    let n = stream.read(&mut head).await?; // The load generator sends its request in one piece.
    let head = String::from_utf8_lossy(&head[..n]);
    let key = head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept =
        STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let agreed = deflate.filter(|_| head.contains("permessage-deflate"));
    let extensions =
        agreed.map(|it| format!("Sec-WebSocket-Extensions: {it}\r\n")).unwrap_or_default();
    let reply = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
    stream.write_all(format!("{reply}{accept}\r\n{extensions}\r\n").as_bytes()).await?;
    Ok(agreed.is_some())
}
