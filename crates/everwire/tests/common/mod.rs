//! What the tests share: a peer that writes and reads raw bytes, and handlers that take notes.
#![allow(dead_code, unreachable_pub)]

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use everwire::{Closure, Conn, Handler, Message, Server, ServerBuilder, WebSocket, adapt::Attach};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::TcpStream,
};

/// Bounds a wait, so that a test fails instead of hanging.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(Duration::from_secs(60), future).await {
            Ok(output) => output,
            Err(_) => panic!("waited in vain at {caller}"),
        }
    }
}

/// Waits until something is true.
#[track_caller]
pub fn until(mut is_true: impl FnMut() -> bool) -> impl Future<Output = ()> {
    soon(async move {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// A frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let key = [1, 2, 3, 4];
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

pub fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

pub fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}

/// A peer that speaks in bytes.
pub struct Raw<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn write(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    /// Reads a frame: its first byte and its payload, unmasked; `None` at the end.
    pub async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        self.try_read().await.ok()
    }

    /// Reads a frame; how the stream ended is in the error.
    pub async fn try_read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        soon(self.0.read_exact(&mut head)).await?;
        let len = match head[1] & 0x7f {
            126 => u64::from(soon(self.0.read_u16()).await?),
            127 => soon(self.0.read_u64()).await?,
            n => u64::from(n),
        };
        let mut key = [0; 4];
        if head[1] & 0x80 != 0 {
            soon(self.0.read_exact(&mut key)).await?;
        }
        let mut payload = vec![0; len as usize];
        soon(self.0.read_exact(&mut payload)).await?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Ok((head[0], payload))
    }

    /// Expects a Close and returns its code and reason.
    pub async fn read_close(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.read().await.expect("a Close before the end");
            if first == 0x88 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    /// Expects nothing but the end of the stream.
    pub async fn read_eof(&mut self) {
        let mut rest = Vec::new();
        soon(self.0.read_to_end(&mut rest)).await.expect("an end without a reset");
        assert_eq!(rest, b"");
    }
}

/// The head of a request that opens a connection.
pub fn head(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: everwire.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Reads the head of a response.
pub async fn read_head<S: AsyncRead + Unpin>(io: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match soon(io.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Opens a connection to a server.
pub async fn connect(addr: SocketAddr, path: &str) -> Raw<TcpStream> {
    let mut io = soon(TcpStream::connect(addr)).await.unwrap();
    io.set_nodelay(true).unwrap();
    io.write_all(head(path, "").as_bytes()).await.unwrap();
    let response = read_head(&mut io).await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    Raw(io)
}

/// Starts a server on a free port.
pub async fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.bind("127.0.0.1:0").start().await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

/// A server that echoes on `/echo`.
pub fn echo() -> ServerBuilder {
    Server::builder().push("/echo", |_| Echo)
}

/// Waits until a server has this many connections.
pub async fn until_len(server: &Server, len: usize) {
    until(|| server.registry().len() == len).await;
}

/// Sends bytes to a server and returns everything it answers, to the end.
pub async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut io = soon(TcpStream::connect(addr)).await.unwrap();
    io.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    soon(io.read_to_end(&mut response)).await.ok(); // A reset is an end as well.
    String::from_utf8_lossy(&response).into_owned()
}

/// Returns the status of a response, 0 if there is none.
pub fn status(response: &str) -> u16 {
    response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Writes down what a handler is told.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub async fn until(&self, n: usize) -> Vec<String> {
        until(|| self.0.lock().unwrap().len() >= n).await;
        self.all()
    }
}

/// Echoes and takes notes.
pub struct Recorder(pub Notes);

impl Handler for Recorder {
    fn on_open(&mut self, _: &mut Conn<'_>) {
        self.0.add("open");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        self.0.add(message.as_text().unwrap_or("binary"));
        conn.send(message).ok();
    }

    fn on_close(&mut self, closure: &Closure) {
        self.0.add(closure.cause.label());
    }
}

pub struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        conn.send(message).ok();
    }
}

/// What a [`Probe`] saw and what it shall do.
#[derive(Default)]
pub struct Watch {
    pub writes: AtomicUsize,
    /// The largest piece of memory that was handed down in one slice.
    pub slices: Mutex<Vec<(usize, usize)>>,
    pub fail_writes: AtomicBool,
    pub fail_reads: AtomicBool,
    /// How reads fail, if not by a reset.
    pub read_error: Mutex<Option<io::ErrorKind>>,
    pub flushes: AtomicUsize,
    /// Answer `Pending` once to each flush.
    pub slow_flush: AtomicBool,
}

/// A stream that counts calls and fails on demand.
pub struct Probe<S> {
    io: S,
    watch: Arc<Watch>,
    flush_asked: bool,
}

impl<S> Probe<S> {
    pub fn new(io: S) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        (Self { io, watch: watch.clone(), flush_asked: false }, watch)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Probe<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.fail_reads.load(Ordering::Relaxed) {
            let kind = *self.watch.read_error.lock().unwrap();
            return Poll::Ready(Err(kind.unwrap_or(io::ErrorKind::ConnectionReset).into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Probe<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.watch.fail_writes.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.watch.writes.fetch_add(1, Ordering::Relaxed);
        let slices = bufs.iter().map(|slice| (slice.as_ptr() as usize, slice.len()));
        self.watch.slices.lock().unwrap().extend(slices);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.slow_flush.load(Ordering::Relaxed) && !self.flush_asked {
            self.flush_asked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flush_asked = false;
        self.watch.flushes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A server's connection with a pull face on a pipe of this size, and the peer of it.
pub fn puller(capacity: usize) -> (Raw<DuplexStream>, WebSocket) {
    let (near, far) = duplex(capacity);
    (Raw(near), Attach::server().pull(far))
}

/// Lets every other task run until it waits.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
