//! tokio-tungstenite as its echo example shows it: `forward` feeds what is ready and flushes once.

use std::{future, io};

use futures_util::{StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(echo).await
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let (write, read) = tokio_tungstenite::accept_async(stream).await?.split();
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary()))
        .forward(write)
        .await
}
