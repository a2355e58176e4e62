//! TCP echo of the same bytes without WebSocket: the limit for anything built on tokio.

use std::{cell::RefCell, future::poll_fn, io, pin::Pin, task::Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    /// One buffer for all connections, borrowed only while there is data.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 128 * 1024]);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(echo).await
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    while let Some(rest) = poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            if Pin::new(&mut stream).poll_read(cx, &mut buffer)?.is_pending() {
                return Poll::Pending;
            }
            let read = buffer.filled();
            let n = match Pin::new(&mut stream).poll_write(cx, read)? {
                Poll::Ready(n) => n,
                Poll::Pending => 0,
            };
            Poll::Ready(io::Result::Ok((!read.is_empty()).then(|| read[n..].to_vec())))
        })
    })
    .await?
    {
        stream.write_all(&rest).await?;
    }
    Ok(())
}
