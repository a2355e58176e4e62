//! yawc over a raw stream, after a handshake of one's own, with its check of UTF-8 on: `forward` feeds what is ready and
//! flushes once.

use std::{future, io};

use futures_util::StreamExt;
use tokio::net::TcpStream;
use yawc::{OpCode, Options, Result, Role, WebSocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(echo).await
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    listen::handshake(&mut stream).await?;
    let options = Options::default().with_utf8().with_limits(16 << 20, 16 << 20);
    let socket = WebSocket::from_stream(stream, Role::Server, options)?;
    let (write, read) = socket.split();
    read.filter(|frame| future::ready(matches!(frame.opcode(), OpCode::Text | OpCode::Binary)))
        .map(Ok)
        .forward(write)
        .await
}
