//! A stream that takes nothing any more may still have something to say.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use everwire::{Cause, CloseCode, adapt::Attach};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is left to read from a peer that has gone, piece by piece; writing fails.
struct Gone(VecDeque<&'static [u8]>);

impl AsyncRead for Gone {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(left) => buf.put_slice(left),
            None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// A ping, whose answer fails.
const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];

/// A Close with 1001.
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

#[tokio::test(start_paused = true)]
async fn a_close_behind_a_failed_write_says_why_the_peer_went() {
    let ws = Attach::server().pull(Gone([PING, CLOSE].into()));
    let closure = ws.closed().await;
    assert_eq!(closure.cause, Cause::PeerClosed, "{closure}");
    assert_eq!(closure.received.as_ref().map(|frame| frame.code), Some(CloseCode::GOING_AWAY));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_and_no_close_is_a_reset() {
    let ws = Attach::server().pull(Gone([PING].into()));
    let closure = ws.closed().await;
    assert_eq!(closure.cause, Cause::Reset, "{closure}");
}
