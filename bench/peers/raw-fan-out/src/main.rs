//! What one TCP connection sends goes to all, without WebSocket: the limit for broadcasts on tokio.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex},
};

use tokio::net::TcpStream;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 128 * 1024]);
}

static ALL: Mutex<Vec<Arc<TcpStream>>> = Mutex::new(Vec::new());

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    listen::listen(fan_out).await
}

async fn fan_out(stream: TcpStream) -> io::Result<()> {
    let stream = Arc::new(stream);
    ALL.lock().expect("no panic").push(stream.clone());
    let ended = speak(&stream).await;
    ALL.lock().expect("no panic").retain(|other| !Arc::ptr_eq(other, &stream));
    ended
}

async fn speak(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let n = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => Ok(Some(0)),
            Ok(n) => {
                for member in ALL.lock().expect("no panic").iter() {
                    // Whoever is full misses it: this is no server, but a limit.
                    let _ = member.try_write(&buffer[..n]);
                }
                Ok(Some(n))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        })?;
        if n == Some(0) {
            return Ok(());
        }
    }
}
