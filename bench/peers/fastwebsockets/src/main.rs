//! fastwebsockets as its README shows it first: frames over a raw stream, after a handshake of one's own.

use std::{env, io};

use base64::{Engine, engine::general_purpose::STANDARD};
use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use sha1::{Digest, Sha1};
use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let port = env::args().skip_while(|a| a != "--port").nth(1).map_or(0, |p| p.parse().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    loop { tokio::spawn(echo(listener.accept().await?.0)); }
}

async fn echo(mut stream: TcpStream) -> Result<(), WebSocketError> {
    stream.set_nodelay(true)?;
    handshake(&mut stream).await?;
    let mut socket = WebSocket::after_handshake(stream, Role::Server); // writev, auto_close, auto_pong are on.
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(Frame::new(true, frame.opcode, None, frame.payload)).await?,
            _ => {}
        }
    }
}

async fn handshake(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = vec![0; 512];
    let n = stream.read(&mut head).await?; // The load generator sends its request in one piece.
    let head = String::from_utf8_lossy(&head[..n]);
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let reply = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
    stream.write_all(format!("{reply}{accept}\r\n\r\n").as_bytes()).await
}
