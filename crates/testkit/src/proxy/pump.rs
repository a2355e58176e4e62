//! One direction of a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Carries bytes in one direction; whatever is dropped in between, it goes on where it was.
pub(super) struct Pump {
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Bytes that still pass.
    left: u64,
    /// Bytes that have passed.
    pub(super) passed: u64,
    is_done: bool,
}

/// Why a pump stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// All bytes that may pass have passed.
    Spent,
    /// The end of the stream has come, and was passed on.
    Done,
    /// An end broke the connection.
    Broken,
}

impl Pump {
    pub(super) fn new(left: u64) -> Self {
        let buffer = vec![0; 16 << 10].into_boxed_slice();
        Self { buffer, begin: 0, end: 0, left, passed: 0, is_done: false }
    }

    /// Lets everything pass.
    pub(super) fn open(&mut self) {
        self.left = u64::MAX;
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) async fn run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Stopped {
        match self.try_run(from, to).await {
            Ok(stopped) => stopped,
            Err(_) => Stopped::Broken,
        }
    }

    async fn try_run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Stopped> {
        loop {
            if self.left == 0 {
                return Ok(Stopped::Spent);
            }
            if self.begin == self.end {
                let n = from.read(&mut self.buffer).await?;
                (self.begin, self.end) = (0, n);
                if n == 0 {
                    self.is_done = true;
                    to.shutdown().await?;
                    return Ok(Stopped::Done);
                }
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let ready = &self.buffer[self.begin..self.end];
            let n = to.write(&ready[..ready.len().min(most)]).await?;
            self.begin += n;
            self.left -= n as u64;
            self.passed += n as u64;
        }
    }
}

/// Takes what comes until nothing does.
pub(super) async fn discard(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4 << 10];
    while from.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}
