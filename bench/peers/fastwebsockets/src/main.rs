//! fastwebsockets as its README shows it first: frames over a raw stream, after a handshake of one's own.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(echo).await
}

async fn echo(mut stream: TcpStream) -> Result<(), WebSocketError> {
    handshake(&mut stream).await?;
    let mut socket = WebSocket::after_handshake(stream, Role::Server); // writev, auto_close, auto_pong are on.
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                socket.write_frame(Frame::new(true, frame.opcode, None, frame.payload)).await?
            }
            _ => {}
        }
    }
}

async fn handshake(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = vec![0; 512];
    let n = stream.read(&mut head).await?; // The load generator sends its request in one piece.
    let head = String::from_utf8_lossy(&head[..n]);
    let key = head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept =
        STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let reply = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
    stream.write_all(format!("{reply}{accept}\r\n\r\n").as_bytes()).await
}
