//! yawc over a raw stream, after a handshake of one's own, with its check of UTF-8 on: `forward` feeds what is ready and
//! flushes once. Told `shared` or `dedicated`, it compresses at its default level, without or with context.

use std::{env, future, io};

use futures_util::StreamExt;
use tokio::net::TcpStream;
use yawc::{CompressionLevel, OpCode, Options, Result, Role, WebSocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mode = env::args().nth(1).unwrap_or_default();
    let (deflate, options) = match &mode[..] {
        "shared" => (
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            Options::default().server_no_context_takeover().client_no_context_takeover(),
        ),
        "dedicated" => (
            Some("permessage-deflate"),
            Options::default().with_compression_level(CompressionLevel::default()),
        ),
        _ => (None, Options::default()),
    };
    let options = options.with_utf8().with_limits(16 << 20, 16 << 20);
    listen::listen(move |stream| echo(stream, deflate, options.clone())).await
}

async fn echo(
    mut stream: TcpStream,
    deflate: Option<&'static str>,
    options: Options,
) -> Result<()> {
    let agreed = listen::handshake_with(&mut stream, deflate).await?;
    let extensions = deflate.filter(|_| agreed);
    let socket = WebSocket::from_stream_with_extensions(stream, Role::Server, extensions, options)?;
    let (write, read) = socket.split();
    read.filter(|frame| future::ready(matches!(frame.opcode(), OpCode::Text | OpCode::Binary)))
        .map(Ok)
        .forward(write)
        .await
}
