//! What all peers share, so that each shows only how its crate echoes.

use std::{env, io};

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
