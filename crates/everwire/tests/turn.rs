//! How long a connection keeps its thread for itself.

mod common;

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use common::frame;
use everwire::{Conn, Handler, Message, adapt::Attach};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A peer that has sent more than can ever be read: messages of one byte.
struct Endless(Vec<u8>, usize);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buf.remaining() > 0 {
            let Self(frame, at) = &mut *self;
            let n = buf.remaining().min(frame.len() - *at);
            buf.put_slice(&frame[*at..*at + n]);
            *at = (*at + n) % frame.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Counts what it receives.
struct Count(Arc<AtomicUsize>);

impl Handler for Count {
    fn on_message(&mut self, _: &mut Conn<'_>, _: Message<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_turn_ends_after_so_many_small_messages() {
    let received = Arc::new(AtomicUsize::new(0));
    let count = Count(received.clone());
    let _handle = Attach::server().push(Endless(frame(0x82, b"1"), 0), count);
    let turns = tokio::spawn(async move {
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(received.swap(0, Ordering::Relaxed));
            let mut had = false;
            // One turn for each task that wants one; tokio's own yields for longer.
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut had, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        turns
    });
    let turns = turns.await.unwrap();
    // What was read at once is handled; nothing more is read then.
    let one_read = 4096..=(128 << 10) / 7 + 1;
    assert!(turns.iter().all(|turn| one_read.contains(turn)), "{turns:?}");
}

/// The thread was held up over the deadline; the peer was not.
#[tokio::test(start_paused = true)]
async fn a_deadline_is_judged_after_what_it_waits_for_was_tried() {
    let (near, mut far) = tokio::io::duplex(1 << 10);
    let ws = Attach::server().pull(near);
    ws.send(vec![7; 4000]).await.unwrap();
    // It has begun to write, and waits.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut head = [0; 1 << 10];
    far.read_exact(&mut head).await.unwrap();
    // Longer than it waits for progress.
    tokio::time::advance(Duration::from_secs(40)).await;
    let mut rest = vec![0; 4 + 4000 - (1 << 10)];
    far.read_exact(&mut rest).await.unwrap();
    assert_eq!(rest, [7].repeat(rest.len()));
    assert!(ws.closure().is_none());
}
