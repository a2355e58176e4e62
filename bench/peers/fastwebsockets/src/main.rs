//! fastwebsockets as its README shows it first: frames over a raw stream, after a handshake of one's own.

use std::io;

use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(echo).await
}

async fn echo(mut stream: TcpStream) -> Result<(), WebSocketError> {
    listen::handshake(&mut stream).await?;
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
